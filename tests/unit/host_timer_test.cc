// Timer heaps of fake Ps: order against a model, disarming and moving at every position,
// periods, and deltimer against a callback in progress (TM2).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "kernel_if/clock.h"
#include "sched/find.h"
#include "sched/runq.h"
#include "sched/timer.h"
#include "sched/worth.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;

namespace {

std::vector<std::int64_t>* fired = nullptr;  // `when` of those that ran, in order

void note_when(timer* t, std::int64_t) { fired->push_back(t->when); }

struct Timers : testing::Test {
    fake_m me;
    std::vector<std::int64_t> ran;
    std::int64_t until = 0;

    void SetUp() override {
        gomaxprocs_now.store(1);
        fired = &ran;
    }
    void arm(timer& t, std::int64_t when, std::int64_t period = 0) {
        t.when = when;
        t.period = period;
        t.f = note_when;
        addtimer(&t);
    }
    // 4-ary heap order, indices and owners; when0 says the first.
    void expect_heap() {
        timers& ts = me.pp.timers;
        for (std::uint32_t i = 0; i < ts.len; i++) {
            ASSERT_EQ(timer_of(ts.heap[i])->index, i);
            ASSERT_EQ(timer_of(ts.heap[i])->owner.load(), &me.pp);
            ASSERT_EQ(timer_of(ts.heap[i])->when, ts.heap[i].when);
            ASSERT_LE(ts.heap[i ? (i - 1) / 4 : 0].when, ts.heap[i].when);
        }
        ASSERT_EQ(ts.when0.load(), ts.len ? ts.heap[0].when : 0);
    }
    bool run(std::int64_t now) { return checktimers(&me.pp, now, &until); }
};

TEST_F(Timers, FewShortTurnsNeedNoHelp) {  // WK8
    constexpr std::int64_t now = 1'000'000'000;
    std::vector<g> gs(100);
    for (g& gp : gs) runqput(&me.pp, &gp, false);
    EXPECT_FALSE(begin_timer_batch(now)) << "nothing is known of their turns";
    EXPECT_EQ(me.pp.batchwhen, now);
    auto alone = [&](std::int64_t turn, std::int64_t look) {
        me.pp.turn_ns = turn;
        sched.sysmonnext.store(look);
        EXPECT_EQ(begin_timer_batch(now), me.pp.suffices);
        return me.pp.suffices.get();
    };
    const std::int64_t brief = cfg::alone_ns / 100 - 1;
    EXPECT_TRUE(alone(brief, 0)) << "sysmon is awake as soon as we are";
    EXPECT_TRUE(alone(brief, now + cfg::alone_look - 1));
    EXPECT_FALSE(alone(brief, now + cfg::alone_look)) << "nobody would look for long";
    EXPECT_TRUE(sched.sysmonwanted.exchange(false)) << "but soon";
    EXPECT_FALSE(alone(brief + 1, 0)) << "too much work";
    EXPECT_FALSE(sched.sysmonwanted.load());
    sched.runqsize.store(1);
    EXPECT_FALSE(alone(brief, 0)) << "the global queue is nobody's";
    sched.runqsize.store(0);
    bool inherit;
    while (runqlen(&me.pp) > 1) runqget(&me.pp, &inherit);
    EXPECT_TRUE(alone(brief, 0));
    EXPECT_FALSE(sched.sysmonwanted.load()) << "for a few sysmon need not come";
    runqget(&me.pp, &inherit);
    sched.sysmonnext.store(0);
}

TEST_F(Timers, RandomOperationsAgainstAModel) {
    std::mt19937 rng(12345);
    std::deque<timer> pool(300);
    std::multimap<std::int64_t, timer*> model;
    std::int64_t now = 1000;
    auto armed = [](timer& t) { return t.owner.load() != nullptr; };
    auto forget = [&](timer& t) {
        for (auto i = model.begin(); i != model.end(); ++i)
            if (i->second == &t) return void(model.erase(i));
        FAIL() << "not in the model";
    };
    for (int step = 0; step < 20'000; step++) {
        timer& t = pool[rng() % pool.size()];
        std::int64_t when = now + static_cast<std::int64_t>(rng() % 500) - 50;
        switch (rng() % 4) {
            case 0:
            case 1:
                if (armed(t)) break;
                arm(t, when);
                model.emplace(when, &t);
                break;
            case 2: {
                bool was = armed(t);
                if (was) forget(t);
                EXPECT_EQ(deltimer(&t), was);
                break;
            }
            case 3: {
                bool was = armed(t);
                if (was) forget(t);
                t.f = note_when;
                EXPECT_EQ(modtimer(&t, when, 0), was);
                model.emplace(when, &t);
                break;
            }
        }
        if (step % 16 == 0) {
            expect_heap();
            now += static_cast<std::int64_t>(rng() % 40);
            ran.clear();
            bool any = run(now);
            std::vector<std::int64_t> want;
            while (!model.empty() && model.begin()->first <= now) {
                want.push_back(model.begin()->first);
                model.erase(model.begin());
            }
            ASSERT_EQ(ran, want);
            ASSERT_EQ(any, !want.empty());
            ASSERT_EQ(until, model.empty() ? 0 : model.begin()->first);
        }
    }
}

TEST_F(Timers, DisarmedAtEveryPosition) {
    for (std::uint32_t n : {1u, 2u, 5u, 6u, 21u, 22u, 70u}) {
        for (std::uint32_t pos = 0; pos < n; pos++) {
            std::deque<timer> ts(n);
            std::vector<std::int64_t> want;
            for (std::uint32_t i = 0; i < n; i++) {
                arm(ts[i], 100 + i * 7919 % 97);
                want.push_back(ts[i].when);
            }
            timer* victim = timer_of(me.pp.timers.heap[pos]);
            want.erase(std::find(want.begin(), want.end(), victim->when));
            EXPECT_TRUE(deltimer(victim));
            EXPECT_FALSE(deltimer(victim)) << "twice";
            expect_heap();
            std::sort(want.begin(), want.end());
            ran.clear();
            run(1000);
            EXPECT_EQ(ran, want);
        }
    }
}

TEST_F(Timers, MovedFromEveryPosition) {
    constexpr std::uint32_t n = 40;
    for (std::int64_t to : {1, 120, 5000}) {
        for (std::uint32_t pos = 0; pos < n; pos++) {
            std::deque<timer> ts(n);
            std::vector<std::int64_t> want;
            for (std::uint32_t i = 0; i < n; i++) arm(ts[i], 100 + i * 7919 % 97);
            EXPECT_TRUE(modtimer(timer_of(me.pp.timers.heap[pos]), to, 0));
            expect_heap();
            for (timer& t : ts) want.push_back(t.when);
            std::sort(want.begin(), want.end());
            ran.clear();
            run(5000);
            EXPECT_EQ(ran, want);
        }
    }
}

TEST_F(Timers, NothingDueRunsNothing) {
    timer t;
    EXPECT_FALSE(run(1000));
    EXPECT_EQ(until, 0);
    arm(t, 500);
    EXPECT_FALSE(run(499));
    EXPECT_EQ(until, 500);
    EXPECT_TRUE(run(500));
    EXPECT_EQ(until, 0);
}

TEST_F(Timers, DeadlinesBeforeTheEpochAreDue) {
    timer a, b;
    arm(a, 0);  // 0 would say "no timer" in when0
    arm(b, -5);
    EXPECT_TRUE(run(1));
    EXPECT_EQ(ran.size(), 2u);
}

TEST_F(Timers, PeriodsThatWereMissedAreSkipped) {
    timer t;
    arm(t, 10, 10);
    run(10);
    EXPECT_EQ(ran.size(), 1u);
    EXPECT_EQ(until, 20);
    run(55);
    EXPECT_EQ(ran.size(), 2u) << "one for 20, none for 30, 40, 50";
    EXPECT_EQ(until, 60);
    run(60);
    EXPECT_EQ(ran.size(), 3u);
    EXPECT_EQ(until, 70);
    EXPECT_TRUE(deltimer(&t));
    EXPECT_FALSE(run(1000));
}

TEST_F(Timers, PeriodsNearTheEndOfTimeDoNotOverflow) {
    timer t, u;
    arm(t, 10, INT64_MAX);
    arm(u, INT64_MAX - 5, 100);
    run(1'000'000);
    EXPECT_EQ(ran.size(), 1u);
    EXPECT_GT(until, 1'000'000);
    run(INT64_MAX - 1);
    EXPECT_GE(until, INT64_MAX - 1);
    deltimer(&t);
    deltimer(&u);
    EXPECT_EQ(me.pp.timers.len, 0u);
}

TEST_F(Timers, AllOfADyingPGoToAnother) {
    p other;
    std::deque<timer> ts(200);
    for (std::size_t i = 0; i < ts.size(); i++) arm(ts[i], 1 + static_cast<std::int64_t>(i * 7919 % 199));
    movetimers(&me.pp, &other);
    EXPECT_EQ(me.pp.timers.len, 0u);
    EXPECT_EQ(me.pp.timers.when0.load(), 0);
    EXPECT_EQ(other.timers.len, ts.size());
    EXPECT_TRUE(deltimer(&ts[77]));
    checktimers(&other, 1000, &until);
    EXPECT_EQ(ran.size(), ts.size() - 1);
    EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

// A callback may end the life of its timer: nothing is touched afterwards.
TEST_F(Timers, ATimerMayGoAwayInItsCallback) {
    struct own {
        timer t;
        bool* gone;
    };
    bool gone = false;
    auto* o = new own{{}, &gone};
    o->t.when = 5;
    o->t.arg = o;
    o->t.f = [](timer* t, std::int64_t) {
        auto* self = static_cast<own*>(t->arg);
        *self->gone = true;
        std::fill_n(reinterpret_cast<unsigned char*>(&self->t), sizeof self->t, 0xAA);
        delete self;
    };
    addtimer(&o->t);
    EXPECT_TRUE(run(5));
    EXPECT_TRUE(gone);
    EXPECT_FALSE(run(6));
}

using TimersDeathTest = Timers;
TEST_F(TimersDeathTest, ArmedTwice) {
    testing::GTEST_FLAG(death_test_style) = "fast";
    timer t;
    arm(t, 100);
    EXPECT_EXIT(addtimer(&t), testing::ExitedWithCode(2), "fatal error: addtimer: timer is armed already");
    deltimer(&t);
}

struct racing {
    timer t;
    std::atomic<int> started{0}, deleting{0};
    int finished = 0;  // no atomic: TM2 is what orders it
};

// The callback is in the middle when deltimer comes: deltimer returns after it has ended.
TEST_F(Timers, DeltimerWaitsForARunningCallback) {
    for (std::int64_t period : {0, 1'000'000'000}) {
        for (int i = 0; i < 25; i++) {
            racing r;
            r.t.when = 10;
            r.t.period = period;
            r.t.arg = &r;
            r.t.f = [](timer* t, std::int64_t) {
                auto* self = static_cast<racing*>(t->arg);
                self->started = 1;
                while (self->deleting.load() == 0) rt0::kernel::osyield();
                for (int k = 0; k < 4; k++) rt0::kernel::osyield();
                self->finished++;
            };
            addtimer(&r.t);
            std::thread thief([&] {  // another M runs it: a stolen timer
                fake_m other;
                std::int64_t next;
                EXPECT_TRUE(checktimers(&me.pp, 20, &next));
            });
            while (r.started.load() == 0) rt0::kernel::osyield();
            r.deleting = 1;
            EXPECT_EQ(deltimer(&r.t), period > 0) << "a periodic one is armed again";
            EXPECT_EQ(r.finished, 1);
            thief.join();
            EXPECT_EQ(me.pp.timers.len, 0u);
        }
    }
}

// Two thieves, one owner: each timer runs once or is deleted, never both.
TEST_F(Timers, RunOrDeletedNeverBoth) {
    constexpr int n = 64, rounds = 150;
    struct shot {
        timer t;
        int ran = 0;
    };
    std::deque<shot> shots(n);
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> clock{1};
    std::vector<std::thread> thieves;
    for (int i = 0; i < 2; i++)
        thieves.emplace_back([&] {
            fake_m other;
            std::int64_t next;
            while (!stop.load()) {
                checktimers(&me.pp, clock.load(), &next);
                rt0::kernel::osyield();
            }
        });
    int both = 0, neither = 0, deleted = 0;
    for (int r = 0; r < rounds; r++) {
        std::int64_t base = clock.load();
        for (int i = 0; i < n; i++) {
            shots[i].ran = 0;
            shots[i].t.when = base + 1 + i;
            shots[i].t.arg = &shots[i];
            shots[i].t.f = [](timer* t, std::int64_t) { static_cast<shot*>(t->arg)->ran++; };
            addtimer(&shots[i].t);
        }
        clock.store(base + n / 2);
        if (r % 2) rt0::kernel::osyield();
        for (int i = 0; i < n; i++) {
            bool armed = deltimer(&shots[i].t);
            deleted += armed;
            both += armed && shots[i].ran;
            neither += !armed && shots[i].ran != 1;
        }
        clock.store(base + n);
    }
    stop = true;
    for (auto& t : thieves) t.join();
    EXPECT_EQ(both, 0);
    EXPECT_EQ(neither, 0);
    EXPECT_GE(deleted, rounds * n / 2) << "half of them are never due";
}

}  // namespace
