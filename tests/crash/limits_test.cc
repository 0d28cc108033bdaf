// fault_prog where the process may have less than it asks for: address space, threads, descriptors, mappings, control
// groups.  Each run ends with the right answer, a status of the interface that the program met, or one clear line that
// names the limit; never by a signal or a wrong answer, and in no silent hang.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"
#include "tests/support/verdict.h"

using namespace testing_support;
using test::sanitized;

namespace {

// What takes long is run at one number of Ps.
bool once() {
    const char* p = std::getenv("RT0_MAXPROCS");
    return !p || std::string(p) == "2";
}

// refused: by a status that the program met, or (stuck) with a warning alone.
enum class outcome { right, refused, fatal };

struct limits : testing::Test {
    int n[3] = {};  // by outcome

    child_result run(const std::string& limit, const char* scene) {
        child_options o;
        o.env = {{"RT0_TEST_LIMIT", limit}, {"RT0TRACEBACK", "none"}};
        return run_child({built_program("tests/crash/fault_prog"), scene}, o);
    }
    // names: one of these stands in what a refused process says (a std:: exception: a status that the program let pass).
    void expect(const std::string& limit, const char* scene, std::vector<const char*> names) {
        child_result r = run(limit, scene);
        EXPECT_FALSE(r.timed_out);
        EXPECT_EQ(r.signal, 0);
        if (r.status == 2) {
            EXPECT_TRUE(one_clear_line(r.err));
            bool named = false;
            for (const char* name : names) named |= r.err.find(name) != std::string::npos;
            EXPECT_TRUE(named);
            n[static_cast<int>(outcome::fatal)]++;
        } else {
            EXPECT_EQ(r.status, 0);
            EXPECT_NE(r.out.find("right, 0 faults\n"), std::string::npos);
            n[static_cast<int>(r.out.rfind("refused", 0) == 0 ? outcome::refused : outcome::right)]++;
        }
        ASSERT_FALSE(HasFailure()) << limit << " " << scene << "\n" << r.summary();
    }
    int count(outcome o) const { return n[static_cast<int>(o)]; }
    ~limits() override { std::printf("%d right, %d refused, %d fatal lines\n", n[0], n[1], n[2]); }
};

const std::vector<const char*> memory = {"ulimit -v", "address space",  // or, mangled, where the demangler has none either:
                                         "std::bad_alloc", "std::system_error", "St9bad_alloc", "St12system_error"};

// From what is too little to boot to what is enough.
TEST_F(limits, AddressSpace) {
    if (sanitized) GTEST_SKIP() << "sanitizers need address space";
#ifdef RT0_COVERAGE
    GTEST_SKIP() << "where memory is refused __gcov_dump faults, with a lock held that whoever ends the process then waits for";
#endif
    for (double kib = 16; kib < 4e6; kib *= 1.6) expect("as:" + std::to_string(static_cast<long>(kib)), "", memory);
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::fatal), 0);
}
TEST_F(limits, DataSegment) {
    if (sanitized) GTEST_SKIP() << "sanitizers need address space";
    for (double kib = 16; kib < 4e6; kib *= 4) expect("data:" + std::to_string(static_cast<long>(kib)), "", memory);
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::fatal), 0);
}
TEST_F(limits, AddressSpaceForAMillion) {
    if (sanitized) GTEST_SKIP() << "sanitizers need address space";
    for (long mib : {100, 300, 1000}) expect("as:" + std::to_string(mib << 10), "million", memory);
    EXPECT_GT(count(outcome::refused), 0);
}

TEST_F(limits, Processes) {
    if (!once()) GTEST_SKIP() << "at another number of Ps";
    if (getuid() != 0) GTEST_SKIP() << "only root can become a user whose processes are counted from nought";
    for (int most : {1, 2, 3, 4, 5, 6, 8, 20, 60, 105, 500}) {
        const std::string limit = "user:" + std::to_string(61000 + most) + ";nproc:" + std::to_string(most);
        expect(limit, "", {"ulimit -u"});
    }
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::fatal), 0);
}

// Where no further thread can be had, a goroutine that loops or blocks keeps its P, and others that it waits for may never
// run: README, Limits.  That is said in one line, and the process still answers to SIGQUIT.
struct stuck : limits {
    void SetUp() override {
        if (test::tsan) GTEST_SKIP() << "ThreadSanitizer holds signals back";
    }
    void expect_word(const std::string& limit, const char* scene, const char* name) {
        child_options o;
        o.env = {{"RT0_TEST_LIMIT", limit}, {"RT0TRACEBACK", "none"}, {"RT0_MAXPROCS", "2"}};
        const std::string prog = built_program("tests/crash/fault_prog");
        child_result r = run_child({"/usr/bin/timeout", "--preserve-status", "-s", "QUIT", "2", prog, scene}, o);
        EXPECT_FALSE(r.timed_out);
        EXPECT_EQ(r.signal, 0);
        if (r.status == 2) {
            const bool warned = r.err.rfind(no_spare, 0) == 0;
            EXPECT_NE(r.err.find(name), std::string::npos);
            EXPECT_NE(one_clear_line(r.err), warned && r.err.find("\nSIGQUIT: quit") != std::string::npos);
            n[static_cast<int>(warned ? outcome::refused : outcome::fatal)]++;
        } else {
            EXPECT_EQ(r.status, 0);
            n[static_cast<int>(outcome::right)]++;
        }
        ASSERT_FALSE(HasFailure()) << limit << " " << scene << "\n" << r.summary();
    }
};

