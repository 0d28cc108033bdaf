// mcache and mcentral: caching and uncaching with both generations, flushing, frees by
// any P, the path without an mcache.
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "kernel_if/inject.h"
#include "mem/cache.h"
#include "mem/heap.h"

namespace rt0::runtime {

struct mcentral_test {  // looks inside
    static std::size_t length(const spanlist& l) {
        std::size_t n = 0;
        for (mspan* s = l.first; s; s = s->next) n++;
        return n;
    }
    static std::size_t partial(const mcentral& c) { return length(c.partial_); }
    static std::size_t full(const mcentral& c) { return length(c.full_); }
};

namespace {

constexpr unsigned cls = size_to_class(1024);
constexpr std::uint32_t nelems = size_classes[cls].nelems;

void next_sweep_phase() { heap.sweepgen.fetch_add(2); }

struct Central : testing::Test {
    void SetUp() override {
        mallocinit();
        by_hand.init(cls, false);
        collected.init(cls, true);
    }
    mspan* cache(mcentral& c) {
        mspan* s = c.cacheSpan(&freed);
        EXPECT_NE(s, nullptr);
        return s;
    }
    static void use(mspan* s, std::uint32_t n) {
        while (n-- > 0) ASSERT_LT(s->nextFreeIndex(), s->nelems);
    }
    mcentral by_hand, collected;
    objcache freed;
};

TEST_F(Central, UncacheNotStalePutsTheSpanOnTheRightList) {
    mspan* s = cache(by_hand);
    EXPECT_EQ(s->sweepgen, heap.sweepgen + 3);
    EXPECT_EQ(mcentral_test::partial(by_hand) + mcentral_test::full(by_hand), 0u);
    use(s, 1);
    by_hand.uncacheSpan(s);
    EXPECT_EQ(s->sweepgen, heap.sweepgen);
    EXPECT_EQ(mcentral_test::partial(by_hand), 1u);
    ASSERT_EQ(cache(by_hand), s) << "the span with space is used again";
    use(s, nelems - 1);
    by_hand.uncacheSpan(s);
    EXPECT_EQ(mcentral_test::full(by_hand), 1u);
    EXPECT_NE(cache(by_hand), s);
    EXPECT_TRUE(by_hand.is_valid());
}

TEST_F(Central, UncacheStaleSweepsTheSpan) {
    mspan* s = cache(collected);
    use(s, nelems);
    s->markBits[0] = 1;  // a collector found the first object alive, and only that
    next_sweep_phase();
    EXPECT_EQ(s->sweepgen, heap.sweepgen + 1);
    collected.uncacheSpan(s);
    EXPECT_EQ(s->sweepgen, heap.sweepgen);
    EXPECT_EQ(s->countFree(), nelems - 1);
    EXPECT_EQ(mcentral_test::partial(collected), 1u);
    ASSERT_EQ(cache(collected), s);
    EXPECT_EQ(s->nextFreeIndex(), 1u);
}

TEST_F(Central, UncacheStaleOfAHandFreedSpanFreesNothing) {
    mspan* s = cache(by_hand);
    use(s, nelems);
    next_sweep_phase();
    by_hand.uncacheSpan(s);
    EXPECT_EQ(s->sweepgen, heap.sweepgen);
    EXPECT_EQ(s->countFree(), 0u);
    EXPECT_EQ(mcentral_test::full(by_hand), 1u);
}

TEST_F(Central, UncacheOfASpanThatIsNotCachedThrows) {
    mspan* s = cache(by_hand);
    use(s, 1);
    by_hand.uncacheSpan(s);
    EXPECT_DEATH(by_hand.uncacheSpan(s), "span was not cached");
    s = cache(by_hand);
    s->sweepgen = heap.sweepgen + 0u;
    EXPECT_DEATH(by_hand.uncacheSpan(s), "span was not cached");
    s->sweepgen = heap.sweepgen - 1;
    EXPECT_DEATH(by_hand.uncacheSpan(s), "span was not cached");
    s->sweepgen = heap.sweepgen + 3;
}

TEST_F(Central, RefillSweepsFullSpansBeforeItTakesMemory) {
    std::vector<mspan*> v;
    for (int i = 0; i < 5; i++) {
        v.push_back(cache(collected));
        use(v.back(), nelems);
    }
    for (mspan* s : v) collected.uncacheSpan(s);
    ASSERT_EQ(mcentral_test::full(collected), 5u);
    for (int i = 0; i < 4; i++) v[i]->markBits[0] = ~std::uint64_t{0};  // all alive
    v[4]->markBits[0] = 6;
    next_sweep_phase();
    mspan* s = cache(collected);
    EXPECT_EQ(s, v[4]);
    EXPECT_EQ(s->nextFreeIndex(), 0u);
    EXPECT_EQ(s->nextFreeIndex(), 3u);
    EXPECT_EQ(mcentral_test::full(collected), 4u);
    for (int i = 0; i < 4; i++) EXPECT_EQ(v[i]->sweepgen, heap.sweepgen) << i;
    EXPECT_TRUE(collected.is_valid());
}

TEST_F(Central, SweepOneBringsEverySpanUpToDate) {
    std::vector<mspan*> v;
    for (std::uint32_t i = 0; i < 6; i++) {
        v.push_back(cache(collected));
        use(v.back(), i % 2 ? nelems : 3);
    }
    for (mspan* s : v) collected.uncacheSpan(s);
    EXPECT_FALSE(collected.sweep_one()) << "all swept";
    for (mspan* s : v) s->markBits[0] = 1;
    next_sweep_phase();
    int n = 0;
    while (collected.sweep_one()) n++;
    EXPECT_EQ(n, 6);
    for (mspan* s : v) EXPECT_EQ(s->sweepgen, heap.sweepgen);
    EXPECT_EQ(mcentral_test::partial(collected), 6u);
    EXPECT_TRUE(collected.is_valid());
}

TEST_F(Central, EmptySpansGoBackToTheHeapButOne) {
    std::size_t before = heap.object_pages;
    std::vector<void*> objects;
    for (std::uint32_t i = 0; i < 10 * nelems; i++) objects.push_back(by_hand.alloc_one());
    EXPECT_EQ(heap.object_pages, before + 10 * size_classes[cls].npages);
    EXPECT_EQ(mcentral_test::full(by_hand), 10u);
    EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), objects.size());
    for (void* p : objects) by_hand.free_one(static_cast<object_link*>(p));
    EXPECT_EQ(heap.object_pages, before + size_classes[cls].npages);
    EXPECT_EQ(mcentral_test::partial(by_hand), 1u);
    EXPECT_TRUE(by_hand.is_valid());
}

