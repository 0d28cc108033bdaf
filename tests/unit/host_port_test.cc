// Builds port_smoke.cc in every way this machine permits and runs it: from the library
// under test, dynamic, static and static-pie; and, where a cross compiler and qemu-user
// are installed, from the sources for the other processor.  One archive must serve all
// three links of the same machine.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/kthreads.h"

namespace fs = std::filesystem;

namespace {

struct result {
    int status;
    std::string out;
};

result run(const std::string& cmd) {
    result r = {-1, ""};
    FILE* f = popen((cmd + " 2>&1").c_str(), "r");
    if (!f) return r;
    char buf[4096];
    for (std::size_t n; (n = std::fread(buf, 1, sizeof buf, f)) > 0;) r.out.append(buf, n);
    int s = pclose(f);
    r.status = WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
    return r;
}

bool installed(const std::string& tool) { return run("command -v " + tool).status == 0; }

struct Port : testing::Test {
    fs::path root, lib, dir;

    void SetUp() override {
        // build/MODE/tests/unit/host_port_test
        fs::path self = fs::read_symlink("/proc/self/exe");
        lib = self.parent_path().parent_path().parent_path() / "librt0.a";
        root = lib.parent_path().parent_path().parent_path();
        ASSERT_TRUE(fs::exists(lib)) << lib;
        ASSERT_TRUE(fs::exists(root / "tests/unit/port_smoke.cc")) << root;
        char name[] = "/tmp/rt0_port_XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        dir = name;
    }
    void TearDown() override {
        if (!dir.empty()) fs::remove_all(dir);
    }

    std::string smoke() const { return dir.string() + "/smoke"; }
    std::string cxx(const std::string& name) const {
        return name + " -std=c++20 -I" + root.string() + " -I" + root.string() + "/runtime ";
    }
    // port_smoke.cc as an object that fits all three links; compiled once.
    const std::string& object() {
        static fs::path kept;
        static struct at_end {
            ~at_end() { fs::remove(kept); }
        } remover;
        static std::string name;
        if (name.empty()) {
            char file[] = "/tmp/rt0_port_XXXXXX.o";
            close(mkstemps(file, 2));
            kept = file;
            result b = run(cxx("g++") + "-O1 -fPIC -c " + root.string() + "/tests/unit/port_smoke.cc -o " + file);
            EXPECT_EQ(b.status, 0) << b.out;
            name = file;
        }
        return name;
    }
    void expect_ok(const std::string& build, const std::string& launch, const char* kind) {
        result b = run(build);
        ASSERT_EQ(b.status, 0) << build << "\n" << b.out;
        EXPECT_EQ(b.out, "") << "the linker complains";
        result r = run("timeout 60 " + launch + smoke() + " " + kind);
        EXPECT_EQ(r.status, 0);
        EXPECT_NE(r.out.find("port smoke: ok\n"), std::string::npos) << r.out;
    }
    void native(const std::string& flags) {
        if (test::sanitized) GTEST_SKIP() << "the library under test needs the sanitizer's runtime";
        if (!installed("g++")) GTEST_SKIP() << "no g++";
        const std::string counting = test::counting ? " --coverage " : " ";
        expect_ok(cxx("g++") + flags + counting + object() + " " + lib.string() + " -o " + smoke(), "", "raw");
    }
};

TEST_F(Port, Dynamic) {
    native("-fPIE -pie");
    if (IsSkipped() || HasFailure()) return;
    // Private symbols of libc are found at run time or not at all: no version of theirs is required.
    std::ifstream f(smoke(), std::ios::binary);
    std::string image{std::istreambuf_iterator<char>(f), {}};
    EXPECT_NE(image.find("GLIBC_2."), std::string::npos);
    EXPECT_EQ(image.find("GLIBC_PRIVATE"), std::string::npos);
}
TEST_F(Port, Static) { native("-static"); }
TEST_F(Port, StaticPie) { native("-fPIE -static-pie"); }

TEST_F(Port, Arm64UnderQemu) {
    if (!installed("aarch64-linux-gnu-g++") || !installed("qemu-aarch64"))
        GTEST_SKIP() << "needs g++-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user";
    std::string r = root.string();
    std::string sources = r + "/tests/unit/port_smoke.cc " + r + "/kernel_if/*.cc " + r + "/arch/arm64/*.S";
    expect_ok(cxx("aarch64-linux-gnu-g++") + "-static " + sources + " -o " + smoke(), "qemu-aarch64 ", "raw");
}

}  // namespace
