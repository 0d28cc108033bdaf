// The other contestants of a select: a timer, and stop tokens.
//
// g.selectdone decides who wakes a select.  It is 1 while the race is closed, 0 while it
// is open; turning 0 into 1 wins (win_select).  Partners on channels find the sudog under
// a channel's lock, so they come into it only when all locks are held, and only then.  A timer
// or a token fires at any time after it was armed, which is before the locks are taken:
// a timer heap's lock comes before channels' (lockrank.h), and registering with a token is
// user code.  Hence
//
//   SR1  The race is closed from before the first arming until all sudogs are queued (open_race).  While it is
//        closed the select may take a case that is ready without asking anybody.
//   SR2  Whoever fires first says so in `fired`, then tries to win.  open_race opens, then
//        looks at `fired`.  One of the two sees the other:
//
//            timer or token                         select
//            fired = i            (RMW)             selectdone = 0    (RMW)
//            win_select: is it 0? (RMW)             fired set?
//
//        All four are seq_cst: it is the store-buffering shape, and with both reads stale the select would
//        sleep through what it waited for.
//   SR3  The winner among timer and tokens writes `winner`, then swaps `phase` to fired.
//        If the goroutine had parked (phase was parked) it readies it; if not, unlockf finds
//        fired there and the goroutine does not park.  So it is readied once or never.
//   SR4  fire() touches the selection last in that swap, but a selection still lasts until the timer is
//        deleted (TM2) and the callbacks are destroyed, which waits for running ones.
//   SR5  A stop callback enters the runtime, which may mean to wait for a P, only to ready a
//        goroutine that has parked.  Otherwise the goroutine may be in ~stop_callback, which
//        blocks its thread, and its P with it, until the callback is over.
//   SR6  A stop callback neither yields nor changes threads.  libstdc++'s ~stop_callback
//        waits for a running callback by blocking the thread, and tells "running on this very
//        thread" by the thread's id: a callback that yielded after readying the select
//        could wait for the P that the destructor blocks; one that went on on another
//        thread could be taken for the destructor's own.
#include "chan/select.h"

#include <new>

#include "base/chaos.h"
#include "base/seeded.h"
#include "sched/upcross.h"

namespace rt0::runtime {

namespace {

// The goroutine to ready, or null.  Needs no P and no lock.
g* fire(selection* s, int index) {
    g* gp = s->gp;
    int none = -1;
    // ORDER(sel_fired): seq_cst; pairs with the load in open_race() (SR2).
    s->fired.compare_exchange_strong(none, index, memory_order_seq_cst);
    chaos_pause_debug(window::select_fire);
    if (!win_select(gp)) return nullptr;
    s->winner = index;
    chaos_pause_debug(window::select_fire);
    // ORDER(sel_phase): acq_rel; pairs with the CAS in selparkcommit(): winner is written before.
    return s->phase.exchange(sel_fired, memory_order_acq_rel) == sel_parked ? gp : nullptr;
}

void timer_fired(timer* t, std::int64_t) {
    selection* s = static_cast<selection*>(t->arg);
    if (g* gp = fire(s, s->due)) goready(gp);
}

}  // namespace

void stop_hook::operator()() const noexcept {
    g* gp = fire(s, index);
    if (!gp) return;  // SR5
    thread_pin pin;
    runtime_call_quiet rc;
    goready(gp);
}

bool arm_timer(selection& s) {
    if (s.due < 0) return false;
    std::int64_t when;
    if (__builtin_add_overflow(clock_now(), s.cases[s.due].ns, &when)) return false;  // in 292 years
    s.tm.when = when;
    s.tm.f = timer_fired;
    s.tm.arg = &s;
    addtimer(&s.tm);
    return true;
}

void disarm_timer(selection& s) {
    deltimer(&s.tm);
}

void arm_stops(selection& s, stop_cb* at) {
    for (std::uint32_t i = 0; i < s.n; i++)
        if (s.cases[i].kind == case_kind::done)
            ::new (static_cast<void*>(at++)) stop_cb(*s.cases[i].stop, stop_hook{&s, static_cast<int>(i)});
}

// Not inlined: the thread's id, which the destructor asks for and compilers hold for
// constant, is to be that of the thread after the park.
[[gnu::noinline]] void disarm_stops(selection& s, stop_cb* at) {
    for (std::uint32_t i = 0; i < s.ndone; i++) at[i].~stop_cb();
}

bool open_race(selection& s) {
    if (!s.armed) {
        // relaxed: only partners take part, and they find the sudogs through the channels' locks.
        s.gp->selectdone.store(0, memory_order_relaxed);
        return true;
    }
    // ORDER(selectdone): seq_cst; pairs with win_select() (SR2).
    s.gp->selectdone.exchange(0, memory_order_seq_cst);
    chaos_pause_debug(window::select_open);
    // ORDER(sel_fired): seq_cst; pairs with the CAS in fire() (SR2).
    const int f = s.fired.load(memory_order_seq_cst);
    if (f < 0) return true;
    // Partners are shut out by the locks: what we do not win, another timer or token has won.
    if (win_select(s.gp)) s.winner = f;
    return false;
}

}  // namespace rt0::runtime
