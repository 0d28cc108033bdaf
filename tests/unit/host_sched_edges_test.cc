// What the runtime does at its edges, one piece at a time and without a scheduler: before the boot, on stacks of its own, where
// files cannot be read, at the ends of tables and limits.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <rt0/chan.h>

#include "base/seeded.h"
#include "kernel_if/inject.h"
#include "kernel_if/memory.h"
#include "mem/heap.h"
#include "mem/mem.h"
#include "mem/stack.h"
#include "sched/choose.h"
#include "sched/debugvars.h"
#include "sched/init.h"
#include "tests/support/fake_sched.h"
#include "tests/support/kthreads.h"

using namespace rt0::runtime;
using testing_support::fake_m;

namespace {

// f() in a child, which has of the runtime's state what this process had at its start: nothing.  What it wrote to
// standard error; that of a failed expectation goes to standard output, and fails here.
template <class F>
std::string errors_of(F f) {
    int fds[2];
    if (pipe(fds) != 0) std::abort();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        f();
        fflush(stdout);
        _exit(testing::Test::HasFailure());
    }
    close(fds[1]);
    std::string text;
    char buf[4096];
    for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0;) text.append(buf, static_cast<std::size_t>(n));
    close(fds[0]);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << '\n' << text;
    return text;
}

int lines(const std::string& text) {
    int n = 0;
    for (char c : text) n += c == '\n';
    return n;
}

// While one lives no file can be opened.
class no_files {
public:
    no_files() {
        getrlimit(RLIMIT_NOFILE, &before_);
        rlimit none = {0, before_.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &none) != 0) std::abort();
    }
    ~no_files() { setrlimit(RLIMIT_NOFILE, &before_); }
    no_files(const no_files&) = delete;
    no_files& operator=(const no_files&) = delete;

private:
    rlimit before_;
};

// ---- boot

TEST(Boot, OfTooManyStationsTheFirstAreKept) {
    std::string text = errors_of([] {
        for (int i = 0; i < 40; i++) boottrace(i < 32 ? "kept" : "lost");
        parsedebugvars("boottrace=1");
        boottrace("later");
    });
    EXPECT_EQ(lines(text), 33) << text;
    EXPECT_EQ(text.find("lost"), text.npos) << text;
    EXPECT_TRUE(text.ends_with("us  later\n")) << text;
}

TEST(Boot, AnEmptyNumberOfPsIsNone) {
    std::string text = errors_of([] {
        setenv("RT0_MAXPROCS", "", 1);
        setenv("GOMAXPROCS", "3", 1);
        EXPECT_EQ(maxprocs_from_environment(), 3);
        setenv("GOMAXPROCS", "", 1);
        ncpu = 5;
        EXPECT_EQ(maxprocs_from_environment(), 5);
    });
    EXPECT_EQ(text, "") << "nothing to warn of";
}

// The initial thread's libc looks up in /proc/self/maps.
TEST(Boot, AStackThatLibcCannotTellIsUnknown) {
    EXPECT_NE(thread_stack().lo, 0u);
    stack s;
    {
        no_files none;
        s = thread_stack();
    }
    EXPECT_EQ(s.lo, 0u);
    EXPECT_EQ(s.hi, 0u);
}

TEST(Boot, AChannelThatComesAndGoesBeforeItBootsNothing) {
    errors_of([] {
        { rt0::chan<std::string> c(3); }
        EXPECT_FALSE(booted());
        EXPECT_EQ(getg(), nullptr);
    });
}

// ---- memory

