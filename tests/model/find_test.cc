// The wake-up discipline (WK1 to WK5): work that reaches the global queue while the last M stops spinning and goes to
// sleep is run all the same, and without anybody who mends it.
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
#include "sched/find.h"
#include "sched/pidle.h"
#include "sched/timer.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::with;
using model::world;

namespace {

struct state {
    model::cluster c;
    model::fake_m other{99};  // an M without a P, as sysmon's
    mutex l{lock_rank::hchan};
    gqueue waiting;
    atomic<int> running{0}, begun{0};
    int ended = 0;

    state(world& w, int ps, int ms) : c(w, ps, ms) { other.mp.pp = nullptr; }
    void park() {
        l.lock();
        waiting.push_back(getg());
        goparkunlock(&l, wait_reason::zero);
    }
    g* take_parked() {
        guard g(l);
        return waiting.pop();
    }
    // Computes until n goroutines do so at the same time.
    void together(int n) {
        running.fetch_add(1, memory_order_relaxed);
        while (running.load(memory_order_relaxed) < n) rt0::kernel::osyield();
    }
    // Hands goroutines that have parked to the global queue, and wakes for all of them once.
    void queue_globally(int n) {
        for (int i = 0; i < n; i++) {
            g* gp;
            while (!(gp = take_parked())) rt0::kernel::osyield();
            casgstatus(gp, gwaiting, grunnable);
            guard g(sched.lock);
            globrunqput(gp);
        }
        wakep();
    }
};

template <class F>
void explore(const options& o, int ps, int ms, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w, ps, ms);
        f(w, s.get());
        w.after([=] { s->c.check_end(); });
    });
}

// From an M without a P, while those that have one run out of work.
TEST(Wake, Injected) {
    for (int ps : {1, 2})
        explore(with(2, 5000, 20'000), ps, ps + 1, [](world& w, state* s) {
            s->c.go(0, [s] { s->park(); });
            w.thread([s] {
                g* gp;
                while (!(gp = s->take_parked())) rt0::kernel::osyield();
                goready_injected(gp);
            }, &s->other.g0);
        });
}

// The producer computes on until the other runs too: somebody else must take it.
TEST(Wake, ForTheGlobalQueue) {
    explore(with(1, 5000, 20'000), 2, 4, [](world&, state* s) {
        s->c.go(1, [s] { s->park(), s->together(2); });
        s->c.go(0, [s] { s->queue_globally(1), s->together(2); });
    });
}

// Who was going to start a spinner finds no idle P any more, and takes its count back before one can become idle.
TEST(Wake, NoPForTheSpinner) {
    explore(with(2, 5000, 5000), 2, 4, [](world& w, state* s) {
        s->c.go(1, [s] {
            while (!s->begun.load(memory_order_acquire)) rt0::kernel::osyield();
            s->park();
            s->together(2);
        });
        s->c.go(0, [s] { s->queue_globally(1), s->together(2); });
        sched.nmspinning.store(1);
        w.thread([s] {  // the rest of a wakep that has seen an idle P
            s->begun.store(1, memory_order_release);
            startm(nullptr, true);
        }, &s->other.g0);
    });
}

// WK3: one wake for two; the spinner that finds the first wakes one more.
TEST(Wake, OneForTwo) {
    explore(with(1, 10'000, 6000), 3, 6, [](world&, state* s) {
        s->c.go(1, [s] { s->park(), s->together(3); });
        s->c.go(0, [s] { s->queue_globally(2), s->together(3); });
        s->c.go(2, [s] { s->park(), s->together(3); });
    });
}

// WK8: what a timer makes ready is short work for its P, but while its M was looking another has queued something.
TEST(Wake, TimersSufficeForThemselvesOnly) {
    struct slow : state {
        timer t;
        g* sleeper = nullptr;
        atomic<int> due{0}, queued{0};
        explicit slow(world& w) : state(w, 3, 5) {}
    };
    model::explore(with(1, 10'000, 2000), [](world& w) {
        auto s = std::make_shared<slow>(w);
        for (int i = 0; i < 3; i++) s->c.pp(i)->turn_ns = 0;
        s->t.arg = s.get();
        s->t.f = [](timer* me, std::int64_t) {
            auto* all = static_cast<slow*>(me->arg);
            all->due.store(1, memory_order_release);
            while (!all->queued.load(memory_order_acquire)) rt0::kernel::osyield();
            goready_tail(all->sleeper);
        };
        s->c.go(0, [s] {
            s->sleeper = getg();
            s->t.when = rt0::kernel::nanotime() + 100'000;
            gopark([](g*, void* t) { return addtimer(static_cast<timer*>(t)), true; }, &s->t, wait_reason::zero);
            s->together(3);
        });
        s->c.go(1, [s] { s->park(), s->together(3); });
        s->c.go(2, [s] {
            while (!s->due.load(memory_order_acquire)) rt0::kernel::usleep(100);
            g* gp;
            while (!(gp = s->take_parked())) rt0::kernel::osyield();
            goready_tail(gp);
            s->queued.store(1, memory_order_release);
            s->together(3);
        });
        w.after([s] { s->c.check_end(); });
    });
}

// WK1 forbids an M to spin, since the spinner that there is has lost its processor; but it has seen a goroutine on
// another P, and the world waits for that one.
TEST(Wake, WhoSeesWorkMayLookForIt) {
    explore(with(1, 3000, 2000), 2, 3, [](world&, state* s) {
        sched.nmspinning.store(1);
        auto compute = [s] {
            s->together(2);
            if (s->ended++ == 0) sched.nmspinning.fetch_sub(1, memory_order_relaxed);
        };
        s->c.go(0, compute);
        s->c.go(0, compute);
    });
}

// handoffp: a P whose M leaves it while work comes to the global queue.
TEST(Wake, HandOff) {
    explore(with(2, 5000, 20'000), 2, 4, [](world& w, state* s) {
        s->c.go(1, [s] { s->park(); });
        s->c.go(0, [s] {
            entersyscall();
            s->together(2);
            exitsyscall();
        });
        w.thread([s] {
            s->c.take_from_a_system_call();
            g* gp;
            while (!(gp = s->take_parked())) rt0::kernel::osyield();
            goready_injected(gp);
            s->running.fetch_add(1, memory_order_relaxed);
        }, &s->other.g0);
    });
}

// WK5's second look in handoffp: while the P is on its way to the idle list the last spinner finds work, and more comes
// to another P's queue; who queued it saw no idle P.  An old read of that queue sysmon mends (WK6), so there are none here.
TEST(Wake, HandOffBesideTheLastSpinner) {
    options o = with(1, 2000, 2000);
    o.old_reads = false;
    explore(o, 3, 5, [](world& w, state* s) {
        for (int i = 0; i < 2; i++) s->c.go(2, [s] { s->park(), s->together(3); });
        s->c.go(2, [s] {
            for (int i = 0; i < 2; i++) {
                g* gp;
                while (!(gp = s->take_parked())) rt0::kernel::osyield();
                goready_tail(gp);
            }
            s->together(3);
        });
        s->c.go(0, [s] {
            entersyscall();
            while (s->running.load(memory_order_relaxed) < 3) rt0::kernel::osyield();
            exitsyscall();
        });
        w.thread([s] { s->c.take_from_a_system_call(); }, &s->other.g0);
    });
}

}  // namespace
