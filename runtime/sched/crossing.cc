// The slow side of runtime_call: goroutines without a P, foreign threads, requests to
// yield, the end of the process.
//
//   FT1  A foreign thread has an extra M and a G of its own from its first call until it
//        ends.  The G stands for the thread: its stack is the thread's, it is locked to
//        the extra M, and between calls it is in a system call (attn_outside), so its P
//        can be taken.
//   FT2  When a foreign G parks, its M runs schedule() on a small g0 stack of its own and,
//        having a locked G, sleeps (stoplockedm): parking needs nothing special.
//   FT3  When the thread ends, a thread-exit hook gives M and G back.
#include <cxxabi.h>
#include <pthread.h>

#include <new>

#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/exit.h"
#include "sched/init.h"
#include "sched/lists.h"
#include "sched/mstart.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/switch.h"
#include "sched/upcross.h"

namespace rt0::runtime {

namespace {

mutex extra_lock{lock_rank::sched};
m* extra_free = nullptr;  // extra Ms of threads that ended [lock:extra_lock]

m* new_extra() {
    m* mp = allocm(nullptr);
    mp->is_extra = true;
    void* mem = rtalloc(sizeof(g));
    if (!mem) die("out of memory for a foreign thread's goroutine");
    g* gp = new (mem) g;
    gp->foreign = true;
    casgstatus(gp, gidle, gdead);
    allg_add(gp);
    sched.ngsys.fetch_add(1, memory_order_relaxed);  // relaxed: a count for reports; a thread is no goroutine
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
            sched.nmextraidle.fetch_sub(1, memory_order_relaxed);  // relaxed: a count for reports
            return mp;
        }
    }
    return new_extra();
}

// Takes the calling thread into the runtime, without a P yet: dead -> ... -> syscall.
g* needm() {
    if (!booted()) boot_from_foreign();
    m* mp = get_extra();
    g* gp = mp->lockedg;
    mp->g0sp = mp->g0stack.hi - 64;
    minit(mp);
    mp->curg = gp;
    gp->mp = mp;
    gp->stk = thread_stack();
    // relaxed: only uniqueness matters.
    gp->goid = sched.goidgen.fetch_add(1, memory_order_relaxed) + 1;
    casgstatus(gp, gdead, grunnable);
    casgstatus(gp, grunnable, grunning);
    casgstatus(gp, grunning, gsyscall);
    mp->oldp = nullptr;
    gp->attn.store(attn_outside, memory_order_relaxed);  // relaxed: its own
    setg(gp);
    return gp;
}

// FT3: the thread ends, outside of the runtime.
void dropm(void* arg) {
    g* gp = static_cast<g*>(arg);
    if (sched.exiting.load(memory_order_relaxed)) return;  // relaxed: the process ends, nobody will miss it
    m* mp = gp->mp;
    setg(gp);
    gp->attn.store(0, memory_order_relaxed);  // relaxed: its own
    exitsyscall();                            // with a P, to account for the end
    mp = gp->mp;
    casgstatus(gp, grunning, gdead);
    mp->curg = nullptr;
    setg(mp->g0);
    handoffp(releasep());
    rcu_thread_leave();
    unminit_signal_stack(mp);
    setg(nullptr);
    guard l(extra_lock);
    mp->schedlink = extra_free;
    extra_free = mp;
    sched.nmextraidle.fetch_add(1, memory_order_relaxed);  // relaxed: a count for reports
}

pthread_key_t exit_key;
pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

void hook_thread_exit(g* gp) {
    pthread_once(&exit_key_once, [] {
        if (pthread_key_create(&exit_key, dropm) != 0) die("no thread-specific key left (PTHREAD_KEYS_MAX)");
    });
    pthread_setspecific(exit_key, gp);
}

}  // namespace

g* runtime_call_enter_slow(g* gp, bool* borrowed) {
    if (!gp) {
        gp = needm();
        hook_thread_exit(gp);
    }
    // relaxed: exiting is acted upon now or at the next crossing.
    if (sched.exiting.load(memory_order_relaxed) && !may_still_run(gp)) sleep_for_good();
    // relaxed: its own bit.
    if (gp->attn.load(memory_order_relaxed) & attn_outside) {
        gp->attn.fetch_and(~attn_outside, memory_order_relaxed);
        exitsyscall();
        *borrowed = true;
    }
    return gp;
}

void runtime_call_leave_slow(g* gp, bool borrowed) {
    std::uint32_t attn = gp->attn.load(memory_order_relaxed);  // relaxed: hints, acted upon at some crossing
    if (attn & attn_exiting && !may_still_run(gp)) sleep_for_good();
    if (attn & attn_preempt) {
        gp->attn.fetch_and(~attn_preempt, memory_order_relaxed);
        if (!borrowed && gp->mp->curg == gp) gosched();
    }
    if (borrowed) {
        entersyscall();
        gp->attn.fetch_or(attn_outside, memory_order_relaxed);  // relaxed: its own bit
    }
}

void* rtalloc(std::size_t n) { return mallocrt(current_mcache(), n); }
void rtfree(void* p) { freert(current_mcache(), p); }

mcache* current_mcache() {
    g* gp = getg();
    m* mp = gp ? gp->mp : nullptr;
    if (!mp) return nullptr;
    return mp->pp ? mp->pp->mcache : nullptr;
}

mcore* upcall_mcore() {
    g* gp = getg();
    return gp ? gp->mp : nullptr;
}

}  // namespace rt0::runtime
