// Parking, readying, yielding, ending.
//
//   PK1  A G is on a queue that others can see (a channel's, a timer) before it parks;
//        what keeps them from readying it too early is the lock that unlockf drops, or
//        a flag that unlockf sets, and unlockf runs when the context is saved (SW1).
//
//            G on M1                              waker on M2
//            lock(c); enqueue sudog
//            gopark(unlock c)
//              context saved, status waiting
//              unlockf: unlock(c)                 lock(c); dequeue sudog; unlock(c)
//                                                 goready(G): waiting -> runnable, queued, may run at once
//
//   PK2  The status is `waiting` before unlockf runs, so goready never meets `running`.
//   PK3  unlockf false: the G was not given away; it goes on.
//   PK4  A G that parks while another waits in the local queue goes straight to that one;
//        g0 and schedule() are for the rest: nothing local, the global queue's or the
//        timers' turn, a locked G, a world that is to stop.
#include "base/chaos.h"
#include "base/throw.h"
#include "sched/choose.h"
#include "sched/exit.h"
#include "sched/find.h"
#include "sched/locked.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/switch.h"

namespace rt0::runtime {

namespace {

[[gnu::always_inline]] inline void dropg(g* gp) {
    m* mp = gp->mp;
    if (mp->curg == gp) mp->curg = nullptr;  // else the next one is already current (direct switch)
    gp->mp = nullptr;
}

// ---- the leaves: what is done with a G once its context is saved (SW1).  They run on
// the stack of whoever came next, g0 or a goroutine, and mp is the M of both.

[[gnu::noinline]] void not_given_away(g* gp) {  // PK3
    casgstatus(gp, gwaiting, grunnable);
    runqput(getg()->mp->pp, gp, true);
    wakep();  // the one we went to may run for long
}

void leave_parked(g* gp) {
    const m* mp = gp->mp;
    unlockf_t unlockf = mp->waitunlockf;
    void* lock = mp->waitlock;
    casgstatus(gp, grunning, gwaiting);
    dropg(gp);
    chaos_pause_debug(window::park_commit);
    if (unlockf && !unlockf(gp, lock)) [[unlikely]] not_given_away(gp);
}

void leave_yielded(g* gp) {
    m* mp = gp->mp;
    RT0_PROBE(gosched, gp->goid, mp->id, mp->pp->id);
    casgstatus(gp, grunning, grunnable);
    dropg(gp);
    runqput(mp->pp, gp, false);  // no wakep: one went, one came; there is no more work than before
}

void leave_dead(g* gp) {
    p* pp = gp->mp->pp;
    gdestroy(gp);
    gfput(pp, gp);
}

// ---- g0's versions: the same, then a round of schedule().

void park_m(g* gp) {
    m* mp = gp->mp;
    if (sched.exiting.load(memory_order_relaxed) && may_still_run(gp))  // relaxed: set by gp itself (EX2)
        die("an atexit handler or static destructor waits for a goroutine, but the process is exiting and none runs");
    unlockf_t unlockf = mp->waitunlockf;
    void* lock = mp->waitlock;
    casgstatus(gp, grunning, gwaiting);
    dropg(gp);
    chaos_pause_debug(window::park_commit);
    if (unlockf && !unlockf(gp, lock)) {  // PK3
        casgstatus(gp, gwaiting, grunnable);
        execute(gp, true);
    }
    schedule();
}

void gosched_m(g* gp) {
    p* pp = gp->mp->pp;
    RT0_PROBE(gosched, gp->goid, gp->mp->id, pp->id);
    casgstatus(gp, grunning, grunnable);
    dropg(gp);
    // Behind those who wait here, if there are any: over the global queue, whose turn has come, it
    // would be the next to run, and without a turn the 61st only.
    if (!runqempty(pp)) {
        runqput(pp, gp, false);
    } else {
        guard l(sched.lock);
        globrunqput(gp);
    }
    schedule();
}

void gosched_putoff_m(g* gp) {
    RT0_PROBE(gosched, gp->goid, gp->mp->id, gp->mp->pp->id);
    casgstatus(gp, grunning, grunnable);
    dropg(gp);
    {
        guard l(sched.lock);
        globrunqput_putoff(gp);
    }
    schedule();
}

void goexit0(g* gp) {
    m* mp = gp->mp;
    bool locked = mp->lockedg == gp && mp->lockedext + mp->lockedint > 0;
    gdestroy(gp);
    gfput(mp->pp, gp);
    if (locked) mexit_locked();
    schedule();
}

// next, which came from the local queue, booked as running; null if it must go by way of schedule().
[[gnu::always_inline]] inline g* book_successor(m* mp, g* next, bool inherit) {
    if (!next) return nullptr;
    if (next->lockedm) [[unlikely]] {  // needs its own M: schedule() hands it over
        if (!inherit) mp->pp->chain = mp->pp->turns;  // RQ6: its turn; it is not to be taken for one more that inherits
        runqput(mp->pp, next, true);
        return nullptr;
    }
    execute_books(mp, next, inherit);
    return next;
}

// The same where a seed chooses.
[[gnu::noinline]] g* chosen_successor(m* mp) {
    p* pp = mp->pp;
    // relaxed: as below.
    if (!by_seed() || mp->lockedg || sched.gcwaiting.load(memory_order_relaxed) || round_is_due(pp)) return nullptr;
    bool inherit;
    g* next = choose(pp, &inherit);
    return book_successor(mp, next, inherit);
}

// The next G of the local queue, if PK4 lets us go to it directly; booked as running.
[[gnu::always_inline]] inline g* direct_successor(m* mp) {
    p* pp = mp->pp;
    // relaxed: a stop asked for a moment later is seen at the next round.
    if (mp->lockedg) return nullptr;
    if (sched.detour.load(memory_order_relaxed)) [[unlikely]] return chosen_successor(mp);
    std::uint32_t tick = pp->schedtick.load(memory_order_relaxed);  // relaxed: our own
    if (tick % cfg::sched_tick_global == 0 && !in_a_chain(pp)) return nullptr;
    // relaxed: timers that were just added by others are seen by them or a sleeper (TM4).
    if (tick % cfg::timer_check_ticks == 0 && pp->timers.when0.load(memory_order_relaxed)) return nullptr;
    bool inherit;
    g* next = runqget(pp, &inherit);
    return book_successor(mp, next, inherit);
}

}  // namespace

void gopark(unlockf_t unlockf, void* lock, wait_reason reason) {
    g* gp = getg();
    m* mp = gp->mp;
    if (readgstatus(gp) != grunning || gp == mp->g0) [[unlikely]]
        runtime_throw("gopark: bad g status");
    mp->waitunlockf = unlockf;
    mp->waitlock = lock;
    gp->waitreason = reason;
    gp->waitsince = sched.waitclock.load(memory_order_relaxed);  // relaxed: for "[chan receive, 5 minutes]"
    RT0_PROBE_G(gopark, gp, waitreason_texts[static_cast<std::size_t>(reason)]);
    if (g* next = direct_successor(mp))
        switch_to(gp, next, leave_parked);
    else
        mcall(park_m);
}

// Not analysed: the lock is dropped by the function that gopark is given, on another stack.
void goparkunlock(mutex* l, wait_reason reason) NO_THREAD_SAFETY_ANALYSIS {
    gopark(
        [](g*, void* lock) NO_THREAD_SAFETY_ANALYSIS {
            static_cast<mutex*>(lock)->unlock();
            return true;
        },
        l, reason);
}

namespace {
template <bool next>
[[gnu::always_inline]] inline void ready(g* gp) {
    g* self = getg();
    m* mp = self->mp;
    RT0_PROBE_WITH(goready, self->goid, mp->id, mp->pp->id, gp->goid);
    casgstatus(gp, gwaiting, grunnable);
    chaos_pause_debug(window::ready_put);
    runqput(mp->pp, gp, next);
    chaos_pause_debug(window::ready_wake);
    next ? wakep_for_lone() : wakep();
}
}  // namespace

void goready(g* gp) { ready<true>(gp); }
void goready_tail(g* gp) { ready<false>(gp); }

void goready_injected(g* gp) {
    RT0_PROBE_WITH(goready, getg()->goid, getg()->mp->id, -1, gp->goid);
    casgstatus(gp, gwaiting, grunnable);
    {
        guard l(sched.lock);
        globrunqput(gp);
    }
    chaos_pause_debug(window::ready_wake);
    if (sched.npidle.load(memory_order_seq_cst) != 0) startm(nullptr, false);  // ORDER(wake): WK5
}

namespace {
// Nobody else could run here, so a yield may return at once.
bool nothing_to_yield_to(m* mp) {
    p* pp = mp->pp;
    // relaxed: a G that is queued a moment later waits for the next yield, as it would anyhow.
    return runqempty(pp) && sched.runqsize.load(memory_order_relaxed) == 0 &&
           !sched.gcwaiting.load(memory_order_relaxed) && pp->timers.when0.load(memory_order_relaxed) == 0 && !mp->lockedg;
}
}  // namespace

void gosched() {
    g* gp = getg();
    if (sched.exiting.load(memory_order_relaxed)) [[unlikely]] {  // relaxed: the exiting goroutine set it itself
        if (!may_still_run(gp)) sleep_for_good();
        return;  // nobody else runs any more, and schedule() would not come back (EX1)
    }
    if (g* next = direct_successor(gp->mp))
        switch_to(gp, next, leave_yielded);
    else if (!nothing_to_yield_to(gp->mp))
        mcall(gosched_m);
}

void gosched_putoff() { mcall(gosched_putoff_m); }

// hot: else GCC takes what does not return for rare, and prefers few bytes to few cycles.
[[gnu::hot]] void goexit() {
    g* gp = getg();
    RT0_PROBE(goexit, gp->goid, gp->mp->id, gp->mp->pp->id);
    if (g* next = direct_successor(gp->mp)) switch_to_final(gp, next, leave_dead);
    mcall_final(goexit0);
}

}  // namespace rt0::runtime