TEST_F(Central, ObjectsFreedWhileAnotherHasTheSpanComeWithTheNextCaching) {
    mspan* s = cache(by_hand);
    use(s, nelems);
    by_hand.free_one(reinterpret_cast<object_link*>(s->object(3)));
    EXPECT_EQ(s->nmanual, 1u);
    EXPECT_EQ(s->list, nullptr) << "its holder keeps it";
    by_hand.uncacheSpan(s);
    EXPECT_EQ(mcentral_test::partial(by_hand), 1u);
    ASSERT_EQ(cache(by_hand), s);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(freed.head), s->object(3));
    EXPECT_EQ(freed.n, 1u);
    EXPECT_EQ(s->nmanual, 0u);
}

TEST_F(Central, ForeignPointersThrow) {
    void* p = by_hand.alloc_one();
    alignas(64) char local[64];
    EXPECT_DEATH(by_hand.free_one(reinterpret_cast<object_link*>(local)), "not an object");
    EXPECT_DEATH(by_hand.free_one(reinterpret_cast<object_link*>(static_cast<char*>(p) + 8)), "not an object");
    EXPECT_DEATH(freert(nullptr, local), "not an object");
}

// ---- mcache

struct Cache : testing::Test {
    void SetUp() override { ASSERT_NE(c = allocmcache(), nullptr); }
    void TearDown() override {
        freemcache(c);
        for (unsigned k = 1; k < num_size_classes; k++) ASSERT_TRUE(mcentrals[k].is_valid()) << k;
    }
    mcache* c = nullptr;
};

TEST_F(Cache, ObjectsAreZeroAlignedAndApart) {
    for (std::size_t n : {1, 16, 17, 48, 63, 64, 65, 300, 1024, 5000, 32768, 32769, 1000000}) {
        std::vector<char*> v;
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 40; i++) {
                auto* p = static_cast<char*>(mallocrt(i % 4 ? c : nullptr, n));
                ASSERT_NE(p, nullptr);
                ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % (n < 64 ? 16 : 64), 0u);
                for (std::size_t k = 0; k < n; k += n > 100000 ? 997 : 1) ASSERT_EQ(p[k], 0) << n << " byte " << k;
                std::memset(p, 0xAB, n);
                v.push_back(p);
            }
            std::set<char*> distinct(v.begin(), v.end());
            ASSERT_EQ(distinct.size(), v.size());
            for (std::size_t i = 0; i < v.size(); i++) freert(i % 3 ? c : nullptr, v[i]);
            v.clear();
        }
    }
}

TEST_F(Cache, AFreedObjectIsTheNextGivenOut) {
    void* p = mallocrt(c, 384);
    freert(c, p);
    EXPECT_EQ(mallocrt(c, 384), p);
    freert(c, p);
    freert(c, nullptr);
}