TEST_F(stuck, Processes) {
    if (!once()) GTEST_SKIP() << "at another number of Ps";
    if (getuid() != 0) GTEST_SKIP() << "only root can become a user whose processes are counted from nought";
    for (int most : {2, 5, 6, 30})
        expect_word("user:" + std::to_string(61500 + most) + ";nproc:" + std::to_string(most), "stalls", "ulimit -u");
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::fatal), 0);
}

TEST_F(stuck, ThreadsOfTheRuntime) {
    if (!once()) GTEST_SKIP() << "at another number of Ps";
    expect_word("", "limited", "rt0::set_max_threads");
    EXPECT_EQ(count(outcome::right), 0);
}

// glibc takes them from /proc/self/maps.
constexpr const char* no_bounds = "AddressSanitizer must be told the bounds of the first thread's stack";

// Of those that the program opens itself, stalls needs two.
TEST_F(limits, OpenFiles) {
    if (sanitized) GTEST_SKIP() << no_bounds;
    for (int most = 0; most <= 10; most++) {
        expect("nofile:" + std::to_string(most), "", {"ulimit -n"});
        if (most >= 5) expect("nofile:" + std::to_string(most), "stalls", {"ulimit -n"});
    }
    EXPECT_EQ(count(outcome::right), 17);
}

// What it would say is lost; the status tells.
TEST_F(limits, ClosedFiles) {
    if (sanitized) GTEST_SKIP() << no_bounds;
    for (const char* closed : {"close:0", "close:1", "close:2", "close:0;close:1;close:2", "close:-1"})
        for (const char* scene : {"", "writes", "stalls", "strays"}) {
            child_result r = run(closed, scene);
            ASSERT_EQ(r.status, 0) << closed << " " << scene << "\n" << r.summary();
        }
    child_result r = run("close:-1", "panic");
    EXPECT_EQ(r.status, 2) << r.summary();
    r = run("close:-1", "segv");
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
}

TEST_F(limits, Mappings) {
    if (sanitized) GTEST_SKIP() << "sanitizers die without mappings";
    if (!once()) GTEST_SKIP() << "at another number of Ps";
    for (int left : {0, 2, 4, 6, 8, 12, 24, 200})
        // Mangled where the demangler has no memory either.
        expect("maps:" + std::to_string(left), "",
               {"max_map_count", "std::bad_alloc", "std::system_error", "St9bad_alloc", "St12system_error"});
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::refused) + count(outcome::fatal), 0);
}

// ---- control groups

struct cgroup {
    std::string dir;
    explicit cgroup(const std::string& controller) {
        for (const std::string& root : {"/sys/fs/cgroup/" + controller, std::string("/sys/fs/cgroup")}) {
            if (access((root + "/cgroup.procs").c_str(), W_OK) != 0) continue;
            dir = root + "/rt0-limits-" + std::to_string(getpid());
            if (mkdir(dir.c_str(), 0755) == 0) return;
        }
        dir.clear();
    }
    ~cgroup() {
        if (!dir.empty()) rmdir(dir.c_str());
    }
    cgroup(const cgroup&) = delete;
    cgroup& operator=(const cgroup&) = delete;
    bool set(const char* file, long value) const {
        std::ofstream f(dir + "/" + file);
        f << value << std::flush;
        return !dir.empty() && f.good();
    }
};

TEST_F(limits, ControlGroupOfProcesses) {
    cgroup group("pids");
    for (int most : {1, 2, 3, 4, 6, 10, 60, 500}) {
        if (!group.set("pids.max", most)) GTEST_SKIP() << "no control group pids to write to";
        expect("cgroup:" + group.dir, "", {"ulimit -u"});
    }
    EXPECT_GT(count(outcome::right), 0);
    EXPECT_GT(count(outcome::fatal), 0);
}

// The kernel gives no answer here, but kills: what has enough must live, and nothing hangs.
TEST_F(limits, ControlGroupOfMemory) {
    if (sanitized) GTEST_SKIP() << "sanitizers need memory";
    cgroup group("memory");
    for (long mib : {2, 16, 64}) {
        if (!group.set("memory.limit_in_bytes", mib << 20) && !group.set("memory.max", mib << 20))
            GTEST_SKIP() << "no control group memory to write to";
        child_result r = run("cgroup:" + group.dir, "");
        EXPECT_FALSE(r.timed_out);
        EXPECT_TRUE(r.status == 0 || (r.signal == SIGKILL && mib < 64)) << mib << " MiB\n" << r.summary();
    }
}

}  // namespace
