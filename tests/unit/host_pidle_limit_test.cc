// Ps and Ms at the limit of threads (ID4), on fake Ms.
#include <gtest/gtest.h>

#include "sched/checkdead.h"
#include "sched/find.h"
#include "sched/mstart.h"
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
        sched.nmcoming = sched.nmidlelocked = 0;
        sched.nmfreed = 0;
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

// Two goroutines that are locked to Ms wait in the queue, behind one that is not.
struct LockedAtTheLimit : PidleAtTheLimit {
    m first, second;
    void SetUp() override {
        PidleAtTheLimit::SetUp();
        m* ms[] = {&first, &second};
        for (std::size_t i = 0; i < 2; i++) {
            ms[i]->lockedg = gs[i + 1];
            gs[i + 1]->lockedm = ms[i];
        }
        sched.mnext = 4;
        sched.maxmcount = 4;
        sched.nmidlelocked = 2;
    }
    void expect_has(m& who, p* with) {
        EXPECT_EQ(who.nextp, with);
        EXPECT_EQ(who.park.key.load(), with ? 1u : 0u);
        EXPECT_FALSE(who.spinning);
        EXPECT_EQ(sched.nmspinning.load(), 0u);
    }
    void expect_queued(std::initializer_list<std::size_t> which) {
        guard l(sched.lock);
        EXPECT_EQ(sched.runqsize.load(), which.size());
        for (std::size_t i : which) EXPECT_EQ(sched.runq.pop(), gs[i]) << i;
        EXPECT_TRUE(sched.runq.empty());
    }
};

// A spinner would do as well for the one that is not locked, but there is none.
TEST_F(LockedAtTheLimit, AnIdlePIsForTheFirst) {
    for (std::size_t i = 0; i < gs.size(); i++) queue_globally(gs[i]);
    wakep();
    expect_has(first, &pp);
    expect_has(second, nullptr);
    EXPECT_EQ(sched.npidle.load(), 0u);
    EXPECT_EQ(sched.nmidlelocked, 1);
    expect_queued({0, 2, 3});
}

TEST_F(LockedAtTheLimit, EachGetsOne) {
    idle(&third);
    queue_globally(gs[1]);
    queue_globally(gs[2]);
    for (int i = 0; i < 2; i++) startm(nullptr, false);
    expect_has(first, &third);
    expect_has(second, &pp);
    EXPECT_EQ(sched.nmidlelocked, 0);
    expect_queued({});
    startm(nullptr, false);  // no P is left
    EXPECT_FALSE(woken());
}

// It yielded, and hands off the P that it had.
TEST_F(LockedAtTheLimit, WhatWaitsAtThePGoesToItsM) {
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
        runqput(&pp, gs[0], false);
        runqput(&pp, gs[2], false);
    }
    startm(&pp, false);
    expect_has(second, &pp);
    expect_has(first, nullptr);
    EXPECT_EQ(sched.npidle.load(), 0u);
    expect_queued({0});
}

TEST_F(LockedAtTheLimit, AfterARestartToo) {
    queue_globally(gs[2]);
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
        runqput(&pp, gs[0], false);
    }
    startm_for(&pp);
    expect_has(second, &pp);
    expect_queued({0});
    third.status.store(pidle);
    startm(&third, false, true);  // nobody is left
    EXPECT_EQ(sched.pidle, &third);
    EXPECT_TRUE(sched.starved.load());
}

// Who is on his way to the idle list comes for the rest; beside an idle P he does not go to sleep.
TEST_F(LockedAtTheLimit, TheRestIsLookedFor) {
    idle(&third);
    for (std::size_t i : {1, 0}) queue_globally(gs[i]);
    wakep();
    expect_has(first, &third);
    EXPECT_TRUE(sched.starved.load());
}

// Those that are not locked wait for a thread that there never will be, once no locked one waits.
TEST_F(LockedAtTheLimit, WhoIsNotLockedHasNobody) {
    sched.nmidlelocked = 3;
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
    }
    for (std::size_t i : {0, 1}) queue_globally(gs[i]);
    startm(&pp, false);
    expect_has(first, &pp);  // it may unlock, and serve the rest
    sched.nmidlelocked = 3;
    third.status.store(pidle);
    EXPECT_EXIT(startm(&third, false), testing::ExitedWithCode(2), "exceeds 4-thread limit(.|\n)*thread exhaustion");
    expect_queued({0});
}

// A timer that is armed is no reason where a locked one waits, which may disarm it.
TEST_F(LockedAtTheLimit, ATimerIsNoReason) {
    timer t;
    t.when = INT64_MAX - 1;
    t.f = [](timer*, std::int64_t) {};
    addtimer(&t);
    idle(&third);
    sched.nmidlelocked = 3;
    gomaxprocs_now.store(2);
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &third);
    }
    queue_globally(gs[1]);
    startm(&third, false);
    expect_has(first, &third);
    sched.nmidlelocked = 3;
    p* last;
    {
        guard l(sched.lock);
        last = pidleget();
    }
    gomaxprocs_now.store(1);
    EXPECT_EXIT(startm(last, false), testing::ExitedWithCode(2), "thread exhaustion");
    gomaxprocs_now.store(3);
    EXPECT_TRUE(deltimer(&t));
}

