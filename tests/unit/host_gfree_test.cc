// The free lists of dead Gs: batches of ids, the local list, spilling and refilling, stacks
// lost and given.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "mem/cache.h"
#include "sched/find.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/timer.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

struct Gfree : testing::Test {
    fake_m me;
    p* pp = &me.pp;
    mcache* own = allocmcache();

    void SetUp() override {
        me.g0.stk = {1, 2, 0, 0};  // on a system stack already
        pp->mcache = own;
        ASSERT_EQ(sched.gfree.n.get(), 0);
    }
    void TearDown() override {
        gfpurge(pp);
        while (g* gp = gfget(pp, cfg::stack_default)) forget(gp);
        EXPECT_EQ(sched.gfree.n.get(), 0);
        pp->mcache = nullptr;
        freemcache(own);
    }
    static void forget(g* gp) {
        if (gp->stk.slot) stackfree(nullptr, gp->stk);
        gp->stk = {};
    }
    std::vector<g*> fresh(int n, std::size_t size = cfg::stack_default) {
        std::vector<g*> v;
        for (int i = 0; i < n; i++) v.push_back(malg(size));
        return v;
    }
};

TEST_F(Gfree, IdsComeInBatchesOf16) {
    p other;
    std::uint64_t first = next_goid(pp), base = sched.goidgen.load();
    EXPECT_EQ(first, base - cfg::goid_batch + 1);
    std::uint64_t theirs = next_goid(&other);
    EXPECT_EQ(theirs, base + 1);
    for (int i = 1; i < cfg::goid_batch; i++) EXPECT_EQ(next_goid(pp), first + static_cast<std::uint64_t>(i));
    EXPECT_EQ(sched.goidgen.load(), base + cfg::goid_batch);
    EXPECT_EQ(next_goid(pp), base + cfg::goid_batch + 1) << "the next batch";
}

TEST_F(Gfree, LocalListIsAStack) {
    auto v = fresh(3);
    EXPECT_EQ(gfget(pp, cfg::stack_default), nullptr);
    for (g* gp : v) gfput(pp, gp);
    EXPECT_EQ(pp->gfree_n, 3);
    EXPECT_EQ(gfget(pp, cfg::stack_default), v[2]);
    EXPECT_EQ(gfget(pp, cfg::stack_default), v[1]);
    EXPECT_EQ(gfget(pp, cfg::stack_default), v[0]);
    EXPECT_EQ(pp->gfree_n, 0);
    for (g* gp : v) forget(gp);
}

TEST_F(Gfree, A64thGSpillsHalf) {
    auto v = fresh(64);
    for (int i = 0; i < 63; i++) gfput(pp, v[static_cast<std::size_t>(i)]);
    EXPECT_EQ(pp->gfree_n, 63);
    EXPECT_EQ(sched.gfree.n.get(), 0);
    gfput(pp, v[63]);
    EXPECT_EQ(pp->gfree_n, 32);
    EXPECT_EQ(sched.gfree.n.get(), 32);
}

TEST_F(Gfree, RefillTakes32ThoseWithStacksFirst) {
    auto v = fresh(40);
    auto bare = fresh(10, 2 * cfg::stack_default);  // lose their stacks in gfput
    for (g* gp : bare) gfput(pp, gp);
    for (g* gp : v) gfput(pp, gp);
    gfpurge(pp);
    EXPECT_EQ(pp->gfree_n, 0);
    EXPECT_EQ(sched.gfree.n.get(), 50);
    g* gp = gfget(pp, cfg::stack_default);
    EXPECT_EQ(pp->gfree_n, 31);
    EXPECT_EQ(sched.gfree.n.get(), 18);
    std::set<g*> with(v.begin(), v.end());
    EXPECT_TRUE(with.count(gp));
    int got = 1;
    forget(gp);
    while (pp->gfree_n) {
        g* next = gfget(pp, cfg::stack_default);
        EXPECT_TRUE(with.count(next)) << "one with a stack goes before one without";
        forget(next);
        got++;
    }
    EXPECT_EQ(got, 32);
}

// Cold is what nobody needed between two looks, or everything when the process is idle.
TEST_F(Gfree, ColdIsTheLowWaterMark) {
    gfcold(true);
    for (g* gp : fresh(100)) gfput(pp, gp);
    gfpurge(pp);
    EXPECT_EQ(gfcold(false), 0) << "they came since the last look";
    EXPECT_EQ(gfcold(false), 100) << "and stood there all the time since";
    g* gp = gfget(pp, cfg::stack_default);
    gfput(pp, gp);
    gfpurge(pp);
    EXPECT_EQ(gfcold(false), 68) << "32 were fetched and came back";
    EXPECT_EQ(gfcold(false), 100);
    EXPECT_EQ(gfcold(true), 100);
}

TEST_F(Gfree, ShedGsLoseTheirStacksAndStayFree) {
    for (g* gp : fresh(50)) gfput(pp, gp);
    for (g* gp : fresh(7, 2 * cfg::stack_default)) gfput(pp, gp);  // bare already
    gfpurge(pp);
    std::size_t before = read_memstats().stack_idle + own->stacks[1].n * cfg::stack_default;
    EXPECT_EQ(gfshed(20), 20);
    EXPECT_EQ(gfcold(true), 30);
    EXPECT_EQ(gfshed(100), 30) << "no more have any";
    EXPECT_EQ(gfshed(100), 0);
    EXPECT_EQ(gfcold(true), 0);
    EXPECT_EQ(sched.gfree.n.get(), 57);
    EXPECT_EQ(read_memstats().stack_idle + own->stacks[1].n * cfg::stack_default - before, 50 * cfg::stack_default);
    for (int i = 0; i < 57; i++) {
        g* gp = gfget(pp, cfg::stack_default);
        ASSERT_TRUE(gp);
        EXPECT_EQ(gp->stk.size, cfg::stack_default);
        forget(gp);
    }
    EXPECT_EQ(gfget(pp, cfg::stack_default), nullptr);
}

TEST_F(Gfree, AGWithoutAStackGetsOne) {
    for (std::size_t size : {cfg::stack_default, cfg::stack_min, 4 * cfg::stack_default}) {
        g* gp = malg(2 * cfg::stack_default);
        gfput(pp, gp);
        EXPECT_EQ(gp->stk.slot, 0u);
        EXPECT_EQ(gfget(pp, size), gp);
        EXPECT_EQ(gp->stk.size, size);
        forget(gp);
    }
}

TEST_F(Gfree, ADeadGIsReusedWhateverItsStack) {
    g* gp = malg(cfg::stack_default);
    for (std::size_t size : {std::size_t{1} << 20, cfg::stack_default, cfg::stack_min, cfg::stack_default}) {
        gfput(pp, gp);
        ASSERT_EQ(gfget(pp, size), gp);
        EXPECT_EQ(gp->stk.size, size);
        *reinterpret_cast<volatile char*>(gp->stk.hi - 1) = 1;
        *reinterpret_cast<volatile char*>(gp->stk.lo) = 1;
    }
    forget(gp);
}

TEST_F(Gfree, OnlyDeadGsAreFreed) {
    testing::GTEST_FLAG(death_test_style) = "fast";
    tokens alive{1, grunnable};
    EXPECT_EXIT(gfput(pp, alive[0]), testing::ExitedWithCode(2), "fatal error: gfput: bad status");
}

}  // namespace
