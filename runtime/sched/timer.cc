// Timers; TM1-TM4 in timer.h.
#include "sched/timer.h"

#include <utility>

#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/find.h"

namespace rt0::runtime {

namespace {

// ---- the 4-ary heap of one P; its lock is held

void put(timers& ts, std::uint32_t i, timers::slot e) REQUIRES(ts.lock) {
    ts.heap[i] = e;
    e.t->index = i;
}

void siftup(timers& ts, std::uint32_t i) REQUIRES(ts.lock) {
    timers::slot e = ts.heap[i];
    while (i > 0) {
        std::uint32_t parent = (i - 1) / 4;
        if (e.when >= ts.heap[parent].when) break;
        put(ts, i, ts.heap[parent]);
        i = parent;
    }
    put(ts, i, e);
}

void siftdown(timers& ts, std::uint32_t i) REQUIRES(ts.lock) {
    timers::slot e = ts.heap[i];
    for (;;) {
        std::uint32_t first = 4 * i + 1;
        if (first >= ts.len) break;
        std::uint32_t least = first;
        for (std::uint32_t c = first + 1; c < first + 4 && c < ts.len; c++)
            if (ts.heap[c].when < ts.heap[least].when) least = c;
        if (e.when <= ts.heap[least].when) break;
        put(ts, i, ts.heap[least]);
        i = least;
    }
    put(ts, i, e);
}

// TM3.
void publish_first(timers& ts) REQUIRES(ts.lock) {
    // ORDER(poll): seq_cst; the deadline is visible before wakenetpoller looks for a sleeper.
    ts.when0.store(ts.len ? ts.heap[0].when : 0, memory_order_seq_cst);
}

void grow(timers& ts) REQUIRES(ts.lock) {
    std::uint32_t cap = ts.cap ? 2 * ts.cap : 64;
    auto* heap = static_cast<timers::slot*>(rtalloc(cap * sizeof(timers::slot)));
    if (!heap) out_of_memory("timers");
    for (std::uint32_t i = 0; i < ts.len; i++) heap[i] = ts.heap[i];
    if (ts.heap) rtfree(ts.heap);
    ts.heap = heap;
    ts.cap = cap;
}

void insert(p* pp, timer* t) REQUIRES(pp->timers.lock) {
    if (pp->timers.len == pp->timers.cap) grow(pp->timers);
    t->home = pp;
    put(pp->timers, pp->timers.len, {t, t->when});
    siftup(pp->timers, pp->timers.len++);
    // ORDER(timer-owner): release; pairs with the acquire in deltimer: t's fields are set.
    t->owner.store(pp, memory_order_release);
    if (t->index == 0) publish_first(pp->timers);
}

void remove(p* pp, timer* t) REQUIRES(pp->timers.lock) {
    std::uint32_t i = t->index;
    timers::slot last = pp->timers.heap[--pp->timers.len];
    if (last.t != t) {
        put(pp->timers, i, last);
        siftup(pp->timers, i);
        siftdown(pp->timers, last.t->index);
    }
    // ORDER(timer-owner): release; the heap is whole again before t counts as free.
    t->owner.store(nullptr, memory_order_release);
    if (i == 0) publish_first(pp->timers);
}

// Locks pp's heap if t is in it.  False, nothing locked: it ran, or moved with a dying P.
bool lock_if_in(p* pp, const timer* t) TRY_ACQUIRE(true, pp->timers.lock) {
    pp->timers.lock.lock();
    if (t->owner.load(memory_order_relaxed) == pp) return true;  // relaxed: TM1, we hold its lock
    pp->timers.lock.unlock();
    return false;
}

void run_first(p* pp, std::int64_t now) REQUIRES(pp->timers.lock) {
    ++pp->timers.fired;
    timer* t = pp->timers.heap[0].t;
    if (t->period > 0) {
        std::int64_t behind = (now - t->when) / t->period * t->period;  // periods missed are skipped
        if (__builtin_add_overflow(t->when + behind, t->period, &t->when)) t->when = INT64_MAX;
        pp->timers.heap[0].when = t->when;
        siftdown(pp->timers, 0);
        publish_first(pp->timers);
    } else {
        remove(pp, t);
    }
    t->f(t, now);  // TM2; may ready a G that ends t's life, so t is not touched after it
}

}  // namespace

void addtimer(timer* t) {
    if (t->when <= 0) t->when = 1;  // 0 says "no timer" in when0
    std::int64_t when = t->when;
    bool first;
    {
        p* pp = getg()->mp->pp;
        guard l(pp->timers.lock);
        if (t->owner.load(memory_order_relaxed)) runtime_throw("addtimer: timer is armed already");  // relaxed: caller's own
        insert(pp, t);
        first = pp->timers.heap[0].t == t;
    }
    if (first) wakenetpoller(when);  // TM4
}

bool deltimer(timer* t) {
    // ORDER(timer-owner): acquire; pairs with insert and remove.
    while (p* pp = t->owner.load(memory_order_acquire)) {
        if (!lock_if_in(pp, t)) continue;
        remove(pp, t);
        pp->timers.lock.unlock();
        return true;
    }
    // TM2: its callback may be running right now; whoever runs it holds the lock of the
    // heap it was in last.
    if (p* home = t->home) {
        home->timers.lock.lock();
        home->timers.lock.unlock();
    }
    return false;
}

bool modtimer(timer* t, std::int64_t when, std::int64_t period) {
    bool armed = deltimer(t);
    t->when = when;
    t->period = period;
    addtimer(t);
    return armed;
}

bool checktimers(p* pp, std::int64_t now, std::int64_t* until) {
    *until = 0;
    std::int64_t first = pp->timers.when0.load(memory_order_relaxed);  // relaxed: looked at again under the lock
    if (first == 0 || first > now) {
        *until = first;
        return false;
    }
    bool ran = false;
    wake_batch one_wake;  // ended after the lock
    guard l(pp->timers.lock);
    while (pp->timers.len && pp->timers.heap[0].when <= now) {
        run_first(pp, now);
        ran = true;
    }
    *until = pp->timers.len ? pp->timers.heap[0].when : 0;
    return ran;
}

// Not analysed: no locks, the world is stopped.
void movetimers(p* from, p* to) NO_THREAD_SAFETY_ANALYSIS {
    while (from->timers.len) {
        timer* t = from->timers.heap[0].t;
        remove(from, t);
        insert(to, t);
    }
    // Ps are never freed, and a thousand small heaps would keep as many spans.
    if (from->timers.heap) rtfree(std::exchange(from->timers.heap, nullptr));
    from->timers.cap = 0;
}

namespace {

struct sleeping {
    timer t;
    g* gp;
};

void wake_sleeper(timer* t, std::int64_t) { goready_tail(static_cast<g*>(t->arg)); }

bool arm_sleep(g*, void* lock) {
    addtimer(static_cast<timer*>(lock));
    return true;
}

}  // namespace

void timesleep(std::int64_t when) {
    timer t;
    t.when = when;
    t.f = wake_sleeper;
    t.arg = getg();
    gopark(arm_sleep, &t, wait_reason::sleep);  // the callback does not touch t after it readied us
}

}  // namespace rt0::runtime
