// The waiting itself: queue, timer, parking.  waitq.h has the invariants.
#include "chan/waitq.h"

#include <limits>
#include <type_traits>

#include "arch/arch.h"
#include "base/chaos.h"
#include "base/config.h"
#include "base/seeded.h"
#include "sched/runq.h"

namespace rt0::runtime {

using opaque = detail::waitq;

// The public header knows a waitq's shape only.
static_assert(sizeof(opaque) == 24 && alignof(opaque) == 8);
static_assert(sizeof(mutex) == offsetof(opaque, list) && alignof(mutex) <= alignof(opaque));
static_assert(std::is_standard_layout_v<mutex> && std::is_standard_layout_v<opaque>);
static_assert(opaque{}.rank == static_cast<unsigned char>(lock_rank::waitq));
static_assert(std::is_trivially_destructible_v<opaque>);

mutex& lock_of(opaque& q) { return reinterpret_cast<mutex&>(q); }

std::int64_t deadline_after(std::int64_t ns) {
    if (ns < 0) return no_deadline;
    std::int64_t now = clock_now();
    return ns > std::numeric_limits<std::int64_t>::max() - now ? no_deadline : now + ns;
}

namespace {

void link_last(waitlist& l, sudog* s) {
    s->next = nullptr;
    s->prev = l.tail;
    (l.tail ? l.tail->next : l.head) = s;
    l.tail = s;
}

void unlink(waiter* w) {
    waitlist& l = *w->list;
    (w->prev ? w->prev->next : l.head) = w->next;
    (w->next ? w->next->prev : l.tail) = w->prev;
    w->next = w->prev = nullptr;
    w->list = nullptr;
}

// Runs under the timers lock (TM2).
void wait_over(timer* t, std::int64_t) {
    auto* w = static_cast<waiter*>(t->arg);
    // ORDER(claim): acq_rel; pairs with the one in claim().
    if (w->race.fetch_or(waiter::touching, memory_order_acq_rel) & waiter::taken) return;
    chaos_pause_debug(window::wait_claim);
    waitlist others;
    bool wake = false;
    {
        guard l(lock_of(*w->q));
        w->expired = true;
        if (w->list) {
            unlink(w);
            wake = w->end();
            if (w->timed_out) others = w->timed_out(w->owner);
        }
    }
    if (wake) {
        chaos_pause_debug(window::wait_end);
        goready_tail(w->gp);  // w lives on until deltimer has seen this callback end (WT4)
    }
    ready_all(others);
}

}  // namespace

waiter::waiter(g* self, opaque& queue, timed_out_t to, void* own) : q(&queue), timed_out(to), owner(own) { gp = self; }

void waiter::disarm() {
    if (armed) deltimer(&t);
    armed = false;
}

void waiter::arm(std::int64_t deadline) {
    if (deadline == no_deadline) return;
    armed = true;
    t.when = deadline;
    t.f = wait_over;
    t.arg = this;
    addtimer(&t);
}

void waiter::enqueue(waitlist& l, bool front) {
    list = &l;
    if (front) {
        prev = nullptr;
        next = l.head;
        (l.head ? l.head->prev : l.tail) = this;
        l.head = this;
    } else {
        link_last(l, this);
    }
}

void waiter::park(mutex& l, wait_reason why) {
    parked = true;
    goparkunlock(&l, why);
    parked = false;  // nobody but its goroutine looks at it now
}

//      notifier, with the lock                 timer's callback
//      race |= taken                           race |= touching
//      saw touching: the wait is the timer's   saw taken: leave the queue alone
//      take w off, its wait is ours            lock the queue; take w off
//
// Both are read-modify-writes of one word, so at least one sees the other; if both do,
// that is the callback first: it found `taken` unset.
bool waiter::claim() {
    // ORDER(claim): acq_rel; pairs with the one in wait_over.
    return !armed || !(race.fetch_or(taken, memory_order_acq_rel) & touching);
}

//      whoever ends the wait                   the waiter
//      success = ...; race |= ended            context saved, status waiting
//      saw asleep: goready                     race |= asleep
//      else do not touch w again               saw ended: go on, do not park
bool waiter::end() {
    if (!two_step) return parked;
    // ORDER(end): acq_rel, `success` for the waiter, `gp` for us; pairs with park_two_step's.
    return race.fetch_or(ended, memory_order_acq_rel) & asleep;
}

void waiter::park_two_step(wait_reason why) {
    gopark(
        [](g*, void* self) {
            // ORDER(end): acq_rel; pairs with the one in end().
            return !(static_cast<waiter*>(self)->race.fetch_or(asleep, memory_order_acq_rel) & ended);
        },
        this, why);
}

waiter* dequeue(waitlist& l) {
    auto* w = static_cast<waiter*>(l.head);
    if (w) unlink(w);
    return w;
}

waitlist dequeue_all(waitlist& l) {
    waitlist all = l;
    for (sudog* s = all.head; s; s = s->next) static_cast<waiter*>(s)->list = nullptr;
    l = {};
    return all;
}

void collect(waitlist& woken, waiter* w) { link_last(woken, w); }

void ready(waiter* w) {
    chaos_pause_debug(window::wait_end);
    goready(w->gp);
}

void ready_all(waitlist l) {
    while (sudog* s = l.head) {
        l.head = s->next;  // s is gone once its goroutine runs
        goready_tail(s->gp);
    }
}

void let_go(waitlist l) {
    if (l.head && l.head == l.tail) ready(static_cast<waiter*>(l.head));
    else ready_all(l);
}

bool can_spin(int round) {
    if (round >= cfg::lock_active_spin || ncpu <= 1) return false;
    // relaxed: a guess about who runs; wrong guesses cost a microsecond.
    std::int32_t procs = gomaxprocs_now.load(memory_order_relaxed);
    auto others_idle = sched.npidle.load(memory_order_relaxed) + sched.nmspinning.load(memory_order_relaxed);
    if (procs <= static_cast<std::int32_t>(others_idle) + 1) return false;
    return runqempty(getg()->mp->pp);
}

// Longer each time: the first look is for short sections, and whoever holds the lock for many of them in a
// row is disturbed by each look.
void spin_pause(int round) {
    for (int i = cfg::mutex_spin_pause << 2 * (round < 2 ? round : 2); i > 0; i--) arch::cpu_relax();
}

}  // namespace rt0::runtime
