// waitq: a lock and a FIFO of goroutines that wait; every blocking primitive of
// <rt0/sync.h> parks through it.
//
//   WT1  A waiter lies on the stack of the goroutine that waits.  It is on a list only
//        while that goroutine is in the primitive's call.
//   WT2  Whoever takes a waiter off its list, under the queue's lock, decides how its
//        wait ends: granted or woken (dequeue), or timed out (the timer's callback).  So
//        exactly one of them happens, and the one that does readies it, once, after the
//        lock is dropped.
//   WT3  A timed waiter arms its timer before it takes the queue's lock, since the timer
//        lock comes first in the lock order.  A timer that fires while its waiter is on
//        no list leaves `expired` behind; the waiter sees that before it queues (again).
//   WT4  The waiter outlives the callback: its destructor takes the timer back, and
//        deltimer returns only when no callback runs (TM2).
//   WT5  The callback touches the queue after the wait may have ended otherwise.  That is
//        harmless where the primitive outlives its callers.  A condition variable need
//        not: its notifier claims a waiter first.
#pragma once
#include <cstdint>

#include <rt0/detail/waitq.h>

#include "base/lock.h"
#include "sched/sched.h"
#include "sched/timer.h"
#include "sched/upcross.h"

namespace rt0::runtime {

using detail::waitlist;  // waitq stays detail::waitq: a channel (hchan.h) has another one

inline constexpr std::int64_t no_deadline = -1;

mutex& lock_of(detail::waitq& q);

// The deadline `ns` from now, saturated; ns < 0: none.
std::int64_t deadline_after(std::int64_t ns);

struct waiter;

// Called by the timer's callback, under the lock, when it has taken w off its list: the
// primitive adjusts its word.  Waiters that go on because of that are returned, and readied.
using timed_out_t = waitlist (*)(void* owner);

struct waiter : sudog {
    detail::waitq* q;                     // its lock guards all below [const]
    waitlist* list = nullptr;       // the list it is on, or null [lock:q]
    bool parked = false;            // its goroutine must be readied by whoever takes it off [lock:q]
    bool two_step = false;          // `asleep` says that instead: it parks without the lock [const] while on a list
    bool expired = false;           // its time is over [lock:q]
    bool armed = false;             // the timer was armed once [own:G]
    timed_out_t timed_out;          // [const]
    void* owner;                    // for timed_out [const]
    enum : std::uint32_t {
        taken = 1,      // claim() came first
        touching = 2,   // the timer's callback came first
        asleep = 4,     // park_two_step() is through
        ended = 8,      // the wait was ended before or after that
    };
    atomic<std::uint32_t> race{0};  // [atomic]
    timer t;

    waiter(g* gp, detail::waitq& q, timed_out_t to = nullptr, void* owner = nullptr);
    ~waiter() { disarm(); }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    // No lock held.  deadline: CLOCK_MONOTONIC ns, or no_deadline.
    void arm(std::int64_t deadline);

    // No lock held.  Takes the timer back, if it is armed; the destructor does so too, but
    // must stand inside a runtime_call for it.
    void disarm();

    // The rest with q's lock held.
    // Joins l, at its front if it has waited before.
    void enqueue(waitlist& l, bool front = false);
    // Parks and drops the lock, l; returns, without it, when taken off the list.
    void park(mutex& l, wait_reason why) RELEASE(l);
    // From true on the timer's callback leaves the queue alone.  False: it is at it already
    // and waits for the lock.
    bool claim();
    // Having been taken off: whether it must be readied.  If not, it is gone for the caller.
    bool end();

    // No lock held, two_step: parks unless taken off since it was queued.
    void park_two_step(wait_reason why);
};

// With the lock: takes the first one off; null when empty.  It is the caller's to ready().
waiter* dequeue(waitlist& l);
// With the lock: takes all off.
waitlist dequeue_all(waitlist& l);

// Adds one that was taken off to a list of those to be readied: its `list` stays null, so
// the timer's callback knows that it came too late.
void collect(waitlist& woken, waiter* w);

// Without the lock.  w may be gone when these return.
void ready(waiter* w);
void ready_all(waitlist l);
// The same for those for whom nobody else waits, as he would for a lock: one alone goes next, as a channel has it.
void let_go(waitlist l);

// Whether spinning may pay: another processor runs, and this P has nothing better to do.
bool can_spin(int round);
void spin_pause(int round);

}  // namespace rt0::runtime
