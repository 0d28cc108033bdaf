// Parking against readying on Ms that run schedule(): what unlockf makes visible may be readied at once, by another
// M, while the goroutine's context is just being saved (PK1, SW1).
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
#include "sched/find.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::with;
using model::world;

namespace {

// A queue of one, as a channel's: a lock, and who waits.
struct meeting {
    mutex l{lock_rank::hchan};
    g* waiting = nullptr;
    bool came = false;
    var<int> data{0};

    void wait() {
        l.lock();
        if (came) {
            l.unlock();
        } else {
            waiting = getg();
            goparkunlock(&l, wait_reason::chan_receive);
        }
        MODEL_CHECK(data.get() == 1);
    }
    void come(void (*ready)(g*)) {
        data.set(1);
        l.lock();
        came = true;
        g* gp = waiting;
        l.unlock();
        if (gp) ready(gp);
    }
};

template <class F>
void meet(const options& o, int ps, F f) {
    model::explore(o, [=](world& w) {
        struct state {
            model::cluster c;
            meeting m[2];
            explicit state(world& world_, int n) : c(world_, n, n + 1) {}
        };
        auto s = std::make_shared<state>(w, ps);
        f(s->c, s->m);
        w.after([=] { s->c.check_end(); });
    });
}

TEST(Park, ReadiedOverALock) {
    meet(with(1, 3000, 20'000), 2, [](model::cluster& c, meeting* m) {
        c.go(0, [m] { m->wait(); });
        c.go(1, [m] { m->come(goready); });
    });
}

TEST(Park, BothWays) {
    meet(with(1, 3000, 20'000), 2, [](model::cluster& c, meeting* m) {
        c.go(0, [m] { m[0].wait(), m[1].come(goready); });
        c.go(1, [m] { m[0].come(goready_tail), m[1].wait(); });
    });
}

// The parked one goes straight to another goroutine (PK4), which finishes the parking.
TEST(Park, StraightToAnother) {
    meet(with(1, 3000, 20'000), 2, [](model::cluster& c, meeting* m) {
        c.go(0, [m] { m[0].wait(); });
        c.go(0, [m] { m[1].wait(); });
        c.go(1, [m] { m[0].come(goready), m[1].come(goready); });
    });
}

// PK3: unlockf says no, the goroutine goes on.
TEST(Park, Refused) {
    meet(with(1, 2000, 20'000), 2, [](model::cluster& c, meeting* m) {
        c.go(0, [] { gopark([](g*, void*) { return false; }, nullptr, wait_reason::zero); });
        c.go(0, [] { gopark([](g*, void*) { return false; }, nullptr, wait_reason::zero), gosched(); });
        c.go(1, [m] { m->come(goready); });
    });
}

}  // namespace
