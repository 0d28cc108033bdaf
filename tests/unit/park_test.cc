// Parking and readying on the running scheduler; who runs when, with one P; timers that
// another P has to run.  Counts decide, never time.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <rt0/go.h>
#include <rt0/sync.h>
#include <rt0/time.h>

#include "kernel_if/clock.h"
#include "sched/lists.h"
#include "sched/timer.h"
#include "tests/support/gate.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
using testing_support::countdown;
namespace this_goroutine = rt0::this_goroutine;

namespace {

struct Park : testing::Test {
    int procs = rt0::gomaxprocs();
    void TearDown() override { rt0::gomaxprocs(procs); }
};

bool go_on(g*, void* calls) {
    ++*static_cast<int*>(calls);
    return false;
}

TEST_F(Park, UnlockfFalseGoesOn) {
    for (int p : {1, 4}) {
        rt0::gomaxprocs(p);
        int calls = 0;
        std::atomic<bool> stop{false};
        countdown done(1);
        rt0::go([&] {  // so that there is somebody to switch to
            while (!stop.load()) this_goroutine::yield();
            done.one();
        });
        for (int i = 0; i < 1000; i++) {
            runtime_call rc;
            gopark(go_on, &calls, wait_reason::chan_receive);
            ASSERT_EQ(readgstatus(rc.gp), grunning);
            if (i % 8 == 0) gosched();
        }
        EXPECT_EQ(calls, 1000);
        stop = true;
        done.wait();
    }
}

// Parks until somebody readies it; tells when it is parked for sure.
struct sleeper {
    std::atomic<g*> parked{nullptr};
    std::atomic<int> rounds{0};
    void sleep() {
        runtime_call rc;
        gopark(
            [](g* gp, void* self) {
                static_cast<sleeper*>(self)->parked.store(gp);
                return true;
            },
            this, wait_reason::semacquire);
        rounds++;
    }
    g* when_parked() {
        g* gp;
        while (!(gp = parked.exchange(nullptr))) this_goroutine::yield();
        return gp;
    }
};

TEST_F(Park, StatusAndReasonWhileParked) {
    sleeper s;
    countdown done(1);
    rt0::go([&] {
        s.sleep();
        done.one();
    });
    g* gp = s.when_parked();
    EXPECT_EQ(readgstatus(gp), gwaiting);
    EXPECT_EQ(gp->waitreason, wait_reason::semacquire);
    EXPECT_EQ(gp->mp, nullptr);
    {
        runtime_call rc;
        goready(gp);
    }
    done.wait();
    EXPECT_EQ(s.rounds.load(), 1);
}

// One P: what goready made ready runs next, what goready_tail made ready runs last.
TEST_F(Park, ReadyNextAndReadyTail) {
    rt0::gomaxprocs(1);
    int checked_of[2] = {0, 0};
    for (int k = 0; checked_of[0] < 5 || checked_of[1] < 5; k++) {
        bool tail = k % 2;
        sleeper s[3];
        g* gps[3];
        std::vector<int> order(3);
        std::atomic<std::size_t> turn{0};  // atomic: who lost its P runs beside the others
        countdown done(3);
        for (int i = 0; i < 3; i++) {
            rt0::go([&, i] {
                s[i].sleep();
                order[turn++] = i;
                done.one();
            });
            gps[i] = s[i].when_parked();
        }
        std::uint32_t before, after, calls;
        p* pp;
        {
            runtime_call_quiet rc;
            pp = rc.gp->mp->pp;
            pp->chain = pp->turns;
            calls = pp->syscalltick.load();
            before = pp->schedtick.load();
            goready_tail(gps[1]);
            goready_tail(gps[2]);
            tail ? goready_tail(gps[0]) : goready(gps[0]);
            after = pp->schedtick.load();
        }
        done.wait();
        if (before != after) continue;                  // sysmon had asked us to yield in between
        if (calls != pp->syscalltick.load()) continue;  // one of us lost the P, and with it its turn
        checked_of[tail]++;
        EXPECT_EQ(order, tail ? (std::vector<int>{1, 2, 0}) : (std::vector<int>{0, 1, 2}));
    }
}

TEST_F(Park, ParkWithoutUnlockf) {
    std::atomic<g*> me{nullptr};
    countdown done(1);
    rt0::go([&] {
        runtime_call rc;
        me = rc.gp;
        gopark(nullptr, nullptr, wait_reason::chan_receive);
        done.one();
    });
    while (!me.load() || readgstatus(me.load()) != gwaiting) this_goroutine::yield();
    {
        runtime_call rc;
        goready(me.load());
    }
    done.wait();
}

// ---- fairness with one P

// n goroutines that take turns; how many turns one was ahead of another at most.  *lost: its P was taken from a
// goroutine meanwhile, or given back.
int turns_apart(int n, int turns, bool* lost) {
    std::vector<std::atomic<int>> count(static_cast<std::size_t>(n));  // atomic: one without a P runs beside the others
    std::atomic<int> worst{0};
    countdown done(n);
    const p* p0 = (rcu_reader(), allp().data[0]);
    const std::uint32_t before = p0->syscalltick;
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            for (int k = 0; k < turns; k++) {
                count[static_cast<std::size_t>(i)]++;
                int lo = turns, hi = 0;
                for (const auto& a : count) {
                    int c = a;
                    lo = c < lo ? c : lo;
                    hi = c > hi ? c : hi;
                }
                if (lo > 0 && lo < turns && hi < turns && hi - lo > worst) worst = hi - lo;
                this_goroutine::yield();
            }
            done.one();
        });
    done.wait();
    *lost = p0->syscalltick != before;
    return worst;
}

