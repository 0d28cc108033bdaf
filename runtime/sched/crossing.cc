// The slow side of runtime_call: goroutines without a P, foreign threads, requests to
// yield, the end of the process.
//
//   FT1  A foreign thread has an extra M and a G of its own from its first call until it
//        ends.  The G stands for the thread: its stack is the thread's, it is locked to
//        the extra M, and between calls it is in a system call (rt_outside), so its P
//        can be taken.
//   FT2  When a foreign G parks, its M runs schedule() on a small g0 stack of its own and,
//        having a locked G, sleeps (stoplockedm): parking needs nothing special.
//   FT3  When the thread ends, a thread-exit hook (the destructor of a pthread key) gives M and
//        G back, without a P: nobody's exit waits for one.  A few are kept for the next
//        threads; the other Ms are buried, their Gs kept.
//   FT4  A thread that enters the runtime after its hook, from a later destructor of its own, or
//        that could have none, has M and G for one call only: nobody would take them back.
#include <cxxabi.h>
#include <pthread.h>

#include <new>
#include <utility>

#include "base/chaos.h"
#include "base/forked.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/checkdead.h"
#include "sched/choose.h"
#include "sched/exit.h"
#include "sched/init.h"
#include "sched/lists.h"
#include "sched/mstart.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/retake.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/switch.h"
#include "sched/upcross.h"

