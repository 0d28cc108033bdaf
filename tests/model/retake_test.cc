// The retake handshake, by membarrier and by fences: a P taken from user code is nobody else's, an M that comes back
// into the runtime meanwhile waits or wins, and a request that finds it inside is seen at its exit.
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::world;

namespace {

options with(unsigned preemptions, unsigned runs) {
    options o = model::with(preemptions, runs, 20'000);
    o.dfs.looks_back = 2;
    o.timeouts = 2;
    return o;
}

struct state {
    model::cluster c;
    model::fake_m sysmon[2] = {model::fake_m{98}, model::fake_m{99}};  // Ms without Ps
    var<int> books[3];  // of each P: touched by who has it
    int taken = 0;
    int quick = 0;           // quick calls
    atomic<int> looking{0};  // sysmon begins

    state(world& w, int ps, int ms, bool stops) : c(w, ps, ms, stops) {
        for (auto& s : sysmon) s.mp.pp = nullptr;
    }
    void touch(p* pp) {
        MODEL_CHECK(pp);
        books[pp->id].set(books[pp->id].get() + 1);
    }

    static void await(atomic<int>& flag, int value) {
        while (flag.load() != value) rt0::kernel::osyield();
    }
    // A public call.
    void call() {
        runtime_call rc;
        touch(rc.gp->mp->pp);
    }
    // One that is quick where it can be.
    void quick_call() {
        g* gp = getg();
        m* mp = enter_quick(gp);
        if (!mp) return call();
        touch(mp->pp);
        quick++;
        if (!leave_quick(mp)) runtime_call_leave_slow(gp);
    }
    void quick_user(int n) {
        leave_runtime(getg());
        for (int i = 0; i < n; i++) quick_call();
        runtime_call rc;
        rc.stay_inside();
    }
    // A goroutine: user code with n calls.
    void user(int n) {
        leave_runtime(getg());
        for (int i = 0; i < n; i++) call();
        runtime_call rc;
        touch(rc.gp->mp->pp);
        rc.stay_inside();
    }
    // The same, and lets others go on while it is in user code, and while it is inside.
    void lingers() {
        leave_runtime(getg());
        rt0::kernel::osyield();
        {
            runtime_call rc;
            touch(rc.gp->mp->pp);
            rt0::kernel::osyield();
            touch(rc.gp->mp->pp);
        }
        runtime_call rc;
        rc.stay_inside();
    }
    // The same with user code in between that has let its P go, as inside blocking().
    void blocks() {
        leave_runtime(getg());
        call();
        {
            runtime_call rc;
            touch(rc.gp->mp->pp);
            rc.give_back_p();
        }
        runtime_call rc;
        touch(rc.gp->mp->pp);
        rc.stay_inside();
    }
    // sysmon takes pp, whose M is in user code, once (retake() in sched/sysmon.cc; why it does so is judge's).
    void take(p* pp) {
        taking one;
        takings round;
        pp->victim = nullptr;
        m* mp = pp->mp.follow();
        if (mp) round.want(mp, false);
        round.take(0);
        taken += mp && pp->victim == mp;
    }
};

// With membarrier, or without; as in the product, states are changed by unlocked instructions (GS4) with it: then who takes
// a P and the M that comes back must see each other's changes of the G's state by order alone.
class Retake : public testing::TestWithParam<bool> {
protected:
    void SetUp() override {
        model::by_membarrier(GetParam());
        local_gstatus = GetParam() && rt0::arch::has_local_cas;
    }
    void TearDown() override { local_gstatus = false; }
    template <class F>
    static void explore(const options& o, int ps, int ms, F f, bool stops = false) {
        int taken = 0;
        model::explore(o, [&](world& w) {
            auto s = std::make_shared<state>(w, ps, ms, stops);
            f(w, s.get());
            w.after([s, &taken] {
                s->c.check_end();
                taken += s->taken;
            });
        });
        EXPECT_GT(taken, 0) << "the scenario is about nothing";
    }
};
INSTANTIATE_TEST_SUITE_P(By, Retake, testing::Bool(), [](auto& i) { return i.param ? "Membarrier" : "Fences"; });

TEST_P(Retake, OneP) {
    explore(with(2, 5000), 1, 3, [](world& w, state* s) {
        s->c.go(0, [s] { s->user(2); });
        w.thread([s] { s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
    });
}

// Who loses the P finds another goroutine on it.
TEST_P(Retake, TwoGoroutines) {
    explore(with(1, 5000), 1, 3, [](world& w, state* s) {
        s->c.go(0, [s] { s->user(1); });
        s->c.go(0, [s] { s->user(1); });
        w.thread([s] { s->take(s->c.pp(0)), s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
    });
}

TEST_P(Retake, QuickCalls) {
    int quick = 0;
    explore(with(2, 5000), 1, 3, [&](world& w, state* s) {
        s->c.go(0, [s, &quick] { s->quick_user(2), quick += s->quick; });
        s->c.go(0, [s] { s->quick_user(1); });
        w.thread([s] { s->take(s->c.pp(0)), s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
    });
    EXPECT_EQ(quick > 0, GetParam());  // by fences all calls are slow
}

// RK5: by the time it stands still it may hold no P any more.
TEST_P(Retake, OneThatLetsItsPGo) {
    explore(with(2, 4000), 1, 3, [](world& w, state* s) {
        s->c.go(0, [s] { s->blocks(); });
        w.thread([s] { s->take(s->c.pp(0)), s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
    });
}

TEST_P(Retake, TwoRequesters) {
    explore(with(1, 5000), 2, 4, [](world& w, state* s) {
        s->c.go(0, [s] { s->user(2); });
        s->c.go(1, [s] { s->user(1); });
        for (int i : {0, 1}) w.thread([s, i] { s->take(s->c.pp(0)), s->take(s->c.pp(i)); }, &s->sysmon[i].g0);
    });
}

// The world is stopped while sysmon takes a P: the two must not meet on one M (RK2), and when all has stopped nobody
// else touches a P.
TEST_P(Retake, BesideAStoppedWorld) {
    options o = with(1, 3000);
    o.timeouts = 4;
    explore(o, 2, 5, [](world& w, state* s) {
        s->c.go(0, [s] {
            stop_the_world();
            for (int i : {0, 1}) s->touch(s->c.pp(i));
            start_the_world();
        });
        s->c.go(1, [s] { s->user(2); });
        w.thread([s] { s->take(s->c.pp(1)); }, &s->sysmon[0].g0);
    }, true);
}

// SC3: Ms that have not come back meanwhile have their Ps back, whichever way they meet the stopper.
TEST_P(Retake, AStoppedWorldReturnsPs) {
    options o = with(2, 5000);
    o.timeouts = 4;
    unsigned returned = 0, stopped = 0;
    explore(o, 2, 4, [&](world&, state* s) {
        s->c.go(0, [&, s] {
            s->await(s->looking, 1);
            stop_the_world();
            for (int i : {0, 1}) s->touch(s->c.pp(i));
            s->taken += s->c.pp(1)->stopped != nullptr;
            stopped += s->c.pp(1)->stopped != nullptr;
            s->looking.store(2);
            start_the_world();
            returned += sched.stopreturns.load();
        });
        s->c.go(1, [s] {
            leave_runtime(getg());
            s->looking.store(1);
            s->await(s->looking, 2);
            s->call();
            s->quick_call();
            runtime_call rc;
            s->touch(rc.gp->mp->pp);
            rc.stay_inside();
        });
    }, true);
    EXPECT_GT(returned, 0u);
    EXPECT_LT(returned, stopped);
    std::printf("    %u of %u Ps returned\n", returned, stopped);
}

// RK2: with two at once M could be inside, and wanted by one of them, when the other, who has seen it outside, goes on.
// (One of them waits for the other to begin, and M lets each go on at the right moment: two preemptions are enough.)
TEST_P(Retake, TwoRequestersOfOneM) {
    options o = with(2, 2000);
    o.dfs.runs = 60'000;
    o.dfs.looks_back = 0;  // fewer points: more of the pairs
    o.timeouts = 0;
    explore(o, 1, 3, [](world& w, state* s) {
        s->c.go(0, [s] { s->lingers(); });
        w.thread([s] { s->await(s->looking, 1), s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
        w.thread([s] { s->looking.store(1), s->take(s->c.pp(0)); }, &s->sysmon[1].g0);
    });
}

TEST_P(Retake, AStopperAndSysmonAtOneM) {
    options o = with(2, 40'000);
    o.dfs.runs = 160'000;  // what the lock is for is seen in one of some 50,000
    o.dfs.looks_back = 0;  // fewer points: more of the pairs
    o.timeouts = 0;
    explore(o, 2, 3, [](world& w, state* s) {
        s->c.go(0, [s] { s->lingers(); });
        s->c.go(1, [s] {
            s->await(s->looking, 1);
            stop_the_world();
            start_the_world();
        });
        w.thread([s] { s->looking.store(1), s->take(s->c.pp(0)); }, &s->sysmon[0].g0);
    }, true);
}

// RK4: a requester that met M inside has left its bit, and M has acted upon it when it is out again.
struct one_m {
    model::fake_m me{0}, sysmon{1};
    g gp;
    bool declined = false;
};
template <class F>
void leave_with_a_bit(F leaves) {
    model::explore(with(3, 5000), [leaves](world& w) {
        model::fresh_sched(w, 2);
        auto s = std::make_shared<one_m>();
        s->gp.mp = &s->me.mp;
        s->gp.atomicstatus.store(grunning);
        s->me.mp.curg = &s->gp;
        s->me.mp.retake.store(retake_initial());
        s->sysmon.mp.pp = nullptr;
        w.thread([s, leaves] { leaves(s.get()); }, &s->gp);
        w.thread([s] {
            guard l(retakelock);
            for (int i = 0; i < 2; i++) {
                s->declined = false;
                if (!retake_want(&s->me.mp, rt_preempt)) continue;
                retake_fence();
                if (retake_begin(&s->me.mp)) retake_release(&s->me.mp);
                else s->declined = true;
            }
        }, &s->sysmon.g0);
        w.after([s] { MODEL_CHECK(!s->declined || !(s->me.mp.retake.load() & rt_preempt)); });
    });
}
TEST_P(Retake, TheBitIsSeenAtTheExit) {
    leave_with_a_bit([](one_m* s) { leave_runtime(&s->gp); });
}
// Or at the exit of the call that follows, where it could not be quick.
TEST_P(Retake, TheBitIsSeenAfterAQuickCall) {
    leave_with_a_bit([](one_m* s) {
        s->me.mp.inrt.store(0);
        if (m* mp = enter_quick(&s->gp)) {
            if (!leave_quick(mp)) runtime_call_leave_slow(&s->gp);
            return;
        }
        s->me.mp.inrt.store(1);
        leave_runtime(&s->gp);
    });
}

}  // namespace
