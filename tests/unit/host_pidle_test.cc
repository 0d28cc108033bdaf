// Idle Ms and Ps, every branch of startm and handoffp: on fake Ms, where each situation can be
// built as wanted.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "sched/born.h"
#include "sched/find.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/timer.h"
#include "tests/support/fake_pidle.h"

using namespace rt0::runtime;
using testing_support::Pidle;

namespace {

TEST_F(Pidle, PsComeBackLastInFirstOut) {
    idle(&pp);
    idle(&third);
    EXPECT_EQ(sched.npidle.load(), 2u);
    guard l(sched.lock);
    EXPECT_EQ(pidleget(), &third);
    EXPECT_EQ(pidleget(), &pp);
    EXPECT_EQ(pidleget(), nullptr);
    EXPECT_EQ(sched.npidle.load(), 0u);
    EXPECT_EQ(pp.link, nullptr);
}

constexpr left_alone ring{.ring = true}, newborns{.newborns = true}, both{true, true};

// RQ8: a thief that left a queue alone goes to sleep beside it, and not beside any other.
TEST_F(Pidle, AQueueThatIsLeftAloneKeepsNobodyAwake) {
    for (std::uint32_t n = 1; n <= cfg::short_queue + 1; n++) {
        runqput(&third, gs[n % gs.size()], false);
        EXPECT_TRUE(work_queued());
        EXPECT_EQ(work_queued(ring), n > cfg::short_queue) << n;
    }
    bool inherit;
    runqget(&third, &inherit);
    EXPECT_FALSE(work_queued(ring));
    third.status.store(pidle);
    EXPECT_TRUE(work_queued(ring)) << "nobody else will run it";
    third.status.store(prunning);
    born_put(&third, gs[0]);
    EXPECT_TRUE(work_queued(ring)) << "a newborn";
    born_get(&third);
    queue_globally(gs[0]);
    EXPECT_TRUE(work_queued(ring)) << "the global queue";
    while (runqget(&third, &inherit)) {}
}

// BN7, too.
TEST_F(Pidle, NewbornsThatAreLeftAloneKeepNobodyAwake) {
    constexpr std::int64_t far = 3'600'000'000'000;  // ns
    born_put(&third, gs[0]);
    EXPECT_TRUE(work_queued(both)) << "nothing is known of their like";
    third.crowdbrisk = true;
    third.crowdwhen = rt0::kernel::nanotime() + far;
    EXPECT_TRUE(work_queued());
    EXPECT_TRUE(work_queued(ring));
    EXPECT_FALSE(work_queued(newborns));
    runqput(&third, gs[1], false);
    EXPECT_TRUE(work_queued(newborns)) << "the ring was not watched";
    EXPECT_FALSE(work_queued(both));
    third.crowdwhen = rt0::kernel::nanotime() - cfg::crowd_alone_ns;
    EXPECT_TRUE(work_queued(both)) << "that is over";
    bool inherit;
    while (runqget(&third, &inherit)) {}
}

TEST_F(Pidle, ReleaseAndAcquire) {
    EXPECT_EQ(releasep(), &me.pp);
    EXPECT_EQ(me.mp.pp, nullptr);
    EXPECT_EQ(me.pp.mp, nullptr);
    EXPECT_EQ(me.pp.status.load(), pidle);
    mcache* own = allocmcache();
    pp.mcache = own;
    acquirep(&pp);
    EXPECT_EQ(me.mp.pp, &pp);
    EXPECT_EQ(pp.mp, &me.mp);
    EXPECT_EQ(pp.status.load(), prunning);
    releasep();
    freemcache(own);
    me.mp.pp = &me.pp;
}

// ---- the list of Ms

TEST_F(Pidle, MsComeBackLastInFirstOut) {
    sched.mnext = 100;  // enough that some count as running
    m a, b;
    b.spare = true;
    sched.nmcoming = 1;
    guard l(sched.lock);
    EXPECT_EQ(mget(), &sleeper);
    EXPECT_EQ(mget(), nullptr);
    mput(&a);
    mput(&b);
    EXPECT_EQ(sched.nmcoming, 0) << "a spare M has arrived";
    EXPECT_FALSE(b.spare);
    mput(&sleeper);
    EXPECT_EQ(sched.nmidle, 3);
    for (m* mp : {&sleeper, &b, &a}) {
        EXPECT_TRUE(mp->idle);
        EXPECT_EQ(mget(), mp);
        EXPECT_FALSE(mp->idle);
        EXPECT_EQ(mp->schedlink, nullptr);
        EXPECT_EQ(mp->schedprev, nullptr);
    }
    EXPECT_EQ(sched.nmidle, 0);
}

TEST_F(Pidle, SurplusMsAreTheOnesOnTop) {
    sched.mnext = 100;
    constexpr int kept = 3 + cfg::idle_ms_kept;  // three Ps
    std::vector<std::unique_ptr<m>> ms;
    guard l(sched.lock);
    while (sched.nmidle < kept) {  // `sleeper` is the first
        ms.push_back(std::make_unique<m>());
        mput(ms.back().get());
    }
    EXPECT_EQ(mget_surplus(), nullptr);
    m one, two;
    mput(&one);
    mput(&two);
    m* chain = mget_surplus();
    EXPECT_EQ(chain, &one);
    EXPECT_EQ(chain->schedlink, &two);
    EXPECT_EQ(two.schedlink, nullptr);
    EXPECT_EQ(sched.nmidle, kept);
    while (mget()) {}
}

// ---- startm

TEST_F(Pidle, StartmTakesTheGivenP) {
    startm(&pp, false);
    expect_started(&pp, false);
}

TEST_F(Pidle, StartmPassesSpinningOn) {
    sched.nmspinning.store(1);
    startm(&pp, true);
    expect_started(&pp, true);
    EXPECT_EQ(sched.nmspinning.load(), 1u) << "the count goes with the M";
}

TEST_F(Pidle, StartmTakesAnIdleP) {
    idle(&third);
    startm(nullptr, false);
    expect_started(&third, false);
    EXPECT_EQ(sched.npidle.load(), 0u);
}

TEST_F(Pidle, StartmWithoutAnyP) {
    startm(nullptr, false);
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.nmidle, 1);
    sched.nmspinning.store(1);
    startm(nullptr, true);
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.nmspinning.load(), 0u) << "the caller's count is taken back";
}

