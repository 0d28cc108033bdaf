// Timers between Ms: each runs once and not before its time, who deletes one is alone with it afterwards (TM2), and a
// sleeper is woken for one that is due before what it sleeps for (TM4).
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
#include "sched/pidle.h"
#include "sched/timer.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::with;
using model::world;

namespace {

constexpr std::int64_t ms = 1'000'000;

struct state {
    model::cluster c;
    timer t;
    var<int> fired{0};
    mutex l{lock_rank::hchan};
    state(world& w, int ps) : c(w, ps, ps + 2) {
        t.arg = this;
        t.f = [](timer* me, std::int64_t now) {
            MODEL_CHECK(now >= me->when);
            auto* s = static_cast<state*>(me->arg);
            s->fired.set(s->fired.get() + 1);
        };
    }
};

template <class F>
void explore(const options& o, int ps, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w, ps);
        f(*s);
        w.after([=] { s->c.check_end(); });
    });
}

void sleep(std::int64_t d) {
    std::int64_t when = rt0::kernel::nanotime() + d;
    timesleep(when);
    MODEL_CHECK(rt0::kernel::nanotime() >= when);
}

TEST(Timer, SleepersAreWoken) {
    for (int ps : {1, 2})
        explore(with(1, 3000), ps, [=](state& s) {
            s.c.go(0, [] { sleep(ms), sleep(ms); });
            s.c.go(ps - 1, [] { sleep(ms + ms / 2); });
        });
}

// One M sleeps for the later of two; the earlier one comes from another P.
TEST(Timer, ASleeperIsWokenForAnEarlierOne) {
    options o = with(2, 5000);
    o.timeouts = 0;  // else the sleeper might look by itself
    explore(o, 2, [](state& s) {
        s.c.go(0, [] { sleep(1000 * ms); });
        s.c.go(1, [] {
            std::int64_t begin = rt0::kernel::nanotime();
            sleep(10 * ms);
            MODEL_CHECK(rt0::kernel::nanotime() - begin < 100 * ms);
        });
    });
}

// The same while the one that is to sleep for the later of two chooses until when.
TEST(Timer, OneComesAsTheSleeperGoesToBed) {
    options o = with(2, 3000);
    o.timeouts = 0;
    explore(o, 2, [](state& s) {
        s.c.go(0, [] { sleep(1000 * ms); });
        s.c.go(1, [] {
            while (sched.lastpoll.load(memory_order_relaxed) != 0) rt0::kernel::osyield();
            std::int64_t begin = rt0::kernel::nanotime();
            sleep(10 * ms);
            MODEL_CHECK(rt0::kernel::nanotime() - begin < 100 * ms);
        });
    });
}

// TM5: a P with work is left idle at the limit of threads while the only M that could have it chooses until when to sleep.
TEST(Timer, TheSleeperTakesAPForWhichThereIsNoM) {
    options o = with(2, 5000);
    o.timeouts = 0;
    model::explore(o, [](world& w) {
        struct all {
            model::cluster c;
            model::fake_m sysmon{99};
            mutex l{lock_rank::hchan};
            g* parked = nullptr;
            atomic<int> running{0};
            explicit all(world& w) : c(w, 2, 2) { sysmon.mp.pp = nullptr; }
            g* take_parked() {
                guard held(l);
                return std::exchange(parked, nullptr);
            }
            void together() {
                running.fetch_add(1, memory_order_relaxed);
                while (running.load(memory_order_relaxed) < 2) rt0::kernel::osyield();
            }
        };
        auto s = std::make_shared<all>(w);
        s->c.go(0, [] { sleep(1000 * ms); });
        s->c.go(1, [s, begin = rt0::kernel::nanotime()] {
            s->l.lock();
            s->parked = getg();
            goparkunlock(&s->l, wait_reason::zero);
            MODEL_CHECK(rt0::kernel::nanotime() - begin < 100 * ms);
            s->together();
        });
        s->c.go(1, [s] {
            entersyscall();
            s->together();
            exitsyscall();
        });
        w.thread([s] {
            g* gp;
            while (!(gp = s->take_parked())) rt0::kernel::osyield();
            while (sched.lastpoll.load(memory_order_relaxed) != 0) rt0::kernel::osyield();
            // Not sysmon, which takes no P with work when there is no M to run it (SM1), but whoever lets one go (blocking()).
            p* pp = s->c.pp(0);
            for (std::uint32_t in = psyscall; !pp->status.compare_exchange_strong(in, pidle); in = psyscall) {
                rt0::kernel::osyield();
                pp = s->c.pp(pp == s->c.pp(0));
            }
            casgstatus(gp, gwaiting, grunnable);
            runqput(pp, gp, false);
            handoffp(pp);
        }, &s->sysmon.g0);
        w.after([s] { s->c.check_end(); });
    });
}

// Deleted while it is due and another M runs due timers.
TEST(Timer, DeletedWhileItRuns) {
    explore(with(2, 5000), 2, [](state& s) {
        s.c.go(0, [&s] {
            s.t.when = rt0::kernel::nanotime();
            addtimer(&s.t);
            gosched();
            bool was_armed = deltimer(&s.t);
            MODEL_CHECK(s.fired.get() == !was_armed);
            s.fired.set(9);  // nobody else touches it any more
        });
        s.c.go(1, [] { gosched(), gosched(); });
    });
}

// By another goroutine than the one that armed it.
TEST(Timer, DeletedByAnother) {
    explore(with(2, 5000), 2, [](state& s) {
        auto armed = std::make_shared<atomic<int>>(0);
        s.c.go(0, [&s, armed] {
            s.t.when = rt0::kernel::nanotime() + 1000;
            addtimer(&s.t);
            armed->store(1, memory_order_release);
            gosched();
        });
        s.c.go(1, [&s, armed] {
            while (!armed->load(memory_order_acquire)) rt0::kernel::osyield();
            bool was_armed = deltimer(&s.t);
            MODEL_CHECK(s.fired.get() == !was_armed);
            s.fired.set(9);
        });
    });
}

}  // namespace
