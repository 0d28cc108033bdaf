// getproccount, getcpuquota, getHugePageSize against invented /proc and /sys trees, and
// the auxiliary vector.
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernel_if/cpu.h"
#include "kernel_if/inject.h"
#include "kernel_if/sys.h"

using namespace rt0::kernel;
namespace fs = std::filesystem;

namespace {

const std::string v1_mounts =
    "20 1 8:1 / / rw - ext4 /dev/root rw\n"
    "30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 30 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n";
const std::string v2_mounts =
    "20 1 8:1 / / rw - ext4 /dev/root rw\n"
    "30 22 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1_dir = "/sys/fs/cgroup/cpu,cpuacct", v2_dir = "/sys/fs/cgroup";

struct Cpu : testing::Test {
    fs::path root;
    void SetUp() override {
        char name[] = "/tmp/rt0_cpu_XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        root = name;
    }
    void TearDown() override { fs::remove_all(root); }

    void put(const std::string& path, const std::string& text) {
        fs::path p = root.string() + path;
        fs::create_directories(p.parent_path());
        std::ofstream(p, std::ios::binary) << text;
    }
    void v1(const std::string& group, const std::string& quota, const std::string& period = "100000\n") {
        put(v1_dir + group + "/cpu.cfs_quota_us", quota);
        put(v1_dir + group + "/cpu.cfs_period_us", period);
    }
    void v2(const std::string& group, const std::string& max) { put(v2_dir + group + "/cpu.max", max); }
    void as_v1(const std::string& group) {
        put("/proc/self/mountinfo", v1_mounts);
        put("/proc/self/cgroup", "5:cpuset:/other\n4:cpu,cpuacct:" + group + "\n0::/user.slice\n");
    }
    void as_v2(const std::string& group) {
        put("/proc/self/mountinfo", v2_mounts);
        put("/proc/self/cgroup", "0::" + group + "\n");
    }
    int quota() { return getcpuquota(root.c_str()); }
    int count() { return getproccount(root.c_str()); }
};

int affinity() {
    cpu_set_t set;
    EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

TEST_F(Cpu, NoFilesNoBound) {
    EXPECT_EQ(quota(), 0);
    EXPECT_EQ(count(), affinity());
    EXPECT_EQ(getHugePageSize(root.c_str()), 0u);
}

TEST_F(Cpu, V2RoundsUp) {
    as_v2("/a");
    const std::pair<const char*, int> cases[] = {{"max 100000\n", 0},    {"100000 100000\n", 1},
                                                 {"150000 100000\n", 2}, {"1000 100000\n", 1},
                                                 {"100001 100000\n", 2}, {"800000 100000\n", 8},
                                                 {"25000 10000\n", 3},   {"50000\n", 1},
                                                 {"300000", 3},          {"900000000000000000 1\n", 2147483647}};
    for (auto& [text, want] : cases) {
        v2("/a", text);
        EXPECT_EQ(quota(), want) << text;
    }
}

TEST_F(Cpu, V2TightestAncestor) {
    as_v2("/a/b/c");
    v2("/a/b/c", "700000 100000\n");
    v2("/a/b", "max 100000\n");
    v2("/a", "500000 100000\n");
    EXPECT_EQ(quota(), 5);
    v2("/a/b", "200000 100000\n");
    EXPECT_EQ(quota(), 2);
    v2("/a/b/c", "100000 100000\n");
    EXPECT_EQ(quota(), 1);
    v2("", "50000 100000\n");  // the mount point itself: a container sees its own group there
    EXPECT_EQ(quota(), 1);
}

TEST_F(Cpu, V2RootGroup) {
    as_v2("/");
    v2("", "300000 100000\n");
    EXPECT_EQ(quota(), 3);
}

TEST_F(Cpu, V1) {
    as_v1("/a/b");
    v1("", "-1\n");
    v1("/a", "-1\n");
    v1("/a/b", "-1\n");
    EXPECT_EQ(quota(), 0);
    v1("/a/b", "350000\n");
    EXPECT_EQ(quota(), 4);
    v1("/a", "120000\n", "50000\n");
    EXPECT_EQ(quota(), 3);
    v1("", "100000\n");
    EXPECT_EQ(quota(), 1);
}

TEST_F(Cpu, HybridTakesTheTighter) {
    put("/proc/self/mountinfo", v1_mounts + "37 30 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "4:cpu,cpuacct:/v1\n0::/v2\n");
    v1("/v1", "600000\n");
    EXPECT_EQ(quota(), 6);
    put("/sys/fs/cgroup/unified/v2/cpu.max", "400000 100000\n");
    EXPECT_EQ(quota(), 4);
    v1("/v1", "200000\n");
    EXPECT_EQ(quota(), 2);
}

TEST_F(Cpu, MountOfASubtree) {  // docker without a cgroup namespace: the mount's root is the group
    put("/proc/self/mountinfo", "30 22 0:27 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    v2("", "300000 100000\n");
    v2("/inner", "200000 100000\n");
    EXPECT_EQ(quota(), 2);
    put("/proc/self/cgroup", "0::/docker/abcdef\n");  // a prefix of the name is not an ancestor
    EXPECT_EQ(quota(), 3);
    put("/proc/self/cgroup", "0::/../elsewhere\n");  // seen from inside another namespace
    EXPECT_EQ(quota(), 3);
}

// A group that is not below what is mounted: of the mount only its own directory counts.
TEST_F(Cpu, GroupOutsideOfTheMount) {
    put("/proc/self/mountinfo", "30 22 0:27 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    v2("", "300000 100000\n");
    v2("def", "100000 100000\n");
    v2("/inner", "100000 100000\n");
    for (const char* group : {"/docker/abcdef", "/docker", "/docker/abc/../x", "/other/inner"}) {
        put("/proc/self/cgroup", std::string("1:name=systemd:/x\n0::") + group + "\n");
        EXPECT_EQ(quota(), 3) << group;
    }
    for (const char* lines : {"0::not/absolute\n", "0:\n", "0:cpu:/docker/abc\n", "7::/docker/abc/inner\n"}) {
        put("/proc/self/cgroup", lines);
        EXPECT_EQ(quota(), 0) << lines;
    }
    put("/proc/self/cgroup", "0::/docker/abc\n");
    put("/proc/self/mountinfo", "30 22 0:27 /docker/abc /sys/fs/cgroup\\04 ro,nosuid - cgroup2 cgroup rw\n");
    EXPECT_EQ(quota(), 0) << "no directory of that name";
}

TEST_F(Cpu, MountPointWithSpaces) {
    put("/proc/self/mountinfo", "30 22 0:27 / /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/g\n");
    put("/sys/fs/my cgroup/g/cpu.max", "200000 100000\n");
    EXPECT_EQ(quota(), 2);
}

TEST_F(Cpu, GarbageNeverBoundsAndNeverFails) {
    as_v2("/a");
    for (const char* text : {"", "\n", "max", "0 100000\n", "-5 100000\n", "100000 0\n", "100000 -1\n", "abc def\n",
                             "99999999999999999999999 100000\n", "100000 99999999999999999999999\n", "100000x 100000\n",
                             "1e5 100000\n", " 100000 100000\n"}) {
        v2("/a", text);
        EXPECT_EQ(quota(), 0) << "'" << text << "'";
    }
    v2("/a", std::string(100'000, '7'));
    EXPECT_EQ(quota(), 0);
    as_v1("/a");
    for (const char* text : {"", "garbage\n", "0\n", "-2\n"}) {
        v1("/a", text);
        EXPECT_EQ(quota(), 0);
    }
    v1("/a", "200000\n", "0\n");
    EXPECT_EQ(quota(), 0);
}

TEST_F(Cpu, GarbageTables) {
    for (const std::string& mounts : {std::string("\n\n\n"), std::string(" - "), std::string(" - cgroup2"),
                                      std::string("a b c d e - cgroup2 x y\n"), std::string(50'000, 'x'),
                                      std::string(1000, '\0'), std::string("1 2 3 / \\9 rw - cgroup2 a b"),
                                      std::string("1 2 3 / " + std::string(7000, 'p') + " rw - cgroup2 a b\n")})
        for (const std::string& group :
             {std::string(""), std::string("0::"), std::string("0::rel\n"), std::string(":::\n"),
              "0::/" + std::string(6000, 'g') + "\n", std::string(9000, ':')}) {
            put("/proc/self/mountinfo", mounts);
            put("/proc/self/cgroup", group);
            EXPECT_EQ(quota(), 0);
            EXPECT_EQ(count(), affinity());
        }
}

// A directory whose path is longer than any that can be opened bounds nothing, and neither does what it would lie in.
TEST_F(Cpu, PathsTooLongToBeOpened) {
    as_v2("/" + std::string(4090, 'g'));
    v2("", "100000 100000\n");
    EXPECT_EQ(quota(), 0);
    as_v2("/g");
    EXPECT_EQ(quota(), 1);
    // The mount point's path is too long by its last character, and the group is none of it.
    std::string point = "/" + std::string(4095 - root.string().size(), 'p');
    put("/proc/self/mountinfo", "30 22 0:27 / " + point + " rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/..\n");
    EXPECT_EQ(quota(), 0);
}

TEST_F(Cpu, LongLinesBeforeAndAfterAreSkipped) {
    std::string longline = "9 8 7:6 / /overlay rw - overlay overlay rw,lowerdir=" + std::string(20'000, 'l') + "\n";
    put("/proc/self/mountinfo", longline + v2_mounts + longline);
    put("/proc/self/cgroup", "0::/a");  // and no newline at the end
    v2("/a", "200000 100000\n");
    EXPECT_EQ(quota(), 2);
}

TEST_F(Cpu, CountIsTheSmallerOfAffinityAndQuota) {
    as_v2("/a");
    v2("/a", "100000 100000\n");
    EXPECT_EQ(count(), 1);
    v2("/a", "99900000 100000\n");
    EXPECT_EQ(count(), affinity());
    v2("/a", "max 100000\n");
    cpu_set_t all, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(count(), 1);
    ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
    EXPECT_EQ(count(), CPU_COUNT(&all));
}

TEST_F(Cpu, HugePageSize) {
    const std::pair<std::string, std::size_t> cases[] = {{"2097152\n", 2097152},
                                                         {"2097152", 2097152},
                                                         {"33554432\n", 33554432},
                                                         {"2000000\n", 0},
                                                         {"0\n", 0},
                                                         {"-2097152\n", 0},
                                                         {"", 0},
                                                         {"two\n", 0},
                                                         {"2097152k\n", 0},
                                                         {"99999999999999999999999999\n", 0},
                                                         {"9223372036854775808\n", 0}};
    for (auto& [text, want] : cases) {
        put("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text);
        EXPECT_EQ(getHugePageSize(root.c_str()), want) << text;
    }
}

TEST(CpuReal, ThisMachine) {
    int n = getproccount();
    EXPECT_GE(n, 1);
    EXPECT_LE(n, affinity());
    std::size_t h = getHugePageSize();
    EXPECT_EQ(h & (h - 1), 0u);
}

TEST(Auxv, WalkAndLibcAgree) {
    auxv a = read_auxv(nullptr), b = read_auxv(environ);
    EXPECT_EQ(a.page_size, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    EXPECT_EQ(a.page_size, b.page_size);
#ifdef __aarch64__  // on amd64 glibc answers with bits of its own
    EXPECT_EQ(a.hwcap, b.hwcap);
#endif
    EXPECT_EQ(a.hwcap2, b.hwcap2);
    EXPECT_EQ(a.random, b.random);
    EXPECT_NE(a.random, nullptr);
    EXPECT_EQ(a.vdso, b.vdso);
    EXPECT_EQ(a.minsigstksz, b.minsigstksz);
}

TEST(Auxv, InventedVector) {
    std::uint8_t bytes[16] = {};
    struct {
        const char* envp[3] = {"A=1", "B=2", nullptr};
        std::uintptr_t aux[12];
    } s;
    std::uintptr_t aux[12] = {
        AT_PAGESZ, 65536, AT_HWCAP, 7, 4711, 1, AT_RANDOM, reinterpret_cast<std::uintptr_t>(bytes), AT_NULL, 0, 0, 0};
    std::copy(aux, aux + 12, s.aux);
    auxv a = read_auxv(const_cast<char* const*>(s.envp));
    EXPECT_EQ(a.page_size, 65536u);
    EXPECT_EQ(a.hwcap, 7u);
    EXPECT_EQ(a.random, bytes);
    EXPECT_EQ(a.vdso, nullptr);
    EXPECT_EQ(a.minsigstksz, 2048u);
}

TEST(Sys, SmallFilesAndWrites) {
    char buf[64];
    EXPECT_EQ(read_small_file("/nonexistent/file", buf, sizeof buf), -ENOENT);
    EXPECT_EQ(buf[0], 0);
    EXPECT_EQ(read_small_file("/proc/self/comm", buf, 0), -EINVAL);
    set_thread_name("twelve chars");
    EXPECT_EQ(read_small_file("/proc/thread-self/comm", buf, sizeof buf), 13);
    EXPECT_STREQ(buf, "twelve chars\n");
    EXPECT_EQ(read_small_file("/proc/thread-self/comm", buf, 4), 3);
    EXPECT_STREQ(buf, "twe");
    EXPECT_LT(read_small_file("/tmp", buf, sizeof buf), 0);
    EXPECT_EQ(write_all(-1, "x", 1), -EBADF);
    int fd[2];
    ASSERT_EQ(pipe(fd), 0);
    inject_fail(inject::write, 1, EINTR, 2);
    EXPECT_EQ(write_all(fd[1], "hello", 5), 5);
    EXPECT_EQ(inject_hits(inject::write), 2u);
    EXPECT_EQ(write_all(fd[1], "", 0), 0);
    EXPECT_EQ(read(fd[0], buf, sizeof buf), 5);
    close(fd[0]);
    close(fd[1]);
    inject_off();
}

TEST(Sys, ThereIsRoom) {
    int fd[2];
    ASSERT_EQ(pipe2(fd, O_NONBLOCK), 0);
    EXPECT_TRUE(has_room(fd[1]));
    const std::string page(4096, 'x');
    while (write(fd[1], page.data(), page.size()) > 0) {}
    EXPECT_FALSE(has_room(fd[1]));
    inject_fail(inject::write, 1, EINVAL, 1);
    EXPECT_TRUE(has_room(fd[1]));  // not known
    inject_off();
    close(fd[0]);
    EXPECT_TRUE(has_room(fd[1]));  // a write would fail at once
    close(fd[1]);
    EXPECT_TRUE(has_room(fd[1]));  // the same
}

TEST(Sys, InterruptedCallsAreMadeAgain) {
    char want[64], got[64];
    ASSERT_GT(read_small_file("/proc/thread-self/comm", want, sizeof want), 0);
    for (std::uint32_t nth = 1; nth <= 3; nth++) {  // open, read, read at the end
        inject_fail(inject::file, nth, EINTR);
        EXPECT_EQ(read_small_file("/proc/thread-self/comm", got, sizeof got), static_cast<long>(std::strlen(want)));
        EXPECT_STREQ(got, want);
        EXPECT_EQ(inject_hits(inject::file), 1u);
    }
    inject_fail(inject::file, 2, EIO);
    EXPECT_EQ(read_small_file("/proc/thread-self/comm", got, sizeof got), -EIO);
    EXPECT_STREQ(got, "");
    inject_off();
    const int quota = getcpuquota("");
    inject_fail(inject::file, 2, EINTR);
    EXPECT_EQ(getcpuquota(""), quota);
    inject_off();
}

}  // namespace
