// Declared system calls: the M keeps its G and lets go of its P.  And the way back to a P, which
// a goroutine that was detached (retake.h) goes too.
//
//   SY1  entersyscall leaves the P in status syscall, still remembered (oldp).  Whoever
//        wins the CAS from syscall to another status has the P: the M itself on its way
//        back (the common case, one CAS), sysmon (retake), or a stop-the-world.
//   SY2  Between the two the M has no P: it touches nothing that a P owns.
//   SY3  oldp may have changed hands meanwhile and be in the system call of another M: whoever
//        gets it by the CAS has it all the same, and that M looks for another.
//   SY4  A P whose M blocks in a call while others wait for one is wasted until sysmon looks, 20 us and more, and each of
//        the others took a sleep and a wake-up of its thread.  So a goroutine whose calls block (the last one did) puts the
//        next one off for once and lets those go first that wait for a P after calls of their own: a switch of
//        goroutines on one thread.  Often one of them does what the call waits for, and then no thread sleeps at all.
//          - A call is put off only if callers alone wait, that is Gs whose turns from call to call are brief (long_turns
//            of sysmon's looks in a row make it another), and the P's own queue is empty.  From then on its G waits as
//            any G in the global queue does, also behind what those callers start.
//          - Not in vain: when a call that was put off blocks all the same, ever more of the next are not; and one in
//            call_probe is not, to see whether calls still block.
//          - Nobody starves: of the Gs that were put off and the rest of the global queue each has every other turn,
//            first come first served.  So who comes back from a call goes before the crowd of those put off: it is
//            mostly the partner of one of them, who would block if his turn came first.
//        Handing the P to another M before such a call, as Go's entersyscallblock does, takes a futex wake-up a call.
//
// Source: Go's proc.go (entersyscall, exitsyscall).
#include <algorithm>

#include "base/chaos.h"
#include "base/config.h"
#include "base/forked.h"
#include "base/throw.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/switch.h"

namespace rt0::runtime {

// ---- SY4

namespace {

// A clock that costs a load: its steps are sysmon's, 20 us where Ps were taken lately (as in programs whose calls
// block), else up to 1 ms.  It may wrap: a turn is taken for brief then.
std::uint16_t looks() { return static_cast<std::uint16_t>(sched.sysmonlooks.load(memory_order_relaxed)); }  // relaxed: a heuristic

void end_of_turn(call_history* c) {
    const bool brief = static_cast<std::uint16_t>(looks() - c->back) < cfg::long_turn;
    c->long_turns = static_cast<std::uint8_t>(brief ? 0 : std::min(c->long_turns + 1, cfg::long_turns));
}

bool has_brief_turns(const call_history& c) { return c.long_turns < cfg::long_turns; }

bool only_callers_wait(const p* pp) {
    // relaxed: hints; being wrong costs one call's delay.
    const std::int32_t n = sched.ncallers.load(memory_order_relaxed);
    return n > 0 && n == sched.runqsize.load(memory_order_relaxed) && runqempty(pp);
}

void end_of_call(call_history* c, bool kept) {
    c->back = looks();
    if (!c->put_off) {
        c->blocks = !kept;
        return;
    }
    c->put_off = false;
    if (!kept) {
        c->successes = 0;
        c->skip = c->backoff;
        c->backoff = std::min<std::uint8_t>(static_cast<std::uint8_t>(2 * c->backoff + 1), cfg::call_backoff_max);
    } else {
        c->backoff = 0;
        if (++c->successes < cfg::call_probe) return;
        c->successes = 0;
        c->skip = 1;
    }
}

}  // namespace

void put_call_off(g* gp) {
    call_history* c = &gp->calls;
    end_of_turn(c);
    if (!c->blocks || !has_brief_turns(*c) || gp->lockedm || !only_callers_wait(gp->mp->pp)) return;
    if (c->skip > 0) {
        c->skip--;
        return;
    }
    c->put_off = true;
    gosched_putoff();
}

// ----

void entersyscall() {
    g* gp = getg();
    m* mp = gp->mp;
    p* pp = mp->pp;
    gp->waitsince = sched.waitclock.load(memory_order_relaxed);  // relaxed: for "[syscall, 5 minutes]"
    casgstatus(gp, grunning, gsyscall);
    // relaxed: written by its M only; sysmon compares values.
    pp->syscalltick.store(pp->syscalltick.load(memory_order_relaxed) + 1, memory_order_relaxed);
    pp->mp = nullptr;
    mp->oldp = pp;
    mp->oldtick = pp->syscalltick.load(memory_order_relaxed);  // relaxed: as above
    mp->pp = nullptr;
    chaos_pause(window::syscall_enter);
    // ORDER(pstatus): seq_cst; what we did with the P is published, and the store comes before
    // the look at gcwaiting (SC2's other side).
    pp->status.store(psyscall, memory_order_seq_cst);
    chaos_pause(window::syscall_enter);
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
    chaos_pause(window::syscall_exit);
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
    const std::uint32_t from = readgstatus(gp) & ~gscan;  // syscall or detached; a scan is waited for (GS1)
    const bool call = from == gsyscall;
    casgstatus(gp, from, grunnable);
    mp->curg = nullptr;
    gp->mp = nullptr;
    bool locked = gp->lockedm != nullptr;
    p* pp;
    {
        guard l(sched.lock);
        pp = sched.gcwaiting.load(memory_order_relaxed) ? nullptr : pidleget();  // relaxed: sched.lock
        if (!pp) {
            gp->caller = call && !locked && has_brief_turns(gp->calls);
            RT0_PROBE_WITH(goready, gp->goid, mp->id, -1, gp->goid);
            globrunqput(gp);
        }
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
    const std::uint32_t from = readgstatus(gp) & ~gscan;  // syscall or detached; a scan is waited for (GS1)
    const bool call = from == gsyscall;
    if ((!stopping && retake_old(mp, old)) || take_idle(mp)) {
        casgstatus(gp, from, grunning);
        p* pp = mp->pp;
        const std::uint32_t tick = pp->syscalltick.load(memory_order_relaxed);  // relaxed: as above
        pp->syscalltick.store(tick + 1, memory_order_relaxed);                  // relaxed: as above
        if (call) end_of_call(&gp->calls, pp == old && tick == mp->oldtick);
        return;
    }
    mp->oldp = nullptr;
    mcall(exitsyscall0);
    if (call) end_of_call(&gp->calls, false);
}

}  // namespace rt0::runtime
