// Timers between Ms: each runs once and not before its time, who deletes one is alone with it afterwards (TM2), and a
// sleeper is woken for one that is due before what it sleeps for (TM4).
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
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