TEST_F(Pidle, WakepWakesOnlyIfAPIdlesAndNobodySpins) {
    wakep();
    EXPECT_FALSE(woken()) << "no P is idle";
    idle(&pp);
    sched.nmspinning.store(1);
    wakep();
    EXPECT_FALSE(woken()) << "somebody looks already";
    sched.nmspinning.store(0);
    wakep();
    expect_started(&pp, true);
    EXPECT_EQ(sched.nmspinning.load(), 1u);
}

TEST_F(Pidle, ABatchOfWakesIsOneWake) {
    idle(&pp);
    {
        wake_batch outer;
        {
            wake_batch inner;
            wakep();
            wakep();
        }
        EXPECT_FALSE(woken());
    }
    expect_started(&pp, true);
}

TEST_F(Pidle, ABatchWithoutWakesWakesNobody) {
    idle(&pp);
    { wake_batch b; }
    EXPECT_FALSE(woken());
    EXPECT_FALSE(me.mp.wake_wanted);
}

// ---- handoffp, branch by branch

TEST_F(Pidle, HandoffLocalWork) {
    runqput(&pp, gs[0], false);
    handoffp(&pp);
    expect_started(&pp, false);
}

TEST_F(Pidle, HandoffRunnext) {
    runqput(&pp, gs[0], true);
    handoffp(&pp);
    expect_started(&pp, false);
}

TEST_F(Pidle, HandoffGlobalWork) {
    queue_globally(gs[0]);
    handoffp(&pp);
    expect_started(&pp, false);
}

TEST_F(Pidle, HandoffWithNobodyLookingStartsASpinner) {
    handoffp(&pp);
    expect_started(&pp, true);
    EXPECT_EQ(sched.nmspinning.load(), 1u);
}

TEST_F(Pidle, HandoffIdlesThePWhenSomebodySpins) {
    sched.nmspinning.store(1);
    handoffp(&pp);
    expect_idled(&pp);
    EXPECT_EQ(sched.nmspinning.load(), 1u);
}

TEST_F(Pidle, HandoffIdlesThePWhenAnotherIsIdle) {
    idle(&third);
    handoffp(&pp);
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.npidle.load(), 2u);
}

TEST_F(Pidle, HandoffToAStoppingWorld) {
    sched.nmspinning.store(1);
    sched.gcwaiting.store(true);
    sched.stopwait = 2;
    handoffp(&pp);
    EXPECT_EQ(pp.status.load(), pgcstop);
    EXPECT_EQ(sched.stopwait, 1);
    EXPECT_EQ(sched.stopnote.key.load(), 0u);
    handoffp(&third);
    EXPECT_EQ(sched.stopwait, 0);
    EXPECT_EQ(sched.stopnote.key.load(), 1u) << "the last one wakes the stopper";
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.npidle.load(), 0u);
}

