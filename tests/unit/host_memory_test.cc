// Reservations and guards.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>

#include "kernel_if/inject.h"
#include "kernel_if/memory.h"
#include "tests/support/kthreads.h"

using namespace rt0::kernel;

namespace {

constexpr std::size_t page = 4096;

struct Memory : testing::Test {
    void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
    void TearDown() override { inject_off(); }
};
using MemoryDeathTest = Memory;

TEST_F(Memory, ReservationIsAlignedZeroAndWritable) {
    for (std::size_t align : {page, std::size_t{64} << 10, std::size_t{2} << 20, std::size_t{64} << 20}) {
        std::size_t n = align * 3;
        char* p = static_cast<char*>(sys_reserve(n, align));
        ASSERT_NE(p, nullptr);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % align, 0u);
        EXPECT_EQ(p[0], 0);
        p[0] = p[n - 1] = 1;
        sys_free(p, n);
    }
}

TEST_F(Memory, FreeGivesAllOfTheReservationBack) {
    // Address space would run out if the trimmed ends stayed: 5,000 x 64 MiB alignment of slack.
    for (int i = 0; i < 5'000; i++) {
        void* p = sys_reserve(std::size_t{64} << 20, std::size_t{64} << 20);
        ASSERT_NE(p, nullptr);
        sys_free(p, std::size_t{64} << 20);
    }
    void* p = sys_reserve(page, std::size_t{1} << 30);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % (std::size_t{1} << 30), 0u);
    unsigned char vec;
    EXPECT_EQ(mincore(p, page, &vec), 0);
    EXPECT_EQ(mincore(static_cast<char*>(p) + page, page, &vec), -1);  // trimmed behind
    EXPECT_EQ(mincore(static_cast<char*>(p) - page, page, &vec), -1);  // and before
    sys_free(p, page);
    EXPECT_EQ(mincore(p, page, &vec), -1);
}

TEST_F(Memory, UntouchedReservationsCostNothing) {
    if (test::sanitized) GTEST_SKIP() << "sanitizers limit address space";
    long before = test::resident_kib();
    std::size_t n = std::size_t{1} << 40;
    void* p = sys_reserve(n, std::size_t{64} << 20);
    ASSERT_NE(p, nullptr);
    EXPECT_LT(test::resident_kib() - before, 1024);
    sys_free(p, n);
}

TEST_F(Memory, UnusedReadsAsZeroAndIsGivenBack) {
    std::size_t n = std::size_t{32} << 20;
    char* p = static_cast<char*>(sys_reserve(n, page));
    ASSERT_NE(p, nullptr);
    std::memset(p, 7, n);
    long full = test::resident_kib();
    EXPECT_EQ(sys_unused(p, n), 0);
    EXPECT_GT(full - test::resident_kib(), 30 << 10);
    EXPECT_EQ(p[5], 0);
    p[5] = 1;
    sys_free(p, n);
    EXPECT_EQ(sys_unused(p, n), -ENOMEM);
}

TEST_F(Memory, ImpossibleReservationsAreNull) {
    EXPECT_EQ(sys_reserve(std::size_t{1} << 50, page), nullptr);
    EXPECT_EQ(sys_reserve(~std::size_t{0} - page + 1, std::size_t{64} << 20), nullptr);
    EXPECT_EQ(sys_reserve(0, page), nullptr);
    inject_fail(inject::mmap, 2, ENOMEM);
    void* p = sys_reserve(page, page);
    EXPECT_NE(p, nullptr);
    sys_free(p, page);
    EXPECT_EQ(sys_reserve(page, page), nullptr);
    EXPECT_EQ(inject_hits(inject::mmap), 1u);
    p = sys_reserve(page, page);
    EXPECT_NE(p, nullptr);
    sys_free(p, page);
}

