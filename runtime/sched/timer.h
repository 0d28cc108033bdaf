// Timers: per-P 4-ary heaps, run by schedule and findrunnable, stolen with other work;
// no timer thread.
//
//   TM1  a timer is in at most one heap; timer.owner says which, null when in none.
//        owner changes only under the old or new owner's timers.lock.
//   TM2  the callback runs with the heap's timers.lock held: when deltimer returns, it
//        is not running and will not run.  So it must be short and must not park, call
//        user code or touch timers; it may goready, take waitq and hchan locks, newproc.
//   TM3  timers.when0 is at most the earliest deadline, whenever the lock is free.
//   TM4  after addtimer made a timer earlier than what every sleeper waits for, some M
//        is awake that will see it (wakenetpoller).
//   TM6  a goroutine's sleep cannot be disarmed, so nobody asks where in the heap it is: its slot is the G itself and it has
//        no timer.  To note its place at each step through the heap would be a write to another goroutine's stack.
// Source: Go 1.14's time.go, without the lazily deleted states: a timer knows its heap
// index, so deletion is exact.
#pragma once
#include <cstdint>

#include "base/atomic.h"
#include "sched/p.h"

namespace rt0::runtime {

inline bool is_sleeper(timers::slot e) { return e.what & 1; }
inline g* sleeper_of(timers::slot e) { return reinterpret_cast<g*>(e.what - 1); }
struct timer;
inline timer* timer_of(timers::slot e) { return reinterpret_cast<timer*>(e.what); }

struct timer {
    std::int64_t when = 0;                     // CLOCK_MONOTONIC ns [lock:owner]
    std::int64_t period = 0;                   // ns; > 0: rearmed by itself, missed periods are skipped [lock:owner]
    void (*f)(timer*, std::int64_t now) = nullptr;  // [const] while armed
    void* arg = nullptr;                       // for f [const] while armed
    atomic<p*> owner{nullptr};                 // the heap it is in [atomic] TM1
    p* home = nullptr;                         // the heap it was in last [lock:owner], then constant
    std::uint32_t index = 0;                   // in that heap [lock:owner]
};

// Arms t (not armed yet; when, f, arg set) on the current P's heap.
void addtimer(timer* t);
// Disarms; true when it had been armed and has not run.  After it returned TM2 holds.
// One caller at a time arms and disarms a timer.
bool deltimer(timer* t);
// Disarms and arms anew; true when it had been armed.
bool modtimer(timer* t, std::int64_t when, std::int64_t period);

// Runs what is due on pp's heap; the next deadline (0: none) in *pollUntil; true when one ran.
bool checktimers(p* pp, std::int64_t now, std::int64_t* pollUntil);
// Moves all timers of a dying P to pp (stw).
void movetimers(p* from, p* to);

// Parks the running goroutine until `when` (ns, CLOCK_MONOTONIC).
void timesleep(std::int64_t when);

}  // namespace rt0::runtime