// Whoever is off the processor for 10 ms loses its P and with it its turns, so what counts is a run in which nobody was.
TEST_F(Park, YieldTakesTurns) {
    rt0::gomaxprocs(1);
    bool lost = true;
    int worst = 0;
    for (int tries = 0; lost; tries++) {
        ASSERT_LT(tries, 200) << "none in which no P was taken";
        worst = turns_apart(10, 2000, &lost);
    }
    // Every 61st round a yield goes over the global queue, which costs it at most a turn or two.
    EXPECT_LE(worst, 20);
}

// Two goroutines that ready each other for ever, as through a channel.
struct pair_of_players {
    const p* only = (rcu_reader(), allp().data[0]);
    // Parks until woken, or not at all if that was before; as a note does.
    struct player {
        static constexpr std::uintptr_t awake = 0, woken = 1;  // any other: the G that sleeps
        std::atomic<std::uintptr_t> state{awake};
        void sleep() {
            runtime_call rc;
            gopark(
                [](g* gp, void* self) {
                    auto* me = static_cast<player*>(self);
                    std::uintptr_t was = awake;
                    if (me->state.compare_exchange_strong(was, reinterpret_cast<std::uintptr_t>(gp))) return true;
                    me->state = awake;
                    return false;
                },
                this, wait_reason::semacquire);
        }
        // Mostly the other sleeps or has not begun; if it lost its P it may be anywhere.
        void wake() {
            runtime_call_quiet rc;
            std::uintptr_t was = state.load();
            while (was != woken && !state.compare_exchange_weak(was, was == awake ? woken : awake)) {}
            if (was > woken) goready(reinterpret_cast<g*>(was));
        }
    };
    player a, b;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> exchanges{0};
    countdown done{2};

    void play(player& me, player& other) {
        while (!stop.load()) {
            other.wake();
            me.sleep();
            exchanges++;
        }
        other.wake();
        done.one();
    }
    void start() {
        rt0::go([this] { play(a, b); });
        rt0::go([this] { play(b, a); });
    }
    // Exchanges while f runs; none if a goroutine lost the P meanwhile, and with it its place in the queues.
    std::uint64_t meanwhile(auto f) {
        const std::uint64_t before = exchanges.load();
        const std::uint32_t calls = only->syscalltick.load();
        f();
        return only->syscalltick.load() == calls ? exchanges.load() - before : 0;
    }
};

