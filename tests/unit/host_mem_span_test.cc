// mspan: lists, finding free objects by the bits, counting, sweeping.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "mem/span.h"

namespace rt0::runtime {
namespace {

struct Span : testing::Test {
    void make(std::size_t size, bool collected = false) {
        unsigned cls = size_to_class(size);
        words = bitmap_words(size_classes[cls].nelems);
        bits.assign(2 * words, ~std::uint64_t{0});
        memory.assign(size_classes[cls].npages * cfg::heap_page + 64, 0);
        s.start = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) & ~std::uintptr_t{63};
        s.initHeap(cls, bits.data(), false, collected, 2);
        s.cached = true;  // by this test
    }
    std::uint32_t words = 0;
    std::vector<std::uint64_t> bits;
    std::vector<char> memory;
    mspan s;
};

TEST_F(Span, ListsKeepOrderAndOwner) {
    mspan a, b, c;
    spanlist l, other;
    l.push_back(&b);
    l.push_front(&a);
    l.push_back(&c);
    EXPECT_EQ(l.first, &a);
    EXPECT_EQ(a.next, &b);
    EXPECT_EQ(c.prev, &b);
    EXPECT_DEATH(other.push_back(&b), "on a list already");
    EXPECT_DEATH(other.remove(&b), "not on this list");
    l.remove(&b);
    EXPECT_EQ(a.next, &c);
    EXPECT_EQ(c.prev, &a);
    l.remove(&a);
    l.remove(&c);
    EXPECT_TRUE(l.empty());
    EXPECT_EQ(l.last, nullptr);
    EXPECT_EQ(c.list, nullptr);
}

TEST_F(Span, FreshSpanGivesEveryObjectOnce) {
    for (std::size_t size : {16, 48, 384, 4096, 32768}) {
        make(size);
        for (std::uint32_t i = 0; i < s.nelems; i++) {
            ASSERT_EQ(s.countFree(), s.nelems - i);
            ASSERT_EQ(s.nextFreeIndex(), i);
        }
        ASSERT_EQ(s.nextFreeIndex(), s.nelems);
        ASSERT_EQ(s.nextFreeIndex(), s.nelems);
        ASSERT_EQ(s.countFree(), 0u);
        ASSERT_TRUE(s.is_valid());
    }
}

// What a collector leaves: any pattern of marks; exactly the unmarked are given out, in order.
TEST_F(Span, SweepTurnsMarksIntoAllocationBits) {
    std::mt19937_64 rnd(7);
    for (std::size_t size : {16, 48, 384, 4096}) {
        for (int pattern = 0; pattern < 50; pattern++) {
            make(size, true);
            while (s.nextFreeIndex() < s.nelems) {
            }
            std::vector<bool> marked(s.nelems);
            for (std::uint32_t i = 0; i < s.nelems; i++) {
                bool some = rnd() % 64 < static_cast<unsigned>(pattern) + 14;
                marked[i] = pattern == 0 ? false : pattern == 1 ? true : some;
                if (marked[i]) s.markBits[i / 64] |= std::uint64_t{1} << (i % 64);
            }
            s.sweepgen = 4 - 1;
            s.sweep(4);
            EXPECT_EQ(s.sweepgen, 4u);
            for (std::uint32_t i = 0; i < s.nelems; i++) {
                ASSERT_EQ(s.isFree(i), !marked[i]);
                if (marked[i]) continue;
                ASSERT_EQ(s.nextFreeIndex(), i);
            }
            ASSERT_EQ(s.nextFreeIndex(), s.nelems);
            for (std::uint32_t w = 0; w < words; w++) ASSERT_EQ(s.markBits[w], 0u);
            EXPECT_TRUE(s.needzero);
        }
    }
}

// The last bit of a word alone: what is left of the word is nothing, and the next one is fetched.
TEST_F(Span, TheLastObjectOfAWordIsFoundAlone) {
    make(16, true);
    ASSERT_GE(s.nelems, 192u);
    for (std::uint32_t i = 0; i < s.nelems; i++)
        if (i != 63 && i != 127 && i != 128) s.markBits[i / 64] |= std::uint64_t{1} << (i % 64);
    s.sweepgen = 3;
    s.sweep(4);
    for (std::uint32_t i : {63u, 127u, 128u, s.nelems, s.nelems}) EXPECT_EQ(s.nextFreeIndex(), i);
    EXPECT_EQ(s.countFree(), 0u);
}

TEST_F(Span, SweepForgetsTheManualListOfACollectedSpan) {
    make(64, true);
    std::uint32_t i = s.nextFreeIndex(), j = s.nextFreeIndex();
    s.manualFreeList = new (reinterpret_cast<void*>(s.object(i))) object_link{nullptr};
    s.nmanual = 1;
    EXPECT_EQ(s.countFree(), s.nelems - 1);
    s.markBits[0] |= std::uint64_t{1} << j;
    s.sweepgen = 3;
    s.sweep(4);
    EXPECT_EQ(s.countFree(), s.nelems - 1);  // i by its bit now, not twice
    EXPECT_TRUE(s.is_valid());
}

TEST_F(Span, SweepLeavesHandFreedSpansAlone) {
    make(64, false);
    for (int n = 0; n < 10; n++) s.nextFreeIndex();
    s.sweepgen = 3;
    s.sweep(4);
    EXPECT_EQ(s.countFree(), s.nelems - 10);
    EXPECT_EQ(s.nextFreeIndex(), 10u);
}

TEST_F(Span, SweepOfTheWrongGenerationThrows) {
    make(64, true);
    for (std::uint32_t gen : {2u, 4u, 5u, 7u}) {
        s.sweepgen = gen;
        EXPECT_DEATH(s.sweep(4), "bad span state");
    }
}

TEST_F(Span, ValidityFindsAnObjectFreedTwice) {
    make(64);
    auto* o = reinterpret_cast<object_link*>(s.object(s.nextFreeIndex()));
    o->next = nullptr;
    s.manualFreeList = o;
    s.nmanual = 1;
    EXPECT_TRUE(s.is_valid());
    o->next = o;  // a second free of the same object makes a cycle
    s.nmanual = 2;
    EXPECT_FALSE(s.is_valid());
    o->next = reinterpret_cast<object_link*>(s.object(5));  // free by its index already
    reinterpret_cast<object_link*>(s.object(5))->next = nullptr;
    EXPECT_FALSE(s.is_valid());
}

}  // namespace
}  // namespace rt0::runtime
