// lock_os_thread: a G and an M for each other only.
//
//   LO1  gp->lockedm == mp iff mp->lockedg == gp.
//   LO2  a locked G runs on no other M: who finds it on a queue hands its P over
//        (startlockedm) instead of running it.
//   LO3  an M with a locked G runs no other: when that G parks, the M gives its P away
//        and sleeps on its own note, not on the idle list.
//   LO4  a time slice that is inherited goes with the P: else two goroutines of which one is locked, readying each
//        other, would begin a new one with each hand-over, and RQ6 and the global queue's turn never come.
#include "sched/locked.h"

#include <utility>

#include "base/throw.h"
#include "sched/checkdead.h"
#include "sched/mstart.h"
#include "sched/pidle.h"
#include "sched/schedule.h"

namespace rt0::runtime {

void incidlelocked(std::int32_t d) {
    guard l(sched.lock);
    sched.nmidlelocked += d;
    if (d > 0) checkdead();
}

namespace {
void dolock(g* gp) {
    if (gp->lockedm) return;
    gp->mp->lockedg = gp;
    gp->lockedm = gp->mp;
    sched.nmlocked.fetch_add(1, memory_order_relaxed);  // relaxed: a hint
}
void dounlock(g* gp) {
    m* mp = gp->mp;
    if (mp->lockedint + mp->lockedext != 0 || gp->foreign || !gp->lockedm) return;
    mp->lockedg = nullptr;
    gp->lockedm = nullptr;
    sched.nmlocked.fetch_sub(1, memory_order_relaxed);  // relaxed: a hint
}
}  // namespace

bool stoplockedm() {
    m* mp = getg()->mp;
    if (!mp->lockedg || mp->lockedg->lockedm != mp) runtime_throw("stoplockedm: inconsistent locking");
    if (mp->pp) handoffp(releasep());
    incidlelocked(1);
    mp->blocked.store(true, memory_order_relaxed);  // relaxed: for reports
    notesleep(&mp->park);
    mp->blocked.store(false, memory_order_relaxed);
    noteclear(&mp->park);
    std::uint32_t status = readgstatus(mp->lockedg);
    if ((status & ~gscan) != grunnable) {
        textbuf t;
        t << "stoplockedm: goroutine " << mp->lockedg->goid << " is not runnable but " << status;
        runtime_throw(t.c_str());
    }
    acquirep(mp->nextp);
    mp->nextp = nullptr;
    return std::exchange(mp->nextinherit, false);
}

void startlockedm(g* gp, bool inherit) {
    m* mp = gp->lockedm;
    if (mp == getg()->mp) runtime_throw("startlockedm: locked to me");
    if (mp->nextp) runtime_throw("startlockedm: m has p");
    incidlelocked(-1);
    mp->nextp = releasep();
    mp->nextinherit = inherit;
    notewakeup(&mp->park);
    stopm();
}

void lockOSThread() {
    g* gp = getg();
    gp->mp->lockedint++;
    dolock(gp);
}

void unlockOSThread() {
    g* gp = getg();
    if (gp->mp->lockedint == 0) runtime_throw("unlockOSThread: not locked");
    gp->mp->lockedint--;
    dounlock(gp);
}

void lock_os_thread_ext(g* gp) {
    if (++gp->mp->lockedext == 0) runtime_throw("lock_os_thread: nesting overflow");
    dolock(gp);
}

void unlock_os_thread_ext(g* gp) {
    if (gp->mp->lockedext == 0) return;  // as Go: unlocking an unlocked goroutine does nothing
    gp->mp->lockedext--;
    dounlock(gp);
}

void mexit_locked() {
    m* mp = getg()->mp;
    mp->lockedg = nullptr;
    mp->lockedext = mp->lockedint = 0;
    sched.nmlocked.fetch_sub(1, memory_order_relaxed);  // relaxed: a hint
    mexit();
}

}  // namespace rt0::runtime
