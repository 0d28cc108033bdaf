// A kernel without guard regions (before Linux 6.13), played by a seccomp filter that
// refuses their madvise: guards by mprotect, their end, what is said then, and that the
// program keeps mappings for itself.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "kernel_if/inject.h"
#include "kernel_if/memory.h"
#include "mem/heap.h"
#include "mem/stack.h"

namespace rt0::runtime {
namespace {

bool refuse_guard_regions() {
    constexpr unsigned install = 102, remove = 103;
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, install, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, remove, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog prog{sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

bool readable(std::uintptr_t p) {
    static int fds[2] = {-1, -1};
    if (fds[0] < 0 && pipe(fds) != 0) abort();
    if (write(fds[1], reinterpret_cast<void*>(p), 1) != 1) return false;
    char c;
    return read(fds[0], &c, 1) == 1;
}

bool guarded(const stack& s) {
    return !readable(s.slot) && !readable(s.lo - 1) && readable(s.lo) && readable(s.hi - 1);
}

struct Mprotect : testing::Test {
    void SetUp() override {
        static bool filtered = refuse_guard_regions();
        if (!filtered) GTEST_SKIP() << "no seccomp here";
        ASSERT_EQ(kernel::guard_mode(), kernel::guard_kind::mprotect);
        mallocinit();
        ASSERT_GT(heap.guards_max, 0u);
    }
};

TEST_F(Mprotect, GuardsStayRecutAndCount) {
    EXPECT_EQ(heap.guards, 0u);
    for (int round = 0; round < 3; round++) {
        for (std::size_t size : {cfg::stack_min, cfg::stack_default, std::size_t{256} << 10, std::size_t{2} << 20}) {
            std::vector<stack> v;
            for (int i = 0; i < 70; i++) {
                v.push_back(stackalloc(nullptr, size));
                ASSERT_TRUE(guarded(v.back()));
                // Where guards of smaller slots may have been.
                for (std::uintptr_t at = v.back().slot + cfg::stack_min; at < v.back().hi; at += cfg::stack_min)
                    ASSERT_TRUE(readable(at));
            }
            for (auto& s : v) stackfree(nullptr, s);
            while (stacklarge_retire()) {
            }
        }
    }
    EXPECT_GT(heap.guards, 0u);
    EXPECT_LE(heap.guards, 500u) << "removed with their slots, and counted so";
    while (scavenge(~std::size_t{0}) != 0) {
    }
    stack s = stackalloc(nullptr, cfg::stack_default);
    EXPECT_TRUE(guarded(s));
    stackfree(nullptr, s);
    guard g(heap.lock);
    EXPECT_TRUE(heap.stacks.is_valid());
}

// What becomes writable counts for RLIMIT_DATA: the kernel may refuse.
TEST_F(Mprotect, AGuardThatCannotBeRemovedStays) {
    std::vector<stack> v;
    for (int i = 0; i < 70; i++) v.push_back(stackalloc(nullptr, cfg::stack_large));
    for (auto& s : v) stackfree(nullptr, s);
    while (stacklarge_retire()) {
    }
    v.clear();
    const std::size_t before = heap.guards;
    kernel::inject_fail(kernel::inject::guard_remove, 1, ENOMEM, -1);
    stack refused = stackalloc(nullptr, 2 * cfg::stack_large);
    for (int i = 0; i < 200 && refused.slot; i++) {  // where no guards are in the way
        v.push_back(refused);
        refused = stackalloc(nullptr, 2 * cfg::stack_large);
    }
    EXPECT_EQ(refused.slot, 0u);
    EXPECT_GT(kernel::inject_hits(kernel::inject::guard_remove), 1u);
    EXPECT_EQ(heap.guards, before + v.size());
    kernel::inject_off();
    stack s = stackalloc(nullptr, 2 * cfg::stack_large);
    ASSERT_TRUE(guarded(s));
    for (std::uintptr_t at = s.slot + cfg::stack_min; at < s.hi; at += cfg::stack_min) ASSERT_TRUE(readable(at));
    EXPECT_LT(heap.guards, before);
    v.push_back(s);
    for (auto& held : v) stackfree(nullptr, held);
    guard g(heap.lock);
    EXPECT_TRUE(heap.stacks.is_valid());
}

TEST_F(Mprotect, AtTheLimitOneWarningAndStacksWithoutGuard) {
#ifdef RT0_ASAN  // unpoisoning thirty thousand stacks takes long
    heap.guards_max = 2000;
#endif
    std::size_t n = heap.guards_max + 500, bare = 0;
    std::vector<stack> v;
    v.reserve(n);
    testing::internal::CaptureStderr();
    mcache* c = allocmcache();
    for (std::size_t i = 0; i < n; i++) {
        v.push_back(stackalloc(c, cfg::stack_min));
        ASSERT_NE(v.back().slot, 0u) << i;
        bare += readable(v.back().slot);
    }
    std::string said = testing::internal::GetCapturedStderr();
    EXPECT_GE(bare, 400u);
    EXPECT_LE(heap.guards, heap.guards_max);
    std::size_t first = said.find("no guard pages left for stacks");
    EXPECT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find("no guard pages left", first + 1), std::string::npos) << "said once";
    std::vector<void*> mine;  // the program's own: alternating protections, so they do not merge
    for (int i = 0; i < 1000; i++) {
        void* p = mmap(nullptr, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(p, MAP_FAILED) << "mappings are left for the program";
        mine.push_back(p);
    }
    for (void* p : mine) munmap(p, 4096);
    for (auto& s : v) stackfree(c, s);
    freemcache(c);
    guard g(heap.lock);
    EXPECT_TRUE(heap.stacks.is_valid());
}

}  // namespace
}  // namespace rt0::runtime
