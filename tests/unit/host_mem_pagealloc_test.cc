// The page allocator against a model: a map of who owns which pages.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "kernel_if/inject.h"
#include "mem/heap.h"
#include "mem/pagealloc.h"

namespace rt0::runtime {
namespace {

constexpr std::size_t page = cfg::heap_page;

struct PageAlloc : testing::Test {
    void SetUp() override {
        mallocinit();
        pa.set_arena_size(4 << 20);  // 512 pages
    }
    mspan* alloc(std::size_t n, std::size_t align = 1) {
        guard g(heap.lock);
        return pa.alloc(n, align, span_state::in_use);
    }
    void free(mspan* s) {
        guard g(heap.lock);
        pa.free(s);
    }
    void check() {
        guard g(heap.lock);
        ASSERT_TRUE(pa.is_valid());
    }
    pagealloc pa{page, false};
};

TEST_F(PageAlloc, NeighboursCoalesceWhicheverIsFreedFirst) {
    for (int order = 0; order < 6; order++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        mspan* s[3];
        for (auto& x : s) ASSERT_NE(x = alloc(7), nullptr);
        for (int i : orders[order]) {
            free(s[i]);
            check();
        }
        EXPECT_EQ(pa.free_pages(), pa.reserved());
        mspan* all = alloc(512);  // only one span of the whole arena can give this
        ASSERT_NE(all, nullptr);
        EXPECT_EQ(pa.reserved(), 512u);
        free(all);
    }
}

TEST_F(PageAlloc, BestFitThenLowestAddress) {
    mspan *a = alloc(10), *x = alloc(1), *b = alloc(5), *y = alloc(1), *c = alloc(5), *z = alloc(1);
    std::uintptr_t b_start = b->start, a_start = a->start;
    free(a);
    free(b);
    free(c);
    mspan* got = alloc(5);
    EXPECT_EQ(got->start, b_start) << "of the two holes of 5 the lower, not the hole of 10";
    mspan* six = alloc(6);
    EXPECT_EQ(six->start, a_start) << "the hole of 10, not the rest of the arena";
    for (mspan* s : {x, y, z, got, six}) free(s);
    check();
    EXPECT_EQ(pa.free_pages(), pa.reserved());
}

TEST_F(PageAlloc, AlignedRunsFromUnalignedHoles) {
    std::vector<mspan*> held;
    held.push_back(alloc(3));
    for (std::size_t align : {2, 8, 64, 128, 256}) {
        mspan* s = alloc(align, align);
        ASSERT_NE(s, nullptr);
        EXPECT_EQ(s->start % (align * page), 0u);
        held.push_back(s);
        check();
    }
    for (mspan* s : held) free(s);
    check();
    EXPECT_EQ(pa.free_pages(), pa.reserved());
}

// Neither the tightest span has an aligned run, nor is there one of which any part would do.
TEST_F(PageAlloc, AnAlignedRunInASpanBetween) {
    mspan *first = alloc(1), *unaligned = alloc(65), *wall = alloc(62), *aligned = alloc(66), *rest = alloc(318);
    const std::uintptr_t at = aligned->start;
    ASSERT_EQ(at % (64 * page), 0u);
    free(unaligned);
    free(aligned);
    kernel::inject_fail(kernel::inject::mmap, 1, 12, -1);
    mspan* s = alloc(64, 64);
    kernel::inject_off();
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(s->start, at);
    check();
    for (mspan* held : {first, wall, rest, s}) free(held);
    EXPECT_EQ(pa.free_pages(), pa.reserved());
}

TEST_F(PageAlloc, LargerThanAnArenaGetsOneOfItsOwn) {
    mspan* s = alloc(3000, 4);
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(span_of(s->start), s);
    EXPECT_EQ(span_of(s->start + 3000 * page - 1), s);
    free(s);
    check();
}

TEST_F(PageAlloc, FreshPagesAreZeroReusedOnesMayNotBe) {
    mspan* s = alloc(4);
    EXPECT_FALSE(s->needzero);
    free(s);
    s = alloc(4);
    EXPECT_TRUE(s->needzero);
    {
        guard g(heap.lock);
        pa.set_released(s, 0, 4);
        pa.free(s);
        EXPECT_EQ(pa.free_released(), pa.reserved());
    }
    s = alloc(4);
    EXPECT_FALSE(s->needzero);
    free(s);
}

TEST_F(PageAlloc, ScavengeTakesTheColdestSpanAndKeepsItFromNeighbours) {
    mspan *a = alloc(8), *wall = alloc(1), *b = alloc(8);
    std::uintptr_t a_start = a->start;
    free(a);
    free(b);
    guard g(heap.lock);
    mspan* s = pa.scavenge_begin();
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(s->start, a_start) << "freed first";
    pa.free(wall);  // its neighbour a is in the scavenger's hands: no merge
    EXPECT_TRUE(pa.is_valid());
    EXPECT_EQ(s->npages, 8u);
    pa.set_released(s, 0, 8);
    pa.scavenge_end(s);
    EXPECT_TRUE(pa.is_valid());
    EXPECT_EQ(pa.free_pages(), pa.reserved());
}

TEST_F(PageAlloc, KernelRefusesSmallerArenasThenNull) {
    // The first reservation fails, the second, half as large, holds it.
    kernel::inject_fail(kernel::inject::mmap, 1, 12, 1);
    mspan* s = alloc(10);
    kernel::inject_off();
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(pa.reserved(), 256u);
    kernel::inject_fail(kernel::inject::mmap, 1, 12, -1);
    EXPECT_EQ(alloc(1000), nullptr);
    EXPECT_GE(kernel::inject_hits(kernel::inject::mmap), 1u);
    kernel::inject_off();
    check();
    free(s);
    check();
}

TEST_F(PageAlloc, FreeingTwiceThrows) {
    mspan *s = alloc(2), *t = alloc(2);
    (void)t;
    free(s);
    EXPECT_DEATH(free(s), "bad span freed");
}

TEST_F(PageAlloc, RandomAgainstAModel) {
    for (unsigned seed = 1; seed <= 4; seed++) {
        std::mt19937 rnd(seed);
        std::map<std::uintptr_t, mspan*> used;  // by start
        std::size_t used_pages = 0;
        for (int step = 0; step < 20000; step++) {
            if (used.size() < 400 && (used.empty() || rnd() % 100 < 55)) {
                std::size_t align = std::size_t{1} << (rnd() % 5 == 0 ? rnd() % 7 : 0);
                std::size_t n = rnd() % 50 == 0 ? 1 + rnd() % 700 : 1 + rnd() % 24;
                mspan* s = alloc(n, align);
                ASSERT_NE(s, nullptr);
                ASSERT_EQ(s->npages, n);
                ASSERT_EQ(s->start % (align * page), 0u);
                auto after = used.lower_bound(s->start);
                if (after != used.end()) {
                    ASSERT_GE(after->first, s->start + n * page);
                }
                if (after != used.begin()) {
                    mspan* before = std::prev(after)->second;
                    ASSERT_LE(before->start + before->npages * page, s->start);
                }
                ASSERT_EQ(span_of(s->start + rnd() % (n * page)), s);
                used[s->start] = s;
                used_pages += n;
            } else {
                auto it = std::next(used.begin(), static_cast<long>(rnd() % used.size()));
                mspan* s = it->second;
                used_pages -= s->npages;
                used.erase(it);
                guard g(heap.lock);
                if (rnd() % 3 == 0) pa.set_released(s, 0, 1 + rnd() % s->npages);
                pa.free(s);
            }
            if (step % 200 == 0) check();
            ASSERT_EQ(pa.free_pages() + used_pages, pa.reserved());
        }
        for (auto& [start, s] : used) free(s);
        check();
        ASSERT_EQ(pa.free_pages(), pa.reserved());
    }
}

// Small arenas, as under a tight RLIMIT_AS, share a granule of the map.
TEST_F(PageAlloc, SmallArenasShareAGranule) {
    std::vector<mspan*> v;
    pa.set_arena_size(16 * page);
    for (int i = 0; i < 200; i++) {
        mspan* s = alloc(16);
        ASSERT_NE(s, nullptr);
        v.push_back(s);
    }
    for (mspan* s : v) {
        ASSERT_EQ(span_of(s->start), s);
        ASSERT_EQ(span_of(s->start + 16 * page - 1), s);
    }
    for (mspan* s : v) free(s);
    check();
}

TEST(ArenaMap, KnowsNothingElse) {
    mallocinit();
    int local = 0;
    EXPECT_EQ(arena_of(reinterpret_cast<std::uintptr_t>(&local)), nullptr);
    EXPECT_EQ(arena_of(0), nullptr);
    EXPECT_EQ(arena_of(~std::uintptr_t{0}), nullptr);
    EXPECT_EQ(arena_of(map_limit), nullptr);
}

}  // namespace
}  // namespace rt0::runtime