#ifdef RT0_ASAN
TEST_F(Cache, AddressSanitizerSeesUseAfterFreeAndSecondFree) {
    auto* p = static_cast<volatile char*>(mallocrt(c, 100));
    p[99] = 1;
    freert(c, const_cast<char*>(p));
    EXPECT_DEATH(p[99] = 2, "use-after-poison");
    EXPECT_DEATH(freert(c, const_cast<char*>(p)), "free already");
}
#endif

TEST_F(Cache, PrepareForSweepFlushesOncePerPhase) {
    void* p = mallocrt(c, 1024);
    void* q = mallocrt(c, 1024);
    freert(c, q);
    mspan* s = c->alloc[cls];
    ASSERT_NE(s, nullptr);
    mcache_prepare_for_sweep(c);
    EXPECT_EQ(c->alloc[cls], s) << "same phase: nothing happens";
    next_sweep_phase();
    stack st = stackalloc(c, 1);
    stackfree(c, st);
    EXPECT_GT(c->stacks[0].n, 0u);
    mcache_prepare_for_sweep(c);
    EXPECT_EQ(c->flushGen, heap.sweepgen);
    EXPECT_EQ(c->alloc[cls], nullptr);
    EXPECT_EQ(c->freed[cls].n, 0u);
    EXPECT_EQ(c->freed[cls].head, nullptr);
    EXPECT_EQ(c->stacks[0].n, 0u);
    EXPECT_EQ(s->sweepgen, heap.sweepgen) << "was stale, so it was swept";
    EXPECT_EQ(*static_cast<char*>(p), 0);
    freert(c, p);
}

TEST_F(Cache, BackgroundSweepReachesEverySpanNobodyCaches) {
    std::vector<void*> v;
    for (int i = 0; i < 500; i++) v.push_back(mallocrt(nullptr, static_cast<std::size_t>(i) * 40 + 1));
    while (sweepone()) {
    }
    next_sweep_phase();
    int n = 0;
    while (sweepone()) n++;
    EXPECT_GE(n, 40) << "one span at least of most classes";
    for (void* p : v) EXPECT_EQ(span_of(reinterpret_cast<std::uintptr_t>(p))->sweepgen, heap.sweepgen);
    mcache_prepare_for_sweep(c);
    for (void* p : v) freert(c, p);
}

TEST_F(Cache, ACacheForgottenForTwoPhasesThrows) {
    next_sweep_phase();
    next_sweep_phase();
    EXPECT_DEATH(mcache_prepare_for_sweep(c), "bad flushGen");
    c->flushGen = heap.sweepgen + 2;  // from the future
    EXPECT_DEATH(mcache_prepare_for_sweep(c), "bad flushGen");
    c->flushGen = heap.sweepgen + 0u;
}

TEST_F(Cache, ReleaseAllGivesEverythingBack) {
    std::size_t before = heap.object_pages;
    std::vector<void*> v;
    for (int i = 0; i < 3000; i++) v.push_back(mallocrt(c, static_cast<std::size_t>(i) * 11 + 1));
    for (void* p : v) freert(c, p);
    c->releaseAll();
    for (unsigned k = 1; k < num_size_classes; k++) {
        ASSERT_EQ(c->freed[k].n, 0u);
        ASSERT_EQ(c->freed[k].spare, nullptr);
        ASSERT_EQ(c->alloc[k], nullptr);
    }
    std::size_t one_each = 0;
    for (unsigned k = 1; k < num_size_classes; k++) one_each += size_classes[k].npages;
    EXPECT_LE(heap.object_pages, before + one_each) << "at most one empty span per class is kept";
}

TEST_F(Cache, WhatIsKeptHoldsNoSpanOfWhatGoes) {
    constexpr std::size_t n = 1000;
    std::size_t before = heap.object_pages;
    std::vector<void*> kept, brief;
    for (std::size_t i = 0; i < n; i++) {
        kept.push_back(mallockept(c));
        for (int k = 0; k < 31; k++) brief.push_back(mallocrt(c, cfg::kept_object));
    }
    for (void* p : brief) freert(c, p);
    c->releaseAll();
    const size_class &k = size_classes[kept_class], &b = size_classes[size_to_class(cfg::kept_object)];
    EXPECT_EQ(k.size, b.size);
    EXPECT_LE(heap.object_pages, before + (n / k.nelems + 2) * k.npages + b.npages) << "beside each other they would keep all";
    for (void* p : kept) freert(c, p);
}

TEST_F(Cache, FreedMcachesAreUsedAgain) {
    mcache* d = allocmcache();
    freemcache(d);
    EXPECT_EQ(allocmcache(), d);
    freemcache(d);
}

