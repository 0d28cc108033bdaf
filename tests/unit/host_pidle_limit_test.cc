// Ps and Ms at the limit of threads (ID4), on fake Ms.
#include <gtest/gtest.h>

#include <unistd.h>

#include <thread>

#include "sched/find.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "tests/support/fake_pidle.h"

using namespace rt0::runtime;
using testing_support::Pidle;

namespace {

// The one other M is in sysmon's hands, or on its way to sleep.
struct PidleAtTheLimit : Pidle {
    void SetUp() override {
        Pidle::SetUp();
        sched.maxmcount = 2;
        sched.mnext = 2;
        EXPECT_EQ(reserve_m(), &sleeper);
        idle(&pp);
    }
    void TearDown() override {
        sched.maxmcount = cfg::max_ms;
        sched.nreserved = 0;
        Pidle::TearDown();
    }
    void expect_left_idle() {
        EXPECT_EQ(sched.pidle, &pp);
        EXPECT_EQ(sched.npidle.load(), 1u);
        EXPECT_EQ(sched.nmspinning.load(), 0u);
    }
};

TEST_F(PidleAtTheLimit, AnMThatIsPutBackTakesThePLeftIdle) {
    queue_globally(gs[0]);
    wakep();
    expect_left_idle();
    unreserve_m(&sleeper);
    expect_started(&pp, true);
    EXPECT_EQ(sched.nmspinning.load(), 1u);
    EXPECT_EQ(sched.npidle.load(), 0u);
}

TEST_F(PidleAtTheLimit, AnMAboutToSleepTakesThePLeftIdle) {
    pp.mcache = allocmcache();
    startm(nullptr, false);
    expect_left_idle();
    releasep();
    stopm();  // would sleep
    EXPECT_EQ(me.mp.pp, &pp);
    EXPECT_TRUE(me.mp.spinning);
    EXPECT_EQ(sched.nmspinning.load(), 1u);
    EXPECT_EQ(sched.nmidle, 0);
    me.mp.spinning = false;
    releasep();
    freemcache(pp.mcache);
    me.mp.pp = &me.pp;
}

TEST_F(PidleAtTheLimit, WithoutNeedTheyAreIdleBoth) {
    unreserve_m(&sleeper);
    expect_left_idle();
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.midle, &sleeper);
}

// A P with work of its own and no M for it.
struct PidleBesideWork : PidleAtTheLimit {
    void SetUp() override {
        PidleAtTheLimit::SetUp();
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
        runqput(&pp, gs[0], false);
        sched.nreserved = 0;
    }
    void all_others_idle() {
        guard l(sched.lock);
        gomaxprocs_now.store(1);
    }
    void expect_left_to_others() {
        expect_left_idle();
        EXPECT_EQ(sched.runqsize.load(), 1u);
        EXPECT_TRUE(sched.starved);
        EXPECT_FALSE(woken());
    }
    void TearDown() override {
        gomaxprocs_now.store(3);
        sched.nmcoming = 0;
        sched.nmidlelocked = 0;
        sched.gcwaiting.store(false);
        PidleAtTheLimit::TearDown();
    }
};

TEST_F(PidleBesideWork, AnotherPIsRun) {
    startm(&pp, false);
    expect_left_to_others();
}

TEST_F(PidleBesideWork, AnMComesBackFromSysmon) {
    all_others_idle();
    sched.nreserved = 1;
    startm(&pp, false);
    expect_left_to_others();
}

TEST_F(PidleBesideWork, AnMIsBeingMade) {
    all_others_idle();
    sched.nmcoming = 1;
    startm(&pp, false);
    expect_left_to_others();
}

TEST_F(PidleBesideWork, TheWorldIsBeingStopped) {
    all_others_idle();
    sched.gcwaiting.store(true);
    sched.stopwait = 2;
    startm(&pp, false);
    EXPECT_EQ(pp.status.load(), pgcstop);
    EXPECT_EQ(sched.stopwait, 1);
    EXPECT_EQ(sched.npidle.load(), 0u);
    EXPECT_EQ(sched.runqsize.load(), 0u) << "start-the-world looks at the Ps' own";
}

TEST_F(PidleBesideWork, AnMOnItsWayToSleepIsWaitedFor) {
    all_others_idle();
    std::thread late([&] {
        usleep(20'000);
        guard l(sched.lock);
        mput(&sleeper);
    });
    startm(&pp, false);
    late.join();
    expect_started(&pp, false);
    EXPECT_EQ(sched.runqsize.load(), 0u);
}

// The one other M waits for its locked G, or whoever does not sleep has gone for good.
TEST_F(PidleBesideWork, NobodyCanCome) {
    for (int locked : {1, 0}) {
        all_others_idle();
        sched.nmidlelocked = locked;
        EXPECT_EXIT(startm(&pp, false), testing::ExitedWithCode(2), "exceeds 2-thread limit(.|\n)*thread exhaustion") << locked;
    }
}

}  // namespace
