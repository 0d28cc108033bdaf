// Huge pages of objects (SV3): none where some pages went back to the kernel, again where all did.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "mem/heap.h"
#include "mem/mem.h"
#include "tests/support/smaps.h"

using namespace rt0::runtime;
using testing_support::vm_flags;

namespace {

void give_all_back() {
    while (scavenge(~std::size_t{0}) != 0) {
    }
}

bool may_be_huge(std::uintptr_t at) { return vm_flags(at).find(" hg") != std::string::npos; }

// 4 KiB pages of `at` to `at` + n that are resident.
int resident(std::uintptr_t at, std::size_t n) {
    std::vector<unsigned char> in(n / 4096);
    EXPECT_EQ(mincore(reinterpret_cast<void*>(at), n, in.data()), 0);
    return static_cast<int>(std::count_if(in.begin(), in.end(), [](unsigned char c) { return c & 1; }));
}

// What came with a huge page, and was never handed out, goes back with a neighbour that was.
TEST(HugePages, NorWhatWasNeverUsedBesideIt) {
    mcache* c = allocmcache();
    const std::size_t huge = heap.physHugePageSize;
    if (huge == 0) GTEST_SKIP() << "the kernel has no huge pages";
    const std::size_t n = 64 << 10;
    std::vector<void*> all;
    auto in_a_fresh_block = [&] {  // the first of it, all before it in use
        const auto p = reinterpret_cast<std::uintptr_t>(all.back());
        return p % huge == 0 && may_be_huge(p) && resident(p, huge) == 0;
    };
    do {
        ASSERT_LT(all.size(), 4096u);
        all.push_back(mallocrt(c, n));
    } while (!in_a_fresh_block());
    const auto block = reinterpret_cast<std::uintptr_t>(all.back());
    std::memset(all.back(), 1, n);
    all.push_back(mallocrt(c, n));
    std::memset(all.back(), 1, n);
    if (resident(block, huge) < static_cast<int>(huge / 4096)) GTEST_SKIP() << "no huge page was to be had";
    freert(c, all.back());
    all.pop_back();
    give_all_back();
    EXPECT_EQ(resident(block, huge), static_cast<int>(n / 4096));
    for (void* p : all) freert(c, p);
    freemcache(c);
}

TEST(HugePages, NotWhereSomeWasGivenBack) {
    mcache* c = allocmcache();
    ASSERT_NE(c, nullptr);
    const std::size_t huge = heap.physHugePageSize, half = huge / 2;
    if (huge == 0) GTEST_SKIP() << "the kernel has no huge pages";
    std::map<std::uintptr_t, std::vector<void*>> by_block;  // two fill one
    std::vector<void*> all;
    for (int i = 0; i < 64; i++) {
        void* p = mallocrt(c, half);
        ASSERT_NE(p, nullptr);
        std::memset(p, 1, half);
        all.push_back(p);
        by_block[reinterpret_cast<std::uintptr_t>(p) & ~(huge - 1)].push_back(p);
    }
    int tried = 0;
    for (auto& [block, two] : by_block) {
        if (two.size() != 2 || !may_be_huge(block)) continue;  // the first arena is not
        tried++;
        freert(c, two[0]);
        give_all_back();
        EXPECT_FALSE(may_be_huge(block)) << vm_flags(block);
        freert(c, two[1]);
        give_all_back();
        EXPECT_TRUE(may_be_huge(block)) << vm_flags(block);
        std::erase_if(all, [&gone = two](void* p) { return p == gone[0] || p == gone[1]; });
    }
    EXPECT_GT(tried, 0);
    for (void* p : all) freert(c, p);
    freemcache(c);
}

}  // namespace
