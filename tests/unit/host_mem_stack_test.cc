// Stacks: orders, guards over reuse and re-cutting, caches and pools, the kernel's
// refusals, what a parked stack costs, giving idle ones back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "kernel_if/inject.h"
#include "mem/heap.h"
#include "mem/stack.h"
#include "tests/support/smaps.h"

namespace rt0::runtime {
namespace {

// Would an access at p fault?  Asked of the kernel: a system call on it gives EFAULT.
bool readable(std::uintptr_t p) {
    static int fds[2] = {-1, -1};
    if (fds[0] < 0 && pipe(fds) != 0) abort();
    if (write(fds[1], reinterpret_cast<void*>(p), 1) != 1) return false;
    char c;
    return read(fds[0], &c, 1) == 1;
}

bool guarded(const stack& s) {
    return !readable(s.slot) && !readable(s.lo - 4096) && !readable(s.lo - 1) && readable(s.lo) && readable(s.hi - 1);
}

long status_kib(const char* key) {
    FILE* f = std::fopen("/proc/self/status", "r");
    char line[256];
    long v = -1;
    while (std::fgets(line, sizeof line, f))
        if (std::strncmp(line, key, std::strlen(key)) == 0) std::sscanf(line + std::strlen(key), " %ld", &v);
    std::fclose(f);
    return v;
}

stack default_stack(std::uintptr_t slot) {
    return {slot + cfg::stack_guard, slot + cfg::stack_default, slot, cfg::stack_default};
}

void touch_top(const stack& s) { *reinterpret_cast<volatile char*>(s.hi - 64) = 1; }

// The stacks' page heap without any guard bit or slot of earlier tests in the way is not to
// be had, so tests compare with what they found.
void expect_valid() {
    for (auto& pool : stackpool) {
        guard g(pool.lock);
        std::size_t nfree = 0, ndirty = 0;
        for (spanlist* l : {&pool.warm, &pool.cold}) {
            for (mspan* s = l->first; s; s = s->next) {
                EXPECT_EQ(s->list, l);
                EXPECT_EQ(order_size(s->order), order_size(static_cast<int>(&pool - stackpool)));
                EXPECT_NE(s->slot_free, 0u);
                EXPECT_EQ((s->slot_free & ~s->slot_clean) != 0, l == &pool.warm);
                nfree += static_cast<std::size_t>(std::popcount(s->slot_free));
                ndirty += static_cast<std::size_t>(std::popcount(s->slot_free & ~s->slot_clean));
            }
        }
        EXPECT_EQ(nfree, pool.nfree);
        EXPECT_EQ(ndirty, pool.ndirty);
    }
    guard g(heap.lock);
    EXPECT_TRUE(heap.stacks.is_valid());
}

struct Stacks : testing::Test {
    void SetUp() override { ASSERT_NE(c = allocmcache(), nullptr); }
    void TearDown() override {
        kernel::inject_off();
        freemcache(c);
        expect_valid();
    }
    mcache* c = nullptr;
};

TEST_F(Stacks, EveryOrderIsAPowerOfTwoAlignedAndGuarded) {
    for (std::size_t n = 1; n <= std::size_t{64} << 20; n = n < 4096 ? n * 8 : n + n / 3) {
        for (mcache* from : {c, static_cast<mcache*>(nullptr)}) {
            stack s = stackalloc(from, n);
            ASSERT_NE(s.slot, 0u) << n;
            std::size_t want = n < cfg::stack_min ? cfg::stack_min : std::bit_ceil(n);
            ASSERT_EQ(s.size, want);
            ASSERT_EQ(s.slot % s.size, 0u);
            ASSERT_EQ(s.lo, s.slot + cfg::stack_guard);
            ASSERT_EQ(s.hi, s.slot + s.size);
            ASSERT_TRUE(guarded(s)) << n;
            touch_top(s);
            stackfree(from, s);
        }
    }
}

TEST_F(Stacks, ZeroMeansTheSmallestAndTooLargeNone) {
    stack s = stackalloc(c, 0);
    EXPECT_EQ(s.size, cfg::stack_min);
    stackfree(c, s);
    EXPECT_EQ(stackalloc(c, cfg::stack_max + 1).slot, 0u);
    EXPECT_EQ(stackalloc(c, ~std::size_t{0}).slot, 0u);
#ifndef RT0_ASAN  // its shadow would be 128 MiB of real memory
    s = stackalloc(c, cfg::stack_max);
    EXPECT_TRUE(guarded(s));
    stackfree(c, s);
#endif
}

TEST_F(Stacks, TheCacheIsLastInFirstOut) {
    stack a = stackalloc(c, cfg::stack_default), b = stackalloc(c, cfg::stack_default);
    stackfree(c, a);
    stackfree(c, b);
    EXPECT_EQ(stackalloc(c, cfg::stack_default).slot, b.slot);
    EXPECT_EQ(stackalloc(c, cfg::stack_default).slot, a.slot);
    stackfree(c, a);
    stackfree(c, b);
}

TEST_F(Stacks, FullCacheGivesItsColderHalfToThePool) {
    std::uint32_t cap = order_cap(1);
    std::vector<stack> v;
    for (std::uint32_t i = 0; i < 3 * cap; i++) v.push_back(stackalloc(c, cfg::stack_default));
    std::set<std::uintptr_t> distinct;
    for (auto& s : v) distinct.insert(s.slot);
    ASSERT_EQ(distinct.size(), v.size());
    stackcache_clear(c);
    for (std::uint32_t i = 0; i <= cap; i++) stackfree(c, v[i]);
    EXPECT_EQ(c->stacks[1].n, cap / 2 + 1);
    EXPECT_EQ(c->stacks[1].slot[0], v[cap / 2].slot) << "the older half went";
    for (std::uint32_t i = cap + 1; i < 3 * cap; i++) stackfree(c, v[i]);
    EXPECT_LE(c->stacks[1].n, cap);
}

TEST_F(Stacks, GuardStaysThroughCachePoolAndScavenge) {
    stack s = stackalloc(nullptr, cfg::stack_default);
    kernel::inject_fail(kernel::inject::guard, 1, 12, -1);  // from here on no guard could be made
    for (int i = 0; i < 3; i++) {
        ASSERT_TRUE(guarded(s));
        stackfree(c, s);
        EXPECT_FALSE(readable(s.slot)) << "idle in the cache";
        ASSERT_EQ(stackalloc(c, cfg::stack_default).slot, s.slot);
    }
    touch_top(s);
    stackfree(nullptr, s);
    EXPECT_FALSE(readable(s.slot)) << "idle in the pool";
    while (scavenge(~std::size_t{0}) != 0) {
    }
    EXPECT_FALSE(readable(s.slot)) << "and without pages";
    EXPECT_EQ(*reinterpret_cast<volatile char*>(s.hi - 64), 0) << "they are the kernel's";
}

// Stacks of every order out of the same pages, again and again: a guard is where a stack
// begins and nowhere inside one.
TEST_F(Stacks, RecutSpansHaveGuardsWhereTheyBelongOnly) {
    std::mt19937 rnd(3);
    for (int round = 0; round < 12; round++) {
        std::size_t size = cfg::stack_min << (rnd() % 8);
        std::vector<stack> v;
        for (std::size_t bytes = 0; bytes < (std::size_t{24} << 20); bytes += size) {
            stack s = stackalloc(nullptr, size);
            ASSERT_NE(s.slot, 0u);
            ASSERT_TRUE(guarded(s));
            for (std::uintptr_t at = s.lo; at < s.hi; at += 16 << 10)
                ASSERT_TRUE(readable(at)) << "offset " << at - s.slot << " of " << size;
            touch_top(s);
            v.push_back(s);
        }
        for (auto& s : v) stackfree(nullptr, s);
        if (round % 3 == 0)
            while (stacklarge_retire()) {
            }
        expect_valid();
    }
}

TEST_F(Stacks, FreeingTwiceOrSomethingElseThrows) {
    stack s = stackalloc(nullptr, cfg::stack_default), t = stackalloc(nullptr, cfg::stack_default);
    stackfree(nullptr, s);
    EXPECT_DEATH(stackfree(nullptr, s), "free already|not a stack");
    stack wrong = t;
    wrong.size = cfg::stack_min;
    EXPECT_DEATH(stackfree(nullptr, wrong), "not a stack");
    stack large = stackalloc(nullptr, 4 << 20);
    stackfree(nullptr, large);
    EXPECT_DEATH(stackfree(nullptr, large), "not a stack");
    void* object = mallocrt(nullptr, cfg::small_max);
    wrong = {0, 0, reinterpret_cast<std::uintptr_t>(object), cfg::stack_min};
    EXPECT_DEATH(stackfree(nullptr, wrong), "not a stack");
    freert(nullptr, object);
    stackfree(nullptr, t);
}

// Before main, as by the constructor of a static object in another file.
struct early {
    void* p = mallocrt(nullptr, 100);
    stack s = stackalloc(nullptr, cfg::stack_default);
} before_main;

TEST(StacksEarly, WorksFromAStaticConstructor) {
    ASSERT_NE(before_main.p, nullptr);
    ASSERT_NE(before_main.s.slot, 0u);
    std::memset(reinterpret_cast<void*>(before_main.s.lo), 1, before_main.s.hi - before_main.s.lo);
    freert(nullptr, before_main.p);
    stackfree(nullptr, before_main.s);
}

// ---- refusals

TEST_F(Stacks, NoAddressesGivesNoStackAndLosesNone) {
    for (std::size_t size : {cfg::stack_default, std::size_t{2} << 20}) {
        std::vector<stack> v;
        kernel::inject_fail(kernel::inject::mmap, 1, 12, -1);
        for (;;) {
            stack s = stackalloc(c, size);
            if (!s.slot) break;
            v.push_back(s);
        }
        EXPECT_GT(kernel::inject_hits(kernel::inject::mmap), 0u);
        EXPECT_EQ(stackalloc(nullptr, size).slot, 0u);
        for (auto& s : v) stackfree(c, s);
        std::size_t again = 0;
        for (std::vector<stack> w; again < v.size(); again++) {
            stack s = stackalloc(c, size);
            ASSERT_NE(s.slot, 0u) << "what was freed can be had again: " << again << " of " << v.size();
            v[again] = s;
        }
        kernel::inject_off();
        for (auto& s : v) stackfree(c, s);
    }
}

TEST_F(Stacks, RefusedGuardsGiveNoStackAndLoseNone) {
    memstats before = read_memstats();
    std::vector<stack> idle;  // everything that has its guard already is taken first
    kernel::inject_fail(kernel::inject::guard, 1, 12, -1);
    for (std::size_t size : {cfg::stack_min, cfg::stack_min << 3, cfg::stack_large, cfg::stack_large << 5}) {
        for (;;) {
            stack s = stackalloc(nullptr, size);
            if (!s.slot) break;
            idle.push_back(s);
        }
        EXPECT_EQ(stackalloc(c, size).slot, 0u);
    }
    kernel::inject_off();
    for (auto& s : idle) {
        ASSERT_TRUE(guarded(s));
        stackfree(nullptr, s);
    }
    EXPECT_EQ(read_memstats().stack_inuse, before.stack_inuse);
    // One refusal among several of a batch: the others are handed out, the refused one later.
    kernel::inject_fail(kernel::inject::guard, 2, 12, 1);
    for (int i = 0; i < 200; i++) {
        stack s = stackalloc(c, cfg::stack_min << 4);
        if (!s.slot) continue;
        ASSERT_TRUE(guarded(s));
        idle.push_back(s);
        if (kernel::inject_hits(kernel::inject::guard) != 0 && i > 150) break;
    }
    EXPECT_EQ(kernel::inject_hits(kernel::inject::guard), 1u);
}

// ---- cost and return

// Measured as the difference of RSS and page tables: nothing else may grow meanwhile.
TEST_F(Stacks, AParkedStackCostsOnePageAndItsShareOfAPageTable) {
#if defined(RT0_ASAN) || defined(RT0_TSAN)
    GTEST_SKIP() << "shadow memory is counted too";
#endif
    constexpr std::size_t n = 8000;
    std::vector<stack> v(n);
    for (auto& s : v) s = {1, 1, 1, 1};  // the vector's own pages, before the first look
    long rss = status_kib("VmRSS:"), pte = status_kib("VmPTE:");
    for (auto& s : v) {
        s = stackalloc(c, cfg::stack_default);
        ASSERT_NE(s.slot, 0u);
        touch_top(s);
    }
    long bytes = (status_kib("VmRSS:") - rss) * 1024 / static_cast<long>(n);
    long tables = (status_kib("VmPTE:") - pte) * 1024 / static_cast<long>(n);
    std::printf("resident %ld + page tables %ld bytes a stack\n", bytes, tables);
    EXPECT_LE(bytes + tables, 4096 + 128 + 64);
    for (auto& s : v) stackfree(c, s);
}

TEST_F(Stacks, ScavengeLowersRss) {
    while (scavenge(~std::size_t{0}) != 0) {
    }
    constexpr std::size_t n = 1500;
    std::vector<stack> v;
    for (std::size_t i = 0; i < n; i++) v.push_back(stackalloc(c, cfg::stack_default));
    stack large = stackalloc(c, 8 << 20);
    for (auto& s : v) std::memset(reinterpret_cast<void*>(s.hi - 16384), 1, 16384);
    std::memset(reinterpret_cast<void*>(large.lo), 1, large.hi - large.lo);
    void* object = mallocrt(c, 8 << 20);
    std::memset(object, 1, 8 << 20);
    long full = status_kib("VmRSS:");
    for (std::size_t i = 0; i < n; i += 2) stackfree(c, v[i]);  // every second one: no span is empty
    stackfree(c, large);
    freert(c, object);
    stackcache_clear(c);
    long kept = status_kib("VmRSS:");
    EXPECT_GT(kept, full - 1024) << "idle memory stays until it is asked for";
    std::size_t idle = scavengeable(), released = read_memstats().released;
    EXPECT_GE(idle, n / 2 * cfg::stack_default + (16 << 20));
    std::size_t half = scavenge(idle / 2);
    EXPECT_LE(half, idle / 2);
    EXPECT_GE(half, idle / 2 - (1 << 20));
    EXPECT_EQ(scavengeable(), idle - half);
    EXPECT_GT(scavenge(~std::size_t{0}), 0u);
    EXPECT_EQ(scavengeable(), 0u);
    EXPECT_EQ(scavenge(~std::size_t{0}), 0u);
    EXPECT_GE(read_memstats().released, released + idle - (1 << 20));
    long freed_kib = static_cast<long>(n / 2 * 16 + 16 * 1024);
    EXPECT_LT(status_kib("VmRSS:"), full - freed_kib + 4096);
    for (std::size_t i = 1; i < n; i += 2) {
        ASSERT_EQ(*reinterpret_cast<char*>(v[i].hi - 1), 1) << "the others are untouched";
        stackfree(c, v[i]);
    }
}

TEST_F(Stacks, ScavengeEndsWhenTheKernelRefuses) {
    stack s = stackalloc(nullptr, cfg::stack_default);
    touch_top(s);
    stackfree(nullptr, s);
    kernel::inject_fail(kernel::inject::madvise, 1, 22, -1);
    std::size_t idle = scavengeable();
    EXPECT_GT(idle, 0u);
    EXPECT_EQ(scavenge(~std::size_t{0}), 0u);
    kernel::inject_off();
    EXPECT_EQ(scavengeable(), idle) << "nothing lost";
    EXPECT_GT(scavenge(~std::size_t{0}), 0u);
}

TEST_F(Stacks, ScavengeHonoursALimitSmallerThanAStack) {
    stack s = stackalloc(nullptr, 16 << 20);
    std::memset(reinterpret_cast<void*>(s.lo), 1, s.hi - s.lo);
    stackfree(nullptr, s);
    std::size_t steps = 0;
    while (std::size_t n = scavenge(1 << 20)) {
        ASSERT_LE(n, std::size_t{1} << 20);
        steps++;
    }
    EXPECT_GE(steps, 16u);
}

TEST_F(Stacks, ArenasAreInMapsAndNeverHuge) {
    stack s = stackalloc(c, cfg::stack_default);
    const std::string flags = testing_support::vm_flags(s.lo);
    EXPECT_NE(flags, "");
    EXPECT_TRUE(heap.physHugePageSize == 0 || flags.find(" nh") != std::string::npos) << flags;
    stackfree(c, s);
}

// ---- overflow

[[gnu::noinline]] int dig(int depth) {
    volatile char frame[40 << 10];
    frame[0] = static_cast<char>(depth);
    return depth <= 0 ? 0 : dig(depth - 1) + frame[0];
}

[[noreturn]] void overflow_on(const stack& s) {
#if defined(__x86_64__)
    asm volatile("movq %0, %%rsp\n\txorl %%ebp, %%ebp\n\tmovl $1000, %%edi\n\tcall *%1\n\thlt"
                 :
                 : "r"(s.hi - 64), "r"(&dig)
                 : "memory", "rdi");
#endif
    _exit(0);
}

TEST_F(Stacks, FramesOf40KiBCannotJumpTheGuard) {
#if defined(RT0_ASAN) || defined(RT0_TSAN)
    GTEST_SKIP() << "AddressSanitizer moves the frames off the stack, ThreadSanitizer takes the fault";
#endif
    stack below = stackalloc(nullptr, cfg::stack_default), s = stackalloc(nullptr, cfg::stack_default);
    std::vector<stack> others;
    while (s.slot != below.hi) {  // a neighbour to be overwritten
        others.push_back(below);
        below = s;
        s = stackalloc(nullptr, cfg::stack_default);
    }
    EXPECT_EXIT(overflow_on(s), testing::KilledBySignal(SIGSEGV), "");
    for (auto& o : others) stackfree(nullptr, o);
    stackfree(nullptr, below);
    stackfree(nullptr, s);
}

// ---- threads

TEST(StackStress, ThreadsWithACacheEachFreeTheOthersStacks) {
    mallocinit();
    constexpr int threads = 4, rounds = 15000;
    std::atomic<std::uintptr_t> box[8] = {};
    std::atomic<int> bad{0}, running{threads};
    auto body = [&](int me) {
        mcache* c = allocmcache();
        std::mt19937 rnd(static_cast<unsigned>(me));
        std::vector<stack> mine;
        for (int r = 0; r < rounds; r++) {
            std::size_t size = cfg::stack_min << (rnd() % 16 ? rnd() % 2 : rnd() % 7);
            stack s = stackalloc(rnd() % 8 ? c : nullptr, size);
            if (!s.slot) { bad++; continue; }
            auto* w = reinterpret_cast<volatile std::uintptr_t*>(s.hi - 64);
            *w = s.slot;
            mine.push_back(s);
            if (mine.size() > 40 || rnd() % 2) {
                std::size_t i = rnd() % mine.size();
                stack t = mine[i];
                mine[i] = mine.back();
                mine.pop_back();
                if (*reinterpret_cast<volatile std::uintptr_t*>(t.hi - 64) != t.slot) bad++;
                std::uintptr_t give = t.size == cfg::stack_default ? t.slot : 0;
                if (give) give = box[rnd() % 8].exchange(give);
                else stackfree(rnd() % 8 ? c : nullptr, t);
                if (give) {
                    stack u = default_stack(give);
                    if (*reinterpret_cast<volatile std::uintptr_t*>(u.hi - 64) != u.slot) bad++;
                    stackfree(c, u);
                }
            }
            if (rnd() % 1024 == 0) stackcache_clear(c);
        }
        for (auto& s : mine) stackfree(c, s);
        freemcache(c);
        running--;
    };
    std::vector<std::thread> ts;
    for (int i = 0; i < threads; i++) ts.emplace_back(body, i);
    while (running > 0) {
        scavenge(2 << 20);
        scavengeable();
        std::this_thread::yield();
    }
    for (auto& t : ts) t.join();
    for (auto& b : box)
        if (std::uintptr_t slot = b) stackfree(nullptr, default_stack(slot));
    EXPECT_EQ(bad, 0);
    expect_valid();
}

}  // namespace
}  // namespace rt0::runtime
