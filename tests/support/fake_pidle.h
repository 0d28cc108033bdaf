// Fake Ms and Ps for tests of the idle lists, where each situation can be built as wanted.
#pragma once
#include <gtest/gtest.h>

#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/timer.h"
#include "tests/support/fake_sched.h"

namespace testing_support {

namespace idle_lists {

using namespace rt0::runtime;

// Three Ps: `me` runs on its own, `pp` is the one that is handed about, `third` is idle or busy.
struct Pidle : testing::Test {
    fake_m me;
    p pp, third;
    m sleeper;  // an M asleep on the idle list
    tokens gs{4};

    void SetUp() override {
        sched.midle = nullptr;
        sched.pidle = nullptr;
        sched.starved.store(false);
        sched.nmidle = sched.stopwait = 0;
        sched.npidle.store(0);
        sched.nmspinning.store(0);
        sched.gcwaiting.store(false);
        sched.lastpoll.store(1);
        sched.polluntil.store(0);
        noteclear(&sched.stopnote);
        p* ps[] = {&me.pp, &pp, &third};
        for (int i = 0; i < 3; i++) ps[i]->id = i;
        allp_set(ps, 3);
        gomaxprocs_now.store(3);
        pp.status.store(pidle);
        third.status.store(prunning);
        sleeper.mstartfn = nullptr;
        sched.midle = &sleeper;
        sched.nmidle = 1;
    }
    void TearDown() override {
        guard l(sched.lock);
        while (sched.runq.pop()) {}
        sched.runqsize.store(0);
        sched.mnext = 0;
    }
    void idle(p* which) {
        guard l(sched.lock);
        which->status.store(pidle);
        pidleput(which);
    }
    void queue_globally(g* gp) {
        guard l(sched.lock);
        globrunqput(gp);
    }
    bool woken() { return sleeper.park.key.load() == 1; }
    void expect_started(p* with, bool spinning) {
        EXPECT_TRUE(woken());
        EXPECT_EQ(sleeper.nextp, with);
        EXPECT_EQ(sleeper.spinning, spinning);
        EXPECT_EQ(sched.midle, nullptr);
        EXPECT_EQ(sched.nmidle, 0);
    }
    void expect_idled(p* which) {
        EXPECT_FALSE(woken());
        EXPECT_EQ(sched.pidle, which);
        EXPECT_EQ(sched.npidle.load(), 1u);
        EXPECT_EQ(sched.nmidle, 1);
    }
};

}  // namespace idle_lists

using idle_lists::Pidle;

}  // namespace testing_support