TEST_F(Park, APairDoesNotShutOutTheLocalQueue) {
    rt0::gomaxprocs(1);
    pair_of_players pair;
    pair.start();
    int turns = 0;
    std::uint64_t longest = 0;
    while (turns < 200 || (longest == 0 && turns < 100'000)) {  // would never end if the pair kept runnext for ever
        longest = std::max(longest, pair.meanwhile([] { this_goroutine::yield(); }));
        turns++;
    }
    pair.stop = true;
    pair.done.wait();
    EXPECT_GT(pair.exchanges.load(), 0u);
    // At most an inherited slice of 64, a few times over for the rounds that look elsewhere.
    EXPECT_GT(longest, 0u) << "a P was lost each time";
    EXPECT_LE(longest, 61u * 2 * cfg::runnext_inherit_max);
}

TEST_F(Park, APairDoesNotShutOutTheGlobalQueue) {
    rt0::gomaxprocs(1);
    pair_of_players pair;
    pair.start();
    std::uint64_t longest = 0;
    for (int turns = 0; turns < 50 || (longest == 0 && turns < 10'000); turns++) {
        sleeper s;
        countdown done(1);
        rt0::go([&] {
            s.sleep();
            done.one();
        });
        g* gp = s.when_parked();
        longest = std::max(longest, pair.meanwhile([&] {
            {
                runtime_call rc;
                goready_injected(gp);
            }
            done.wait();
        }));
    }
    pair.stop = true;
    pair.done.wait();
    EXPECT_GT(longest, 0u) << "a P was lost each time";
    EXPECT_LE(longest, 4u * cfg::sched_tick_global * cfg::runnext_inherit_max);
}

TEST_F(Park, APairDoesNotShutOutTimers) {
    rt0::gomaxprocs(1);
    pair_of_players pair;
    pair.start();
    for (int i = 0; i < 20; i++) this_goroutine::sleep_for(100us);  // would never end
    pair.stop = true;
    pair.done.wait();
    EXPECT_GT(pair.exchanges.load(), 0u);
}

// MX1: a lock that is free is taken without entering the runtime; who was asked to yield does all the same.
TEST_F(Park, LocksYieldWhenAsked) {
    rt0::gomaxprocs(1);
    const p* only = (rcu_reader(), allp().data[0]);
    // The other finds the lock free: it is let go first without it.
    auto lets_another_go_first = [&](bool asked, auto try_and_unlock, auto lock) {
        for (int tries = 0; tries < 10'000; tries++) {
            std::atomic<bool> ran{false};
            countdown done(1);
            const std::uint32_t calls = only->syscalltick.load();
            rt0::go([&] {
                ran = try_and_unlock();
                done.one();
            });
            const bool early = ran;
            if (asked) getg()->mp->retake.fetch_or(rt_preempt);
            lock();
            const bool first = ran;
            done.wait();
            if (!early && only->syscalltick.load() == calls) return first;  // else the P was lost, and that let it go
        }
        ADD_FAILURE() << "a P was lost each time";
        return !asked;
    };
    rt0::mutex m;
    rt0::shared_mutex s;
    auto with_m = [&] {
        m.lock();
        EXPECT_FALSE(m.try_lock());
        m.unlock();
    };
    auto with_s = [&] {
        s.lock();
        EXPECT_FALSE(s.try_lock_shared());
        s.unlock();
    };
    auto with_shared = [&] {
        s.lock_shared();
        EXPECT_FALSE(s.try_lock());
        s.unlock_shared();
    };
    auto m_is_free = [&] { return m.try_lock() && (m.unlock(), true); };
    auto s_is_free = [&] { return s.try_lock() && (s.unlock(), true); };
    EXPECT_TRUE(lets_another_go_first(true, m_is_free, with_m));
    EXPECT_TRUE(lets_another_go_first(true, s_is_free, with_s));
    EXPECT_TRUE(lets_another_go_first(true, s_is_free, with_shared));
    // Sysmon may ask, but not each time.
    for (int tries = 0; lets_another_go_first(false, m_is_free, with_m); tries++) ASSERT_LT(tries, 20);
}

// ---- timers of others

TEST_F(Park, ATimerOfABusyPIsRunByAnother) {
    rt0::gomaxprocs(2);
    for (int i = 0; i < 10; i++) {
        std::atomic<bool> woke{false};
        std::atomic<int> armed{0};
        rt0::go([&] {
            armed = 1;
            this_goroutine::sleep_for(1ms);
            woke = true;
        });
        while (!armed.load()) this_goroutine::yield();
        this_goroutine::yield();
        while (!woke.load()) {}  // no crossing: this P does nothing else, and it may be the one with the timer
    }
}

TEST_F(Park, AnEarlierTimerWakesTheSleepingM) {
    rt0::gomaxprocs(2);
    rt0::timer late(1h);
    for (int i = 0; i < 20; i++) {
        countdown done(1);
        this_goroutine::sleep_for(1ms);  // an hour's sleep is what an M without work has begun meanwhile
        rt0::go([&] {
            this_goroutine::sleep_for(1ms);
            done.one();
        });
        done.wait();
    }
    EXPECT_TRUE(late.stop());
}

TEST_F(Park, SleepsOfEveryKind) {
    auto now = [] { return std::chrono::steady_clock::now(); };
    for (auto d : {-1h, 0h}) this_goroutine::sleep_for(d);
    this_goroutine::sleep_for(std::chrono::nanoseconds::min());
    for (auto d : {1ns, 1000ns, 1'000'000ns}) {
        auto until = now() + d;
        this_goroutine::sleep_for(d);
        EXPECT_GE(now(), until);
    }
    auto until = now() + 2ms;
    this_goroutine::sleep_until(until);
    EXPECT_GE(now(), until);
    this_goroutine::sleep_until(now() - 1h);
    this_goroutine::sleep_until(std::chrono::system_clock::now() + 1ms);
}

TEST_F(Park, SleepingForEverIsPossible) {
    rt0::go([] {  // stays behind until the process ends
        this_goroutine::sleep_for(std::chrono::nanoseconds::max());
        std::abort();
    });
    for (int i = 0; i < 3; i++) this_goroutine::sleep_for(1ms);
    EXPECT_GE(rt0::num_goroutine(), 2);
}

}  // namespace
