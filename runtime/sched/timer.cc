// Timers; TM1-TM4 and TM6 in timer.h.
#include "sched/timer.h"

#include <algorithm>
#include <utility>

#include "base/chaos.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/find.h"
#include "sched/worth.h"

namespace rt0::runtime {

namespace {

// ---- the 4-ary heap of one P; its lock is held

void put(timers& ts, std::uint32_t i, timers::slot e) REQUIRES(ts.lock) {
    ts.heap[i] = e;
    if (!is_sleeper(e)) timer_of(e)->index = i;
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

// True: it is the first now.
bool insert_slot(timers& ts, timers::slot e) REQUIRES(ts.lock) {
    if (ts.len == ts.cap) grow(ts);
    put(ts, ts.len, e);
    siftup(ts, ts.len++);
    const bool first = ts.heap[0].what == e.what;
    if (first) publish_first(ts);
    return first;
}

bool insert(p* pp, timer* t) REQUIRES(pp->timers.lock) {
    t->home = pp;
    const bool first = insert_slot(pp->timers, {reinterpret_cast<std::uintptr_t>(t), t->when});
    // ORDER(timer-owner): release; pairs with the acquire in deltimer: t's fields are set.
    t->owner.store(pp, memory_order_release);
    return first;
}

// The first, which is in no heap then; when0 stays as it is.
timers::slot take_first(timers& ts) REQUIRES(ts.lock) {
    const timers::slot first = ts.heap[0], last = ts.heap[--ts.len];
    if (ts.len) {
        put(ts, 0, last);
        siftdown(ts, 0);
    }
    if (!is_sleeper(first)) {
        // ORDER(timer-owner): release; as in remove.
        timer_of(first)->owner.store(nullptr, memory_order_release);
    }
    return first;
}

void remove(p* pp, timer* t) REQUIRES(pp->timers.lock) {
    std::uint32_t i = t->index;
    timers::slot last = pp->timers.heap[--pp->timers.len];
    if (i != pp->timers.len) {
        put(pp->timers, i, last);
        siftup(pp->timers, i);
        siftdown(pp->timers, i);
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

// Armed again for the next time; when0 stays as it is.
void rearm_first(timers& ts, timer* t, std::int64_t now) REQUIRES(ts.lock) {
    std::int64_t behind = (now - t->when) / t->period * t->period;  // periods missed are skipped
    if (__builtin_add_overflow(t->when + behind, t->period, &t->when)) t->when = INT64_MAX;
    ts.heap[0].when = t->when;
    siftdown(ts, 0);
}

void run_first(timers& ts, std::int64_t now) REQUIRES(ts.lock) {
    ++ts.fired;
    const timers::slot first = ts.heap[0];
    if (is_sleeper(first)) {
        take_first(ts);
        __builtin_prefetch(reinterpret_cast<const void*>(ts.heap[0].what));  // whoever is next
        return goready_tail(sleeper_of(first));
    }
    timer* t = timer_of(first);
    if (t->period > 0) rearm_first(ts, t, now);
    else take_first(ts);
    t->f(t, now);  // TM2; may ready a G that ends t's life, so t is not touched after it
}

// How many; the next deadline in *until, 0: none.
std::uint32_t run_due(timers& ts, std::int64_t now, std::int64_t* until) {
    guard l(ts.lock);
    std::uint32_t n = 0;
    for (; ts.len && ts.heap[0].when <= now; n++) run_first(ts, now);
    publish_first(ts);
    *until = ts.len ? ts.heap[0].when : 0;
    return n;
}

// One for `when` came; the heap's lock is free again.
void tell_sleeper(bool first, std::int64_t when) {
    chaos_pause_debug(window::timer_tell);
    if (first) wakenetpoller(when);  // TM4
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
        first = insert(pp, t);
    }
    tell_sleeper(first, when);
}

bool deltimer(timer* t) {
    // ORDER(timer-owner): acquire; pairs with insert and remove.
    while (p* pp = t->owner.load(memory_order_acquire)) {
        chaos_pause_debug(window::timer_delete);
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
    wake_batch one_wake;  // ended after the lock
    std::uint32_t ran = run_due(pp->timers, now, until);
    if (one_wake.wanted() && begin_timer_batch(now)) one_wake.waive();
    return ran;
}

// Not analysed: no locks, the world is stopped.
void movetimers(p* from, p* to) NO_THREAD_SAFETY_ANALYSIS {
    while (from->timers.len) {
        const timers::slot e = take_first(from->timers);
        is_sleeper(e) ? insert_slot(to->timers, e) : insert(to, timer_of(e));
    }
    publish_first(from->timers);
    // Ps are never freed, and a thousand small heaps would keep as many spans.
    if (from->timers.heap) rtfree(std::exchange(from->timers.heap, nullptr));
    from->timers.cap = 0;
}

namespace {

bool arm_sleep(g* gp, void* until) {
    const std::int64_t when = *static_cast<std::int64_t*>(until);  // before gp can be readied and leave that frame
    bool first;
    {
        timers& ts = getg()->mp->pp->timers;
        guard l(ts.lock);
        first = insert_slot(ts, {reinterpret_cast<std::uintptr_t>(gp) | 1, when});
    }
    tell_sleeper(first, when);
    return true;
}

}  // namespace

void timesleep(std::int64_t when) {
    when = std::max<std::int64_t>(when, 1);  // 0 says "no timer" in when0
    gopark(arm_sleep, &when, wait_reason::sleep);
}

}  // namespace rt0::runtime
