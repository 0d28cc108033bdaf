// The runtime's mutex, spin_mutex and note: one holder at a time, who comes after sees what was done before, and no wake-up is
// lost (that would be a deadlock), whatever spurious or timed wake-ups come in between.
#include <gtest/gtest.h>

#include <memory>

#include "base/lock.h"
#include "kernel_if/clock.h"
#include "tests/model/engine.h"
#include "tests/model/sched_world.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::world;

namespace {

options with(unsigned preemptions, unsigned back, unsigned early, unsigned runs = 300'000) {
    options o;
    o.dfs = {preemptions, back, early, runs};
    o.random_runs = o.pct_runs = 30'000;
    return o;
}

template <class Lock>
struct counter {
    model::fake_m ms[3];
    Lock l{lock_rank::none};
    var<int> n{0};
};

template <class Lock>
void count_up(counter<Lock>& s) {
    s.l.lock();
    s.n.set(s.n.get() + 1);
    s.l.unlock();
}

template <class Lock>
void three_count(const options& o, int processors) {
    ncpu = processors;
    model::explore(o, [](world& w) {
        auto s = std::make_shared<counter<Lock>>();
        for (auto& mp : s->ms) w.thread([=] { count_up(*s), count_up(*s); }, &mp.g0);
        w.after([=] { MODEL_CHECK(s->n.get() == 6 && !s->l.is_locked()); });
    });
    ncpu = 1;
}

TEST(Mutex, OneHolderAtATime) { three_count<mutex>(with(2, 1, 1), 1); }
TEST(Mutex, OneHolderAtATimeAmongSpinners) { three_count<mutex>(with(1, 1, 1), 2); }
TEST(SpinMutex, OneHolderAtATime) { three_count<spin_mutex>(with(2, 1, 1, 600'000), 1); }
TEST(SpinMutex, OneHolderAtATimeAmongSpinners) { three_count<spin_mutex>(with(1, 1, 1), 2); }

TEST(Mutex, TryLock) {
    int had = 0, missed = 0;
    model::explore(with(3, 1, 1), [&](world& w) {
        auto s = std::make_shared<counter<mutex>>();
        w.thread([=] { count_up(*s); }, &s->ms[0].g0);
        w.thread([=] {
            if (!s->l.try_lock()) return;
            s->n.set(s->n.get() + 1);
            s->l.unlock();
        }, &s->ms[1].g0);
        w.after([=, &had, &missed] {
            MODEL_CHECK(s->n.get() == 1 || s->n.get() == 2);
            (s->n.get() == 2 ? had : missed)++;
        });
    });
    EXPECT_TRUE(had > 0 && missed > 0);
}

// ---- note

struct event {
    model::fake_m ms[3];
    note n;
    mutex l;
    var<int> data{0};
    atomic<int> answered{0};
};

TEST(Note, TheWakeUpIsNotLost) {
    model::explore(with(3, 1, 2), [](world& w) {
        auto s = std::make_shared<event>();
        w.thread([=] {
            notesleep(&s->n);
            MODEL_CHECK(s->data.get() == 1);
        }, &s->ms[0].g0);
        w.thread([=] { s->data.set(1), notewakeup(&s->n); }, &s->ms[1].g0);
    });
}

// Used again: the sleeper clears it and says so, the waker then wakes it once more.
TEST(Note, ClearedAndUsedAgain) {
    model::explore(with(3, 1, 1), [](world& w) {
        auto s = std::make_shared<event>();
        w.thread([=] {
            for (int i = 1; i <= 2; i++) {
                notesleep(&s->n);
                noteclear(&s->n);
                MODEL_CHECK(s->data.get() == i);
                s->answered.store(i, memory_order_release);
            }
        }, &s->ms[0].g0);
        w.thread([=] {
            for (int i = 1; i <= 2; i++) {
                s->data.set(i);
                notewakeup(&s->n);
                while (s->answered.load(memory_order_acquire) != i) rt0::kernel::osyield();
            }
        }, &s->ms[1].g0);
    });
}

// A timed sleep ends by the wake-up or by time; in the second case the wake-up still comes, and is seen.
TEST(Note, TimedSleeps) {
    model::explore(with(3, 1, 2), [](world& w) {
        auto s = std::make_shared<event>();
        w.thread([=] {
            std::int64_t begin = rt0::kernel::nanotime();
            bool woken = notetsleep(&s->n, 100'000);
            MODEL_CHECK(woken || rt0::kernel::nanotime() >= begin + 100'000);
            if (!woken) MODEL_CHECK(notetsleep(&s->n, -1));
            MODEL_CHECK(s->data.get() == 1);
        }, &s->ms[0].g0);
        w.thread([=] { s->data.set(1), notewakeup(&s->n); }, &s->ms[1].g0);
    });
}

// As stopm and startm use them: a note handed over under a lock.
TEST(Note, HandedOverUnderALock) {
    model::explore(with(3, 1, 1), [](world& w) {
        auto s = std::make_shared<event>();
        auto asleep = std::make_shared<note*>(nullptr);
        w.thread([=] {
            for (int i = 0; i < 2; i++) {
                noteclear(&s->n);
                s->l.lock();
                *asleep = &s->n;
                s->l.unlock();
                notesleep(&s->n);
                MODEL_CHECK(s->data.get() == i + 1);
            }
        }, &s->ms[0].g0);
        w.thread([=] {
            for (int i = 0; i < 2; i++) {
                note* n = nullptr;
                while (!n) {
                    s->l.lock();
                    n = *asleep;
                    *asleep = nullptr;
                    s->l.unlock();
                    if (!n) rt0::kernel::osyield();
                }
                s->data.set(i + 1);
                notewakeup(n);
            }
        }, &s->ms[1].g0);
    });
}

}  // namespace