// Where each M has a locked one, those may not pass the others over for ever; a system goroutine can wait.
TEST_F(LockedAtTheLimit, NorIsWhoIsNotLockedPassedOverForEver) {
    queue_globally(gs[0]);
    auto pass_over = [&](std::uint32_t times) {
        for (std::uint32_t i = 0; i < times; i++) {
            queue_globally(gs[1]);
            startm(nullptr, false);
            EXPECT_EQ(first.nextp, &pp);
            first.nextp = nullptr;
            noteclear(&first.park);
            idle(&pp);
        }
    };
    sched.nmlocked.store(3);
    pass_over(2 * cfg::passed_over);  // the fourth M may come
    sched.nmlocked.store(4);
    pass_over(cfg::passed_over - 1);
    EXPECT_EXIT(pass_over(1), testing::ExitedWithCode(2), "exceeds 4-thread limit(.|\n)*thread exhaustion");
    gs[0]->is_system = true;
    pass_over(2 * cfg::passed_over);
    gs[0]->is_system = false;
    sched.nmlocked.store(0);
    sched.nmidlelocked = 2;
}

// reserve_m has found nobody; an M has gone idle since, or may be made again.
TEST_F(LockedAtTheLimit, AnIdleMIsPreferred) {
    queue_globally(gs[1]);
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
        mput(&sleeper);
    }
    startm(&pp, false, true);
    expect_started(&pp, false);
    expect_has(first, nullptr);
}

TEST_F(LockedAtTheLimit, NotWhileTheWorldIsBeingStopped) {
    queue_globally(gs[1]);
    {
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
    }
    sched.gcwaiting.store(true);
    sched.stopwait = 2;
    startm(&pp, false);
    EXPECT_EQ(pp.status.load(), pgcstop);
    expect_has(first, nullptr);
    sched.gcwaiting.store(false);
    expect_queued({1});
}

TEST_F(PidleAtTheLimit, WithoutNeedTheyAreIdleBoth) {
    unreserve_m(&sleeper);
    expect_left_idle();
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.midle, &sleeper);
}

TEST_F(PidleAtTheLimit, AnMThatIsNewTakesThePLeftIdle) {
    pp.mcache = allocmcache();
    startm(nullptr, false);
    releasep();
    me.mp.spare = true;
    sched.nmcoming = 1;
    stopm();  // would sleep
    EXPECT_EQ(me.mp.pp, &pp);
    EXPECT_EQ(sched.nmcoming, 0) << "it has come";
    EXPECT_FALSE(me.mp.spare);
    me.mp.spinning = false;
    releasep();
    freemcache(pp.mcache);
    me.mp.pp = &me.pp;
}

// TM5.
TEST_F(PidleAtTheLimit, TheMThatSleepsUntilATimerIsWoken) {
    const std::uint32_t before = sched.pollwake.load();
    startm(nullptr, false);
    EXPECT_EQ(sched.pollwake.load(), before) << "nobody sleeps so";
    sched.lastpoll.store(0);
    startm(nullptr, false);
    EXPECT_EQ(sched.pollwake.load(), before + 1);
    expect_left_idle();
}

TEST_F(PidleAtTheLimit, RoomIsForThePLeftIdle) {
    room_for_m();
    EXPECT_FALSE(woken()) << "none was";
    startm(nullptr, false);
    {
        guard l(sched.lock);
        mput(&sleeper);
    }
    room_for_m();
    expect_started(&pp, true);
}

TEST_F(PidleAtTheLimit, ExtraMsDoNotCount) {
    guard l(sched.lock);
    EXPECT_EQ(mreserveid(), -1);
    sched.nmextra = 1;
    EXPECT_EQ(mreserveid(), 2);
    EXPECT_EQ(mreserveid(), -1);
    sched.nmextra = 0;
}

// An M that is about to end makes room before its P is handed on.
TEST_F(PidleAtTheLimit, ASlotGivenUpIsASlot) {
    {
        guard l(sched.lock);
        const std::int64_t running = running_ms();
        EXPECT_EQ(mreserveid(), -1);
        sched.lock.unlock();
        give_slot_up();
        sched.lock.lock();
        EXPECT_EQ(running_ms(), running) << "it still runs";
        EXPECT_EQ(mreserveid(), 2);
    }
}

// A P with work of its own and no M for it.
struct PidleBesideWork : PidleAtTheLimit {
    void SetUp() override {
        PidleAtTheLimit::SetUp();
        guard l(sched.lock);
        EXPECT_EQ(pidleget(), &pp);
        runqput(&pp, gs[0], false);
        gomaxprocs_now.store(1);  // it is the last
    }
    void TearDown() override {
        gomaxprocs_now.store(3);
        sched.gcwaiting.store(false);
        PidleAtTheLimit::TearDown();
    }
};

// It may be blocked, and come back, or be on its way to the idle list.
TEST_F(PidleBesideWork, AnotherMIsNotIdle) {
    startm(&pp, false);
    expect_left_idle();
    EXPECT_EQ(sched.runqsize.load(), 1u);
    EXPECT_TRUE(sched.starved.load());
    EXPECT_FALSE(woken());
}

TEST_F(PidleBesideWork, TheWorldIsBeingStopped) {
    sched.nmidlelocked = 1;
    sched.gcwaiting.store(true);
    sched.stopwait = 2;
    startm(&pp, false);
    EXPECT_EQ(pp.status.load(), pgcstop);
    EXPECT_EQ(sched.stopwait, 1);
    EXPECT_EQ(sched.npidle.load(), 0u);
    EXPECT_EQ(sched.runqsize.load(), 0u) << "start-the-world looks at the Ps' own";
}

// The one other M waits for its locked G.
TEST_F(PidleBesideWork, NobodyCanCome) {
    sched.nmidlelocked = 1;
    EXPECT_EXIT(startm(&pp, false), testing::ExitedWithCode(2), "exceeds 2-thread limit(.|\n)*thread exhaustion");
    bool inherit;
    EXPECT_EQ(runqget(&pp, &inherit), gs[0]);
    startm(&pp, false);
    expect_left_idle();
}

}  // namespace