// Guards by mprotect: where the limit of mappings cannot be read it is the kernel's default, and a large stack that
// comes when all guards are used up has none.
TEST(Memory, GuardsOfAnUnknownLimitAndBeyondIt) {
    std::string text = errors_of([] {
        rt0::kernel::inject_fail(rt0::kernel::inject::guard_probe, 1, EINVAL);
        ASSERT_EQ(rt0::kernel::guard_mode(), rt0::kernel::guard_kind::mprotect);
        {
            no_files none;
            mallocinit();
        }
        EXPECT_EQ(heap.guards_max, (65530 - cfg::spare_mappings) / 2);
        heap.guards_max = heap.guards.load() + 1;
        stack with = stackalloc(nullptr, cfg::stack_large), without = stackalloc(nullptr, cfg::stack_large);
        ASSERT_NE(with.slot, 0u);
        ASSERT_NE(without.slot, 0u);
        if (!test::sanitized) *reinterpret_cast<volatile char*>(without.slot) = 1;  // would fault
        stackfree(nullptr, without);
        stackfree(nullptr, with);
    });
    EXPECT_EQ(lines(text), 1) << text;
    EXPECT_NE(text.find("no guard pages left for stacks after 1 "), text.npos) << text;
}

// In locked memory a guard cannot be a region: those count, and in the end stacks have none; the regions do not.
TEST(Memory, GuardsInLockedMemory) {
    if (rt0::kernel::guard_mode() != rt0::kernel::guard_kind::madvise) GTEST_SKIP() << "no guard regions here";
    for (const bool refused : {false, true}) {
        std::string text = errors_of([&] {
            mallocinit();
            stack region = stackalloc(nullptr, cfg::stack_large);
            EXPECT_EQ(heap.guards, 0u);
            if (!refused) heap.guards_max = 1;
            rt0::kernel::inject_fail(rt0::kernel::inject::guard, 1, EINVAL, -1);
            if (refused) rt0::kernel::inject_fail(rt0::kernel::inject::mprotect, 1, ENOMEM, -1);
            stack with = stackalloc(nullptr, cfg::stack_large), without = stackalloc(nullptr, cfg::stack_large);
            ASSERT_NE(with.slot, 0u);
            ASSERT_NE(without.slot, 0u);
            if (!test::sanitized) *reinterpret_cast<volatile char*>(without.slot) = 1;  // would fault
            rt0::kernel::inject_off();  // memory that is not locked takes regions, as many as there are
            stack more = stackalloc(nullptr, 2 * cfg::stack_large);
            EXPECT_NE(more.slot, 0u);
            EXPECT_EQ(heap.guards, refused ? 0u : 1u);
            for (const stack& s : {region, with, without, more}) stackfree(nullptr, s);
            while (stacklarge_retire()) {
            }
            // Over where theirs were, from the arena's beginning, which is a multiple of that.
            stackfree(nullptr, stackalloc(nullptr, cfg::arena_granule));
            EXPECT_EQ(heap.guards, 0u);
        });
        EXPECT_EQ(lines(text), 1) << text;
        const std::string want = std::string("no guard pages left for stacks after ") + (refused ? "0 " : "1 ");
        EXPECT_NE(text.find(want), text.npos) << text;
    }
}

// PA4: what was in memory before stays known to be.
TEST(Memory, AStackWithoutItsGuardIsStillToBeGivenBack) {
    errors_of([] {
        mallocinit();
        std::vector<stack> v;
        for (int i = 0; i < 64; i++) v.push_back(stackalloc(nullptr, cfg::stack_large));
        for (const stack& s : v) {
            ASSERT_NE(s.slot, 0u);
            std::memset(reinterpret_cast<void*>(s.hi - 4096), 1, 4096);
            stackfree(nullptr, s);
        }
        while (stacklarge_retire()) {
        }
        const std::size_t idle = scavengeable();
        ASSERT_GE(idle, 64 * cfg::stack_large);
        rt0::kernel::inject_fail(rt0::kernel::inject::guard, 1, ENOMEM, -1);
        EXPECT_EQ(stackalloc(nullptr, 2 * cfg::stack_large).slot, 0u);
        EXPECT_EQ(scavengeable(), idle);
    });
}

