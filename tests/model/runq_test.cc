// The run queues between an owner and two thieves: nothing is lost, nothing is had twice, and what a G holds is
// seen by whoever gets it.  The ring has four slots here.
#include <gtest/gtest.h>

#include <memory>

#include "sched/born.h"
#include "sched/runq.h"
#include "tests/model/sched_world.h"

using namespace rt0::runtime;
using model::options;
using model::world;

namespace {

struct queues {
    model::fake_m owner{0}, thief[2] = {model::fake_m{1}, model::fake_m{2}};
    model::tokens gs;
    explicit queues(world& w, std::size_t n) : gs(n) {
        model::fresh_sched(w, 3);
        for (auto* mp : {&owner, &thief[0], &thief[1]})
            for (const void* at : {static_cast<const void*>(&mp->pp.schedtick), static_cast<const void*>(&mp->pp.preempt),
                                   static_cast<const void*>(&mp->pp.status)})
                w.constant(at);
    }
    void get(p* pp) {
        bool inherit;
        if (g* gp = runqget(pp, &inherit)) gs.took(gp);
    }
    void drain(p* pp) {
        bool inherit;
        while (g* gp = runqget(pp, &inherit)) gs.took(gp);
    }
    // One theft, then what it brought.
    void steal(int i, bool next) {
        p* pp = &thief[i].pp;
        if (g* gp = runqsteal(pp, &owner.pp, next)) gs.took(gp);
        drain(pp);
    }
    void finish() {
        drain(&owner.pp);
        while (g* gp = sched.runq.pop()) gs.took(gp), sched.runqsize.fetch_sub(1);
        MODEL_CHECK(sched.runqsize.load() == 0);
        MODEL_CHECK(runqempty(&owner.pp));
        gs.all_taken();
    }
};

// f: what the owner does beside two thieves.
template <class F>
void beside_two_thieves(const options& o, std::size_t n, bool next, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<queues>(w, n);
        w.thread([=] { f(*s, &s->owner.pp); }, &s->owner.g0);
        for (int i : {0, 1}) w.thread([=] { s->steal(i, next); }, &s->thief[i].g0);
        w.after([=] { s->finish(); });
    });
}

options with(unsigned preemptions, unsigned back) {
    options o;
    o.dfs = {preemptions, back, 0, 120'000};
    o.random_runs = o.pct_runs = 20'000;
    return o;
}

TEST(Runq, PutAndGet) {
    beside_two_thieves(with(2, 1), 3, false, [](queues& s, p* pp) {
        for (std::size_t i : {0, 1, 2}) runqput(pp, s.gs.made(i), false);
        s.get(pp);
        s.get(pp);
    });
}

// Full, and fuller: half of it goes to the global queue (runqputslow), unless a thief makes room first.
TEST(Runq, Overflow) {
    beside_two_thieves(with(2, 1), 6, false, [](queues& s, p* pp) {
        for (std::size_t i = 0; i < 6; i++) runqput(pp, s.gs.made(i), false);
        s.get(pp);
    });
}

TEST(Runq, RunNext) {
    beside_two_thieves(with(2, 1), 3, true, [](queues& s, p* pp) {
        runqput(pp, s.gs.made(0), true);
        runqput(pp, s.gs.made(1), true);
        s.get(pp);
        runqput(pp, s.gs.made(2), true);
        s.get(pp);
    });
}

// Indices wrap: a slot is used again while a thief still copies.
TEST(Runq, SlotsUsedAgain) {
    beside_two_thieves(with(2, 1), 7, false, [](queues& s, p* pp) {
        for (std::size_t i = 0; i < 7; i++) {
            runqput(pp, s.gs.made(i), false);
            if (i % 2) s.get(pp);
        }
    });
}

TEST(Runq, Newborns) {
    beside_two_thieves(with(2, 1), 6, false, [](queues& s, p* pp) {
        for (std::size_t i = 0; i < 3; i++) born_put(pp, s.gs.made(i));
        if (g* gp = born_get(pp)) s.gs.took(gp);
        for (std::size_t i = 3; i < 6; i++) born_put(pp, s.gs.made(i));
        if (g* gp = born_get(pp)) s.gs.took(gp);
        if (g* gp = born_get_oldest(pp)) s.gs.took(gp);
    });
}

// The queue is never empty here, though one G goes from runnext to the ring and the next comes and goes; so nobody
// may find it empty.
TEST(Runq, EmptyIsNotSeenInBetween) {
    model::explore(with(3, 1), [](world& w) {
        auto s = std::make_shared<queues>(w, 3);
        runqput(&s->owner.pp, s->gs.made(0), true);
        w.thread([=] {
            for (std::size_t i : {1, 2}) {
                runqput(&s->owner.pp, s->gs.made(i), true);
                s->get(&s->owner.pp);
            }
        }, &s->owner.g0);
        for (auto& t : s->thief) w.thread([=] { MODEL_CHECK(!runqempty(&s->owner.pp)); }, &t.g0);
        w.after([=] { s->finish(); });
    });
}

}  // namespace
