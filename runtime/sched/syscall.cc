// Declared system calls: the M keeps its G and lets go of its P.  And the way back to a P, which
// a goroutine that was detached (retake.h) goes too.
//
//   SY1  entersyscall leaves the P in status syscall, still remembered (oldp).  Whoever
//        wins the CAS from syscall to another status has the P: the M itself on its way
//        back (the common case, one CAS), sysmon (retake), or a stop-the-world.
//   SY2  Between the two the M has no P: it touches nothing that a P owns.
//   SY3  oldp may have changed hands meanwhile and be in the system call of another M: whoever
//        gets it by the CAS has it all the same, and that M looks for another.
//
// Source: Go's proc.go (entersyscall, exitsyscall).
#include "base/forked.h"
#include "base/throw.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/switch.h"

namespace rt0::runtime {

void entersyscall() {
    g* gp = getg();
    m* mp = gp->mp;
    p* pp = mp->pp;
    casgstatus(gp, grunning, gsyscall);
    // relaxed: written by its M only; sysmon compares values.
    pp->syscalltick.store(pp->syscalltick.load(memory_order_relaxed) + 1, memory_order_relaxed);
    pp->mp = nullptr;
    mp->oldp = pp;
    mp->pp = nullptr;
    // ORDER(pstatus): seq_cst; what we did with the P is published, and the store comes before
    // the look at gcwaiting (SC2's other side).
    pp->status.store(psyscall, memory_order_seq_cst);
    // ORDER(stop): the stopper sees psyscall, or we see gcwaiting.  The goroutine that ends the process keeps its P (EX2).
    if (sched.gcwaiting.load(memory_order_seq_cst) && !sched.exiting.load(memory_order_relaxed)) {  // relaxed: set by itself
        std::uint32_t s = psyscall;
        guard l(sched.lock);
        if (sched.stopwait > 0 && pp->status.compare_exchange_strong(s, pgcstop, memory_order_acq_rel, memory_order_relaxed) &&
            --sched.stopwait == 0)  // ORDER(pstatus): acq_rel; SY1
            notewakeup(&sched.stopnote);
    }
}

namespace {

bool retake_old(m* mp, p* pp) {
    std::uint32_t s = psyscall;
    // ORDER(pstatus): acq_rel; SY1.
    if (!pp || !pp->status.compare_exchange_strong(s, pidle, memory_order_acq_rel, memory_order_relaxed)) return false;
    mp->oldp = nullptr;
    acquirep(pp);
    return true;
}

bool take_idle(m* mp) {
    if (sched.npidle.load(memory_order_relaxed) == 0) return false;  // relaxed: a hint
    p* pp;
    {
        guard l(sched.lock);
        pp = pidleget();
    }
    if (!pp) return false;
    mp->oldp = nullptr;
    acquirep(pp);
    return true;
}

// No P: gp goes to the global queue (or waits as a locked G does), the M sleeps.
void exitsyscall0(g* gp) {
    m* mp = gp->mp;
    casgstatus(gp, readgstatus(gp), grunnable);  // from syscall or detached
    mp->curg = nullptr;
    gp->mp = nullptr;
    bool locked = gp->lockedm != nullptr;
    p* pp;
    {
        guard l(sched.lock);
        pp = sched.gcwaiting.load(memory_order_relaxed) ? nullptr : pidleget();  // relaxed: sched.lock
        if (!pp) globrunqput(gp);
    }
    if (pp) {
        acquirep(pp);
        execute(gp, false);
    }
    if (locked) {  // gp is ours alone (LO2): whoever finds it in the queue sends us a P
        schedule();
    }
    stopm();
    schedule();
}

}  // namespace

void exitsyscall() {
    forked_child_check();
    g* gp = getg();
    m* mp = gp->mp;
    p* old = mp->oldp;
    // relaxed: SC2 looks again; while exiting gcwaiting stays set, and only the exiting goroutine comes here.
    bool stopping = sched.gcwaiting.load(memory_order_relaxed) && !sched.exiting.load(memory_order_relaxed);
    if ((!stopping && retake_old(mp, old)) || take_idle(mp)) {
        casgstatus(gp, readgstatus(gp), grunning);  // from syscall or detached
        p* pp = mp->pp;
        pp->syscalltick.store(pp->syscalltick.load(memory_order_relaxed) + 1, memory_order_relaxed);  // relaxed: as above
        return;
    }
    mp->oldp = nullptr;
    mcall(exitsyscall0);
}

}  // namespace rt0::runtime
