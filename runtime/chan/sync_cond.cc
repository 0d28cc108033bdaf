// condition_variable.
//
//   CV1  The waiter stands in the queue before it releases the mutex, so a notification
//        by whoever locks the mutex after it finds it there.
//   CV2  Between queueing and parking it may be notified already (or time out): then it
//        is off the list when it comes to park, and does not (waiter::end).
//   CV3  `waiting` is non-zero while the list is not empty, under the queue's lock.  A timer's callback that empties the
//        list leaves it so: whoever notifies next takes the lock, which the callback holds yet, before he may think
//        that nobody waits and destroy the variable.
//   CV4  The variable may be destroyed when all waiters have been notified, though they have not returned: a notified
//        waiter does not touch it, and its timer does not either, since the notifier has claimed it.  And a waiter may
//        destroy it: the notifier touches it for the last time before he ends the first wait.
#include "arch/arch.h"
#include "chan/waitq.h"

namespace rt0::detail {

using runtime::guard;
using runtime::lock_of;
using runtime::wait_reason;
using runtime::waiter;

namespace {

// With the lock (CV3).
void update_waiting(cond_state& c) {
    // relaxed: ordered for notifiers by the user's mutex (condition_variable::notify_one).
    c.waiting.store(c.q.list.head != nullptr, std::memory_order_relaxed);
}

// Ends their waits; those that sleep already are to be readied.
waitlist end_all(waitlist l) {
    waitlist parked;
    while (auto* w = static_cast<waiter*>(l.head)) {
        l.head = w->next;  // w is gone once its wait has ended, unless it sleeps
        if (w->end()) runtime::collect(parked, w);
    }
    return parked;
}

}  // namespace

// Two calls into the runtime, since the mutex is released by the user's side of the line;
// a thread that rt0 did not make may be another g in the second.
bool cond_wait(cond_state& c, void (*unlock)(void*), void* m, std::int64_t ns) {
    if (ns == 0) {
        unlock(m);
        return false;
    }
    waiter w(nullptr, c.q);  // CV3: its timer has nothing to do here but to take it off
    w.two_step = true;
    bool queued;
    {
        runtime::runtime_call rc;
        w.arm(runtime::deadline_after(ns));
        guard g(lock_of(c.q));
        queued = !w.expired;
        if (queued) w.enqueue(c.q.list);
        update_waiting(c);
    }
    unlock(m);
    runtime::runtime_call rc;
    w.gp = rc.gp;
    if (queued) w.park_two_step(wait_reason::cond_wait);  // c may be gone from here on (CV4)
    w.disarm();
    return w.success;
}

void cond_notify(cond_state& c, bool all) {
    runtime::runtime_call rc;
    waitlist notified;
    auto& l = lock_of(c.q);
    l.lock();
    while (auto* w = static_cast<waiter*>(c.q.list.head)) {
        if (!w->claim()) {  // its timer's callback wants the lock, and is welcome
            l.unlock();
            arch::cpu_relax();
            l.lock();
            continue;
        }
        runtime::dequeue(c.q.list);
        w->success = true;
        runtime::collect(notified, w);
        if (!all) break;
    }
    update_waiting(c);
    l.unlock();  // CV4
    runtime::let_go(end_all(notified));
}

}  // namespace rt0::detail