TEST_F(MemoryDeathTest, ReservationUnderRlimitAs) {
    if (test::sanitized) GTEST_SKIP() << "sanitizers need address space";
    EXPECT_EXIT(
        {
            rlimit r;
            r.rlim_cur = r.rlim_max = std::size_t{1} << 30;
            setrlimit(RLIMIT_AS, &r);
            bool big = sys_reserve(std::size_t{4} << 30, std::size_t{64} << 20) == nullptr;
            bool slack = sys_reserve(std::size_t{512} << 20, std::size_t{512} << 20) != nullptr ||
                         sys_reserve(std::size_t{64} << 20, std::size_t{64} << 20) != nullptr;
            _exit(big && slack ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

// The guard below [p + 4 pages, p + 8 pages), as under a stack.
struct guarded {
    char* p = static_cast<char*>(sys_reserve(8 * page, page));
    int r = guard_install(p, 4 * page);
    ~guarded() { sys_free(p, 8 * page); }
};

void expect_faults(char* p) {
    EXPECT_EXIT(
        {
            *static_cast<volatile char*>(p) = 1;
            _exit(0);
        },
        [](int s) { return s != 0; }, "");
}

void guard_life() {
    guarded g;
    ASSERT_EQ(g.r, 0);
    std::memset(g.p + 4 * page, 1, 4 * page);
    int fd[2];
    ASSERT_EQ(pipe(fd), 0);
    auto kernel_reads = [&](char* at) { return write(fd[1], at, 1) == 1 ? 0 : errno; };
    for (int i = 0; i < 4; i++) EXPECT_EQ(kernel_reads(g.p + i * page + 17), EFAULT);
    EXPECT_EQ(kernel_reads(g.p + 4 * page), 0);
    EXPECT_EQ(sys_unused(g.p, 8 * page), 0);
    for (int i = 0; i < 4; i++) EXPECT_EQ(kernel_reads(g.p + i * page), EFAULT);
    EXPECT_EQ(g.p[4 * page], 0);
    expect_faults(g.p);
    expect_faults(g.p + 4 * page - 1);
    EXPECT_EQ(guard_install(g.p, 4 * page), 0);  // twice is once
    EXPECT_EQ(guard_remove(g.p, 4 * page), 0);
    std::memset(g.p, 2, 8 * page);
    EXPECT_EQ(kernel_reads(g.p), 0);
    close(fd[0]);
    close(fd[1]);
}

TEST_F(MemoryDeathTest, GuardLife) { guard_life(); }

// The same without guard regions.  In a child, for the mode is decided once.
TEST_F(MemoryDeathTest, MprotectGuards) {
    EXPECT_EXIT(
        {
            inject_fail(inject::guard_probe, 1, EINVAL);
            bool ok = guard_mode() == guard_kind::mprotect;
            guarded g;
            int fd[2];
            ok = ok && g.r == 0 && pipe(fd) == 0 && write(fd[1], g.p, 1) == -1 && errno == EFAULT;
            ok = ok && sys_unused(g.p, 8 * page) == 0 && write(fd[1], g.p, 1) == -1 &&
                 write(fd[1], g.p + 4 * page, 1) == 1;
            inject_fail(inject::mprotect, 1, ENOMEM);
            ok = ok && guard_install(g.p, page) == -ENOMEM && guard_install(g.p, page) == 0;
            ok = ok && guard_remove(g.p, 4 * page) == 0 && write(fd[1], g.p, 1) == 1;
            _exit(ok ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

TEST_F(MemoryDeathTest, LockedMemoryGetsAnMprotectGuard) {
    EXPECT_EXIT(
        {
            char* p = static_cast<char*>(sys_reserve(8 * page, page));
            if (mlock(p, 8 * page) != 0) _exit(0);  // not permitted here: nothing to see
            int r = guard_install(p, 4 * page);
            int fd[2];
            bool ok = r == 0 && pipe(fd) == 0 && write(fd[1], p, 1) == -1 && errno == EFAULT &&
                      guard_remove(p, 4 * page) == 0 && write(fd[1], p, 1) == 1;
            _exit(ok ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

TEST_F(Memory, GuardErrorsAreReported) {
    guarded g;
    bool maps = true;
    inject_fail(inject::guard, 1, ENOMEM);
    EXPECT_EQ(guard_install(g.p, page, true, &maps), -ENOMEM);
    EXPECT_FALSE(maps);
    EXPECT_EQ(guard_install(g.p, page), 0);
    inject_fail(inject::guard, 1, EINVAL, 2);
    EXPECT_EQ(guard_install(g.p, page, false, &maps), -ENOSPC);
    EXPECT_TRUE(maps);
    EXPECT_EQ(guard_install(g.p, page, true, &maps), 0);
    EXPECT_TRUE(maps);
    EXPECT_LT(guard_install(reinterpret_cast<void*>(page), page), 0);
}

TEST_F(Memory, RefusalsCostNothing) {
    guarded g;
    inject_fail(inject::guard_remove, 1, ENOMEM);
    EXPECT_EQ(guard_remove(g.p, page), -ENOMEM);
    inject_fail(inject::sysinfo, 1, EFAULT);
    EXPECT_EQ(sys_memory(), ~std::size_t{0});
    // The first mapping is never aligned to that; the second, larger one is refused.
    const std::size_t align = std::size_t{1} << 40;
    inject_fail(inject::mmap, 2, ENOMEM);
    if (void* p = sys_reserve(page, align)) sys_free(p, page);
    inject_off();
    char* p = static_cast<char*>(sys_reserve(page, page));
    ASSERT_NE(p, nullptr);
    p[7] = 7;
    inject_fail(inject::mmap, 1, ENOMEM);
    EXPECT_EQ(sys_own_pages(p, page), -ENOMEM);
    inject_fail(inject::mremap, 1, EPERM);
    EXPECT_EQ(sys_own_pages(p, page), -EPERM);
    EXPECT_EQ(p[7], 7);
    EXPECT_EQ(sys_own_pages(p, page), 0);
    EXPECT_EQ(p[7], 7);
    sys_free(p, page);
}

TEST_F(Memory, NamesAndHugePagesAreHints) {
    std::size_t n = std::size_t{4} << 20;
    void* p = sys_reserve(n, std::size_t{2} << 20);
    sys_name(p, n, "rt0: test");
    EXPECT_TRUE(sys_hugepage(p, n) == 0 || sys_hugepage(p, n) == -EINVAL);
    EXPECT_TRUE(sys_nohugepage(p, n) == 0 || sys_nohugepage(p, n) == -EINVAL);
    for (int again : {EAGAIN, EINTR}) {
        inject_fail(inject::madvise, 1, again, 3);
        EXPECT_EQ(sys_unused(p, n), 0);
        EXPECT_EQ(inject_hits(inject::madvise), 3u);
    }
    inject_fail(inject::madvise, 1, ENOMEM);
    EXPECT_EQ(sys_unused(p, n), -ENOMEM);
    inject_fail(inject::madvise, 1, EAGAIN, -1);  // it stays so: not for ever
    EXPECT_EQ(sys_unused(p, n), -EAGAIN);
    EXPECT_EQ(inject_hits(inject::madvise), 10u);
    inject_off();
    sys_free(p, n);
}

// What mremap's refusal leaves behind: the kernel may have unmapped the old pages by then.  A filter of system calls stands
// in for it, on a thread that ends with the test.
char* unmapped_by_the_filter;
void refuse_mremap(int, siginfo_t*, void* uc) {
    munmap(unmapped_by_the_filter, page);
    auto& regs = static_cast<ucontext_t*>(uc)->uc_mcontext;
#ifdef __x86_64__
    regs.gregs[REG_RAX] = -ENOMEM;
#else
    regs.regs[0] = static_cast<unsigned long long>(-ENOMEM);
#endif
}
bool trap_mremap() {
    sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog all = {4, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0;
}
TEST_F(Memory, OwnPagesThatAreLostAreSaidToBe) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's own calls would be trapped too";
    struct sigaction before, ours = {};
    ours.sa_sigaction = refuse_mremap;
    ours.sa_flags = SA_SIGINFO;
    ASSERT_EQ(sigaction(SIGSYS, &ours, &before), 0);
    char* p = static_cast<char*>(sys_reserve(page, page));
    ASSERT_NE(p, nullptr);
    unmapped_by_the_filter = p;
    p[7] = 7;
    bool trapped = false;
    int result = 0;
    std::thread([&] {
        trapped = trap_mremap();
        if (trapped) result = sys_own_pages(p, page);
    }).join();
    sigaction(SIGSYS, &before, nullptr);
    if (!trapped) GTEST_SKIP() << "no filters of system calls here";
    EXPECT_EQ(result, -EFAULT);
    unsigned char vec;
    EXPECT_EQ(mincore(p, page, &vec), -1);
}

}  // namespace
