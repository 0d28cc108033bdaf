// Which wake-ups are worth it (sched/worth.h), on fake Ms and Ps.
#include <gtest/gtest.h>

#include <utility>

#include "sched/runq.h"
#include "sched/worth.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

constexpr std::int64_t hour = 3'600'000'000'000;  // ns

struct Worth : testing::Test {
    fake_m me;
    tokens gs{cfg::short_queue + 4};

    void SetUp() override {
        sched.wake_backoff.store(0);
        sched.runqsize.store(0);
        sched.sysmonfar.store(false);
    }
    void TearDown() override { SetUp(); }

    // mp ran what it stole for so long.
    void theft(std::int64_t ns) {
        me.mp.stolewhen = rt0::kernel::nanotime() - ns;
        judge_theft(&me.mp);
        EXPECT_EQ(me.mp.stolewhen, 0);
        EXPECT_TRUE(std::exchange(me.mp.wakecounted, false));
    }
    int skipped() {
        int n = 0;
        while (not_worth_a_wake(&me.pp)) n++;
        return n;
    }
};

TEST_F(Worth, ATheftThatWasOverAtOnceIsAWastedWake) {  // WK7
    me.mp.vain_spins = 0;
    for (std::uint32_t want = 1; want <= cfg::wake_backoff_max; want = 2 * want + 1) {
        theft(-hour);
        EXPECT_EQ(sched.wake_backoff.load(), want);
    }
    theft(-hour);
    EXPECT_EQ(sched.wake_backoff.load(), cfg::wake_backoff_max);
    EXPECT_EQ(me.mp.vain_spins, cfg::vain_spins_max) << "nor is it worth spinning for";
    theft(hour);
    EXPECT_EQ(sched.wake_backoff.load(), 0u) << "that one paid";
}

TEST_F(Worth, WhatWasTakenFromAPInACallPaid) {  // WK7
    p other;
    other.status.store(prunning);
    wake_was_wasted();
    note_theft(&me.mp, &other);
    EXPECT_NE(std::exchange(me.mp.stolewhen, 0), 0) << "to be judged";
    EXPECT_FALSE(me.mp.wakecounted);
    EXPECT_EQ(sched.wake_backoff.load(), 1u);
    other.status.store(psyscall);
    note_theft(&me.mp, &other);
    EXPECT_EQ(me.mp.stolewhen, 0);
    EXPECT_TRUE(me.mp.wakecounted);
    EXPECT_EQ(sched.wake_backoff.load(), 0u);
}

TEST_F(Worth, AsManyWakesAreSkippedAsTheBackoffSays) {  // WK7
    EXPECT_EQ(skipped(), 0);
    for (int want : {1, 3, 7}) {
        wake_was_wasted();
        EXPECT_EQ(skipped(), want);
        EXPECT_EQ(skipped(), want);
    }
    wakes_pay();
    EXPECT_EQ(skipped(), 0);
}

TEST_F(Worth, NoneIsSkippedWhereSysmonWouldNotMendIt) {  // WK7
    wake_was_wasted();
    EXPECT_EQ(skipped(), 1);
    sched.runqsize.store(1);
    EXPECT_EQ(skipped(), 0) << "the global queue is not its own";
    sched.runqsize.store(0);
    sched.sysmonfar.store(true);
    EXPECT_EQ(skipped(), 0) << "it is away for long";
    sched.sysmonfar.store(false);
    for (std::uint32_t i = 0; i <= cfg::short_queue; i++) {
        EXPECT_EQ(skipped(), 1) << i;
        runqput(&me.pp, gs[i], false);
    }
    EXPECT_EQ(skipped(), 0) << "that many";
    bool inherit;
    while (runqget(&me.pp, &inherit)) {}
    born_put(&me.pp, gs[0]);
    EXPECT_EQ(skipped(), 1);
    born_put(&me.pp, gs[1]);
    EXPECT_EQ(skipped(), 0) << "two newborns are a tree";
    while (born_get(&me.pp)) {}
}

// RQ8.  A look, `took` ns after the last one, between which so many had their turn.
TEST_F(Worth, APIsBriskByWhatItGotThrough) {
    std::int64_t now = hour;
    auto look = [&](std::uint32_t turns, std::int64_t took) {
        me.pp.turns += turns;
        return brisk(&me.pp, now += took);
    };
    look(0, 0);
    const std::int64_t each = cfg::brisk_ns / cfg::brisk_gs;
    runqput(&me.pp, gs[0], true);
    EXPECT_TRUE(look(100, 100 * cfg::steal_runnext_spin - 1)) << "one waits, in runnext";
    EXPECT_FALSE(look(100, 100 * cfg::steal_runnext_spin));
    EXPECT_FALSE(look(0, 1)) << "the one that runs runs for long";
    runqput(&me.pp, gs[1], false);
    EXPECT_FALSE(look(100, 100 * each));
    EXPECT_TRUE(look(100, 100 * each - 1));
    for (std::uint32_t i = 2; i <= cfg::short_queue; i++) runqput(&me.pp, gs[i], false);
    EXPECT_FALSE(look(100, 1)) << "many wait";
    bool inherit;
    while (runqget(&me.pp, &inherit)) {}
}

}  // namespace