// All other Ps idle, timers pending, nobody asleep for them: an M must go and sleep.
TEST_F(Pidle, HandoffOfTheLastPWithTimers) {
    idle(&third);
    idle(&me.pp);
    third.timers.when0.store(INT64_MAX);
    handoffp(&pp);
    expect_started(&pp, false);
    third.timers.when0.store(0);
}

TEST_F(Pidle, HandoffOfTheLastPWithTimersAndASleeper) {
    idle(&third);
    idle(&me.pp);
    third.timers.when0.store(INT64_MAX);
    sched.lastpoll.store(0);  // some M sleeps until then
    handoffp(&pp);
    EXPECT_FALSE(woken());
    EXPECT_EQ(sched.npidle.load(), 3u);
    third.timers.when0.store(0);
}

// Not the last one, but it has a timer, and the sleeper's deadline is later: it is told.
TEST_F(Pidle, HandoffOfAPWithTimersTellsTheSleeper) {
    sched.nmspinning.store(1);
    pp.timers.when0.store(1000);
    sched.lastpoll.store(0);
    sched.polluntil.store(5000);
    std::uint32_t before = sched.pollwake.load();
    handoffp(&pp);
    expect_idled(&pp);
    EXPECT_EQ(sched.pollwake.load(), before + 1);
    pp.timers.when0.store(0);
}

// Work that was queued elsewhere while no P was idle: whoever idles one looks (WK5).
TEST_F(Pidle, HandoffLooksAtTheQueuesAfterIdlingTheP) {
    idle(&third);
    runqput(&me.pp, gs[0], false);
    handoffp(&pp);
    EXPECT_TRUE(woken());
    EXPECT_TRUE(sleeper.spinning);
    EXPECT_EQ(sched.npidle.load(), 1u);
    bool inherit;
    runqget(&me.pp, &inherit);
}

// ---- wakenetpoller (TM4)

TEST_F(Pidle, AnEarlierTimerWakesTheSleeper) {
    sched.polluntil.store(5000);
    std::uint32_t before = sched.pollwake.load();
    wakenetpoller(5000);
    wakenetpoller(6000);
    EXPECT_EQ(sched.pollwake.load(), before) << "it wakes early enough";
    wakenetpoller(4999);
    EXPECT_EQ(sched.pollwake.load(), before + 1);
    EXPECT_FALSE(woken());
}

TEST_F(Pidle, ATimerWithoutASleeperWakesAnM) {
    idle(&pp);
    sched.wake_backoff.store(cfg::wake_backoff_max);  // wakes for goroutines were in vain lately
    wakenetpoller(5000);
    expect_started(&pp, true);
    sched.wake_backoff.store(0);
}

// ---- what must not happen

struct PidleDeathTest : Pidle {
    void SetUp() override {
        Pidle::SetUp();
        testing::GTEST_FLAG(death_test_style) = "fast";
        setenv("RT0TRACEBACK", "none", 1);
        upcall_tracebackinit();
    }
};

TEST_F(PidleDeathTest, InvariantsAreChecked) {
    auto dies = testing::ExitedWithCode(2);
    EXPECT_EXIT(acquirep(&pp), dies, "fatal error: wirep: M already has a P");
    EXPECT_EXIT((releasep(), acquirep(&third)), dies, "fatal error: wirep: invalid P state");
    EXPECT_EXIT((releasep(), releasep()), dies, "fatal error: releasep: no P");
    EXPECT_EXIT((me.pp.status.store(psyscall), releasep()), dies, "fatal error: releasep: invalid P state");
    EXPECT_EXIT((runqput(&pp, gs[0], false), pidleput(&pp)), dies, "fatal error: pidleput: P has non-empty run queue");
    EXPECT_EXIT(stopm(), dies, "fatal error: stopm: holding P");
    EXPECT_EXIT((releasep(), me.mp.spinning = true, stopm()), dies, "fatal error: stopm: spinning");
    EXPECT_EXIT((sleeper.spinning = true, startm(&pp, false)), dies, "fatal error: startm: M is spinning");
    EXPECT_EXIT((sleeper.nextp = &third, startm(&pp, false)), dies, "fatal error: startm: M has a P");
    EXPECT_EXIT((runqput(&pp, gs[0], false), startm(&pp, true)), dies, "fatal error: startm: P has runnable goroutines");
    EXPECT_EXIT(startm(nullptr, true), dies, "fatal error: startm: negative nmspinning");
}

}  // namespace