// One is refused (locked) of each kind: the others go back all the same.
TEST(Memory, BehindWhatIsRefusedIsMoreToGiveBack) {
    errors_of([] {
        mallocinit();
        void *first = mallocrt(nullptr, 1 << 20), *wall = mallocrt(nullptr, 1 << 20), *second = mallocrt(nullptr, 1 << 20);
        for (void* p : {first, wall, second}) ASSERT_NE(p, nullptr);
        freert(nullptr, first);
        freert(nullptr, second);
        rt0::kernel::inject_fail(rt0::kernel::inject::madvise, 1, EINVAL, 1);
        EXPECT_GE(scavenge(~std::size_t{0}), std::size_t{1} << 20);
        EXPECT_EQ(rt0::kernel::inject_hits(rt0::kernel::inject::madvise), 1u);
        rt0::kernel::inject_off();
        while (scavenge(~std::size_t{0}) != 0) {
        }
        std::vector<stack> v;
        constexpr std::size_t slots = 3 * cfg::stack_span / cfg::stack_default;
        for (std::size_t i = 0; i < slots; i++) v.push_back(stackalloc(nullptr, cfg::stack_default));
        for (std::size_t i = 0; i < v.size(); i += 2) stackfree(nullptr, v[i]);  // no span is free as a whole
        const std::size_t idle = scavengeable();
        rt0::kernel::inject_fail(rt0::kernel::inject::madvise, 1, EINVAL, 2);
        EXPECT_GE(scavenge(cfg::stack_default), cfg::stack_default);
        EXPECT_EQ(rt0::kernel::inject_hits(rt0::kernel::inject::madvise), 2u);
        EXPECT_LT(scavengeable(), idle);
    });
}

TEST(Memory, LessThanAPageIsNotGivenBack) {
    errors_of([] {
        mallocinit();
        void* p = mallocrt(nullptr, 1 << 20);
        ASSERT_NE(p, nullptr);
        freert(nullptr, p);
        const std::size_t idle = scavengeable();
        ASSERT_GE(idle, std::size_t{1} << 20);
        EXPECT_EQ(scavenge(1), 0u);
        EXPECT_EQ(scavenge(cfg::heap_page - 1), 0u);
        EXPECT_EQ(scavengeable(), idle);
        EXPECT_EQ(scavenge(cfg::heap_page), cfg::heap_page);
        EXPECT_EQ(scavengeable(), idle - cfg::heap_page);
    });
}

// ---- whose stack it is

std::uintptr_t frame_in_systemstack(g** gp) {
    std::uintptr_t at = 0;
    systemstack([&] {
        at = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        *gp = getg();
    });
    return at;
}
// fn ran on the caller's stack: not far below it.
void expect_here(g* gp) {
    g* inside = reinterpret_cast<g*>(1);
    std::uintptr_t at = frame_in_systemstack(&inside), here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    EXPECT_LT(at, here);
    EXPECT_LT(here - at, 64u << 10);
    EXPECT_EQ(inside, gp);
    EXPECT_EQ(getg(), gp);
}

TEST(Systemstack, StaysWhereItIsOnOneAndWhereThereIsNone) {
    expect_here(nullptr);  // a foreign thread on its way in
    fake_m me;
    expect_here(&me.g0);
    g gsignal;
    gsignal.mp = &me.mp;
    me.mp.gsignal = &gsignal;
    setg(&gsignal);  // as in a handler
    expect_here(&gsignal);
    setg(&me.g0);
}

// ---- seeds

// Whoever ends the process yields to nobody (here a yield would crash), but the clock moves.
TEST(Seeds, NoPointIsAYieldInExit) {
    errors_of([] {
        seeded_start(1);
        gomaxprocs_now = 1;
        choose_start();
        fake_m me;
        g gp;
        gp.mp = &me.mp;
        sched.exiting = true;
        const std::int64_t before = virtual_now();
        for (int i = 0; i < 10'000; i++) seeded_point(&gp);
        EXPECT_GE(virtual_now() - before, 10'000 * cfg::seed_tick);
    });
}

}  // namespace