namespace rt0::runtime {

namespace {

mutex extra_lock{lock_rank::sched};
m* extra_free GUARDED_BY(extra_lock) = nullptr;  // extra Ms of threads that ended, with their Gs [lock:extra_lock]
int extra_nfree GUARDED_BY(extra_lock) = 0;      // how many [lock:extra_lock]
glist extra_gs GUARDED_BY(extra_lock);           // Gs of threads that ended, without an M [lock:extra_lock]

g* new_foreign_g() {
    {
        guard l(extra_lock);
        if (g* gp = extra_gs.pop()) return gp;
    }
    void* mem = rtalloc_g();
    if (!mem) out_of_memory("a foreign thread's goroutine");
    g* gp = new (mem) g;
    gp->foreign = true;
    casgstatus(gp, gidle, gdead);
    allg_add(gp);
    sched.ngsys.fetch_add(1, memory_order_relaxed);  // relaxed: a count for reports; a thread is no goroutine
    return gp;
}

m* new_extra() {
    m* mp = allocm(nullptr, true);
    g* gp = new_foreign_g();
    mp->lockedg = gp;
    gp->lockedm = mp;
    return mp;
}

m* get_extra() {
    {
        guard l(extra_lock);
        if (m* mp = extra_free) {
            extra_free = mp->schedlink;
            mp->schedlink = nullptr;
            extra_nfree--;
            sched.nmextraidle.fetch_sub(1, memory_order_relaxed);  // relaxed: a count for reports
            return mp;
        }
    }
    return new_extra();
}

// mp, of a thread that does not need it any more; it must not be this thread's m already.
void put_extra(m* mp) {
    bool keep;
    {
        guard l(extra_lock);
        keep = extra_nfree < cfg::extra_ms_kept;
        if (keep) {
            mp->schedlink = extra_free;
            extra_free = mp;
            extra_nfree++;
            sched.nmextraidle.fetch_add(1, memory_order_relaxed);  // relaxed: checkdead reads it under sched.lock
        } else {
            g* gp = mp->lockedg;
            mp->lockedg = nullptr;
            gp->lockedm = nullptr;
            gp->mp = nullptr;
            extra_gs.push(gp);
        }
    }
    if (!keep) {
        give_slot_up(true);
        to_freem(mp);
    }
    checkdead_later();
}

// Takes the calling thread into the runtime, without a P yet: dead -> syscall.
g* needm() {
    if (!booted()) boot_from_foreign();
    m* mp = get_extra();
    g* gp = mp->lockedg;
    mp->g0sp = mp->g0stack.hi - 64;
    minit(mp);
    mp->curg = gp;
    gp->mp = mp;
    san_foreign(gp);
    gp->stk = thread_stack();
    // relaxed: only uniqueness matters.
    gp->goid = sched.goidgen.fetch_add(1, memory_order_relaxed) + 1;
    casgstatus(gp, gdead, gsyscall);  // at once: it has no context, which dumps look for in one that is runnable
    mp->oldp = nullptr;
    // relaxed: its own bits.  A read-modify-write: a requester that read an old p.mp may be in a phase (RK5).
    mp->retake.fetch_and(~std::uint32_t{rt_preempt | rt_stop}, memory_order_relaxed);
    mp->retake.fetch_or(rt_outside, memory_order_relaxed);
    mp->inrt.store(0, memory_order_relaxed);
    setg(gp);
    return gp;
}

// The P that the last call of mp left in a system call, if it is there still; else null.
p* take_oldp(m* mp) {
    p* pp = mp->oldp;
    mp->oldp = nullptr;
    std::uint32_t s = psyscall;
    // ORDER(pstatus): acq_rel; SY1: the winner has the P.
    if (!pp || !pp->status.compare_exchange_strong(s, pidle, memory_order_acq_rel, memory_order_relaxed)) return nullptr;
    pp->syscalltick.fetch_add(1, memory_order_relaxed);  // relaxed: tells whoever compares ticks that the P was away
    return pp;
}

// FT3: the thread goes, outside of the runtime, without a P.
void dropm(g* gp) {
    if (kernel::forked()) return;
    // relaxed: the process ends, nobody will miss its M.  But liburcu's list has a node in the thread's memory.
    if (sched.exiting.load(memory_order_relaxed)) return rcu_thread_leave();
    m* mp = gp->mp;
    setg(mp->g0);
    mp->inrt.store(1, memory_order_relaxed);  // relaxed: there is no P that could be taken
    casgstatus(gp, gsyscall, grunning);       // only to get to dead, the reverse of needm
    casgstatus(gp, grunning, gdead);
    mp->curg = nullptr;
    mp->lockedext = 0;
    if (p* pp = take_oldp(mp)) handoffp(pp);
    unminit_signal_stack(mp);
    setg(nullptr);
    put_extra(mp);
    rcu_thread_leave();
}

__thread int held __attribute__((tls_model("initial-exec"), visibility("hidden"))) = 0;  // foreign_holds alive
// FT4: this thread has no hook, or had it.
__thread bool per_call __attribute__((tls_model("initial-exec"), visibility("hidden"))) = false;

pthread_key_t exit_key;
bool have_exit_key = false;
pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

void at_thread_exit(void* gp) {
    per_call = true;
    dropm(static_cast<g*>(gp));
}

void unhook_thread_exit() {
    per_call = true;
    if (have_exit_key) pthread_setspecific(exit_key, nullptr);
}

void hook_thread_exit(g* gp) {
    if (per_call) return;
    pthread_once(&exit_key_once, [] { have_exit_key = pthread_key_create(&exit_key, at_thread_exit) == 0; });
    per_call = !have_exit_key || pthread_setspecific(exit_key, gp) != 0;  // PTHREAD_KEYS_MAX; no memory
}

}  // namespace

void foreign_leave() {
    g* gp = getg();
    unhook_thread_exit();
    if (gp) dropm(gp);
}

g* foreign_enter() {
    forked_child_check();
    g* gp = needm();
    hook_thread_exit(gp);
    return gp;
}

namespace {

// Phase taken: the P was taken from under this G; it finds another, perhaps on another M.
void reattach(m* mp) {
    constexpr std::uint32_t ends = rt_phase | rt_hog;
    std::uint32_t r = mp->retake.load(memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if ((r & rt_phase) != rt_taken) return;  // it is given back (retake_return)
        chaos_pause(window::retake_reattach);
        // ORDER(retake): acq_rel; RK2: the phase is ours to end.
    } while (!mp->retake.compare_exchange_weak(r, r & ~ends, memory_order_acq_rel, memory_order_relaxed));
    if (r & rt_hog) retake_end_hog(mp);
    chaos_pause(window::retake_reattach);
    exitsyscall();
}

// The word as it is, with RK1's order after a store of inrt.
std::uint32_t read_retake(m* mp) {
    forked_child_check();
    chaos_pause(window::retake_read);
    // ORDER(retake): acquire; pairs with the requester's CASes.
    std::uint32_t r = mp->retake.load(memory_order_acquire);
    if (!(r & rt_live)) [[unlikely]] forked_child_die();  // FO3, where the word that forked() looks at has no page of its own
    if (!(r & rt_fence)) return r;
    // ORDER(inrt): seq_cst; RK1's other way: a read-modify-write before the read of retake.
    mp->inrt.exchange(1, memory_order_seq_cst);
    return mp->retake.load(memory_order_seq_cst);  // ORDER(retake): seq_cst; as above
}

// Out of the runtime, with the word still being r: RK4; what comes later finds inrt 0.
bool left_unseen(m* mp, std::uint32_t r) {
    if (r & rt_fence) {
        // ORDER(inrt): seq_cst; RK1's other way here too: else the store could wait while retake is read.
        mp->inrt.exchange(0, memory_order_seq_cst);
        return mp->retake.load(memory_order_seq_cst) == r;  // ORDER(retake): seq_cst; as above
    }
    // ORDER(inrt): release; as in leave_runtime.
    mp->inrt.store(0, memory_order_release);
    crossing_barrier();
    return mp->retake.load(memory_order_relaxed) == r;  // relaxed: RK4
}

// M is inside and somebody wants it: M wins, unless he is `taking` already.
void decline(m* mp, std::uint32_t r) {
    chaos_pause(window::retake_decline);
    // ORDER(retake): acq_rel; RK2.
    mp->retake.compare_exchange_strong(r, r & ~std::uint32_t{rt_phase}, memory_order_acq_rel, memory_order_relaxed);
}

}  // namespace

bool runtime_call_enter_slow(g* gp, std::uint32_t was, bool point) {
    if (was != 0) return false;  // UC5: dealt with where the outermost call began, and will be where it ends
    bool borrowed = false;
    for (;;) {
        m* mp = gp->mp;
        std::uint32_t r = read_retake(mp);
        if (r & rt_exiting && !may_still_run(gp)) sleep_for_good();
        switch (r & rt_phase) {
            case rt_wanted: decline(mp, r); continue;
            case rt_taking: retake_wait(mp); continue;
            case rt_taken: reattach(mp); continue;
        }
        if (!(r & rt_outside)) {
            if (r & rt_points && point && gp->noyield == 0) seeded_point(gp);
            return borrowed;
        }
        mp->retake.fetch_and(~std::uint32_t{rt_outside}, memory_order_relaxed);  // relaxed: its own bit
        exitsyscall();
        borrowed = true;
    }
}

void runtime_call_leave_slow(g* gp) {
    for (bool point = true;;) {
        m* mp = gp->mp;
        mp->inrt.store(1, memory_order_relaxed);  // relaxed: RK1, with read_retake
        crossing_barrier();
        std::uint32_t r = read_retake(mp);
        if (r & rt_exiting && !may_still_run(gp)) sleep_for_good();
        if ((r & rt_phase) == rt_wanted) {
            decline(mp, r);
            continue;
        }
        // With its P on the way out, or none, there is nothing to yield.
        bool may_yield = (r & rt_phase) == rt_none && !(r & rt_outside) && gp->noyield == 0;
        if (may_yield && r & rt_points && std::exchange(point, false)) {
            seeded_point(gp);
            continue;
        }
        bool yield = r & (rt_preempt | rt_stop) && may_yield;
        if (!yield) {
            if (left_unseen(mp, r)) return;
            continue;
        }
        mp->retake.fetch_and(~std::uint32_t{rt_preempt | rt_stop}, memory_order_relaxed);  // relaxed: acted upon here
        gosched();
    }
}

namespace {
// Nobody knows when a foreign thread calls again: with work waiting its P does not wait for sysmon.
void pass_oldp_on(m* mp) {
    p* pp = mp->oldp;
    // relaxed: hints; sysmon mends what they miss.  Who ends the process keeps its P (EX2).
    if (sched.exiting.load(memory_order_relaxed)) return;
    if (seeded()) {  // SS2: sysmon takes nothing back, not for a timer either
        if ((pp = take_oldp(mp))) handoffp(pp);
        return;
    }
    if (runqempty(pp) && sched.runqsize.load(memory_order_relaxed) == 0) return;
    m* heir = reserve_m();
    if (!heir) {
        // At the limit nobody may come for it for a long time, though there may be a locked goroutine in its queue (ID4).
        if (!below_mlimit() && (pp = take_oldp(mp))) startm(pp, false, true);
        return;
    }
    if ((pp = take_oldp(mp))) {
        RT0_PROBE(handoffp, probe_goid(mp->curg), mp->id, pp->id);
        startm_reserved(heir, pp);
    } else {
        unreserve_m(heir);
    }
}
}  // namespace

void runtime_call_give_back(g* gp) {
    // relaxed: acted upon now or at the next crossing.
    if (sched.exiting.load(memory_order_relaxed) && !may_still_run(gp)) sleep_for_good();
    entersyscall();
    m* mp = gp->mp;
    if (gp->foreign) pass_oldp_on(mp);
    mp->retake.fetch_or(rt_outside, memory_order_relaxed);  // relaxed: its own bit
    // ORDER(inrt): release; as in leave_runtime.
    mp->inrt.store(0, memory_order_release);
    if (per_call && held == 0) dropm(gp);
}

foreign_hold::foreign_hold() {
    g* gp = getg();
    on_ = !gp || gp->foreign;
    if (on_) held++;
}
foreign_hold::~foreign_hold() {
    if (!on_ || --held != 0 || !per_call) return;
    if (g* gp = getg()) dropm(gp);
}

void* rtalloc(std::size_t n) { return mallocrt(current_mcache(), n); }
void* rtalloc_g() { return mallockept(current_mcache()); }
void rtfree(void* p) { freert(current_mcache(), p); }

mcache* current_mcache() {
    g* gp = getg();
    m* mp = gp ? gp->mp.get() : nullptr;
    if (!mp) return nullptr;
    return mp->pp ? mp->pp->mcache : nullptr;
}

mcore* upcall_mcore() {
    g* gp = getg();
    return gp ? gp->mp.get() : nullptr;
}

}  // namespace rt0::runtime