TEST_F(Cache, NoMemoryGivesNullAndLosesNothing) {
    std::vector<void*> v;
    kernel::inject_fail(kernel::inject::mmap, 1, 12, -1);
    void* p;
    while ((p = mallocrt(c, 1 << 20))) v.push_back(p);
    EXPECT_EQ(mallocrt(nullptr, 1 << 20), nullptr);
    std::size_t large = v.size();
    while ((p = mallocrt(c, 30000))) v.push_back(p);
    while ((p = mallocrt(nullptr, 30000))) v.push_back(p);
    EXPECT_EQ(mallocrt(c, ~std::size_t{0}), nullptr);
    for (void* q : v) freert(c, q);
    v.clear();
    c->releaseAll();
    for (std::size_t i = 0; i < large; i++) v.push_back(mallocrt(c, 1 << 20));
    for (void* q : v) EXPECT_NE(q, nullptr) << "what was freed is there again";
    kernel::inject_off();
    for (void* q : v) freert(c, q);
    guard g(heap.lock);
    EXPECT_TRUE(heap.objects.is_valid());
}

TEST_F(Cache, ObjectsAsLargeAsAnArenaGoBackAtOnce) {
    const std::size_t n = cfg::arena_size + cfg::heap_page;
    auto* p = static_cast<char*>(mallocrt(c, n));
    ASSERT_NE(p, nullptr);
    p[0] = p[n - 1] = 1;
    auto dirty = [] { return heap.objects.dirty_hint(); };
    std::size_t before = dirty();
    freert(c, p);
    EXPECT_EQ(dirty(), before);
    auto* q = static_cast<char*>(mallocrt(c, n));
    EXPECT_EQ(q, p);
    EXPECT_EQ(q[0] + q[n - 1], 0);
    kernel::inject_fail(kernel::inject::madvise, 1, 22);
    q[0] = 1;
    freert(c, q);
    EXPECT_GT(dirty(), before) << "the kernel refused: the pages are ours still";
    q = static_cast<char*>(mallocrt(c, n));
    EXPECT_EQ(q[0], 0);
    freert(c, q);
    kernel::inject_off();
}

TEST_F(Cache, NothingLargerThanTheMachineIsGivenOut) {
    std::size_t reserved = heap.objects.reserved();
    EXPECT_EQ(mallocrt(c, heap.memory_max + 1), nullptr);
    EXPECT_EQ(heap.objects.reserved(), reserved);
}

// Threads with an mcache each hand their objects on to the next, who frees them.
TEST(CacheStress, EachFreesTheOthersObjects) {
    mallocinit();
    constexpr int threads = 4, rounds = 4000, batch = 24;
    struct alignas(64) box {
        std::atomic<void**> full{nullptr};
    } boxes[threads];
    std::atomic<int> bad{0};
    auto body = [&](int me) {
        mcache* c = allocmcache();
        unsigned x = 12345u + static_cast<unsigned>(me);
        auto rnd = [&] { return x = x * 1664525u + 1013904223u, x >> 8; };
        auto drain = [&](void** b) {
            for (int i = 0; i < batch; i++) {
                auto* w = static_cast<std::size_t*>(b[i]);
                if (w[0] != w[1] || w[0] < 16) bad++;
                freert(rnd() % 8 ? c : nullptr, w);
            }
            freert(c, b);
        };
        for (int r = 0; r < rounds; r++) {
            auto** b = static_cast<void**>(mallocrt(c, batch * sizeof(void*)));
            for (int i = 0; i < batch; i++) {
                std::size_t n = 16 + rnd() % (rnd() % 16 ? 600 : 20000);
                auto* w = static_cast<std::size_t*>(mallocrt(rnd() % 8 ? c : nullptr, n));
                if (w[0] != 0 || w[1] != 0) bad++;
                w[0] = w[1] = n;
                b[i] = w;
            }
            if (void** old = boxes[(me + 1) % threads].full.exchange(b)) drain(old);
            if (void** mine = boxes[me].full.exchange(nullptr)) drain(mine);
            if (r % 512 == 0) c->releaseAll();
        }
        freemcache(c);
    };
    std::vector<std::thread> ts;
    for (int i = 0; i < threads; i++) ts.emplace_back(body, i);
    for (auto& t : ts) t.join();
    for (auto& b : boxes) {
        if (void** rest = b.full.load()) {
            for (int i = 0; i < batch; i++) freert(nullptr, rest[i]);
            freert(nullptr, rest);
        }
    }
    EXPECT_EQ(bad, 0);
    for (unsigned k = 1; k < num_size_classes; k++) ASSERT_TRUE(mcentrals[k].is_valid());
    guard g(heap.lock);
    EXPECT_TRUE(heap.objects.is_valid());
}

}  // namespace
}  // namespace rt0::runtime
