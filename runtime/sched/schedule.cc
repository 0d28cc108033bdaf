// schedule(): one round, and stopping all rounds.
//
//   SC1  schedule runs on g0 with a P, except while its M has a locked G: then it gives
//        the P away and waits for that G to be made ready (stoplockedm).
//   SC2  A world is stopped when every P is in gcstop.  Ps come there by their own M
//        (gcstopm, at schedule's head), from idle, from a system call or from user code by the
//        stopper's hand.  sched.gcwaiting is set before the stopper looks at any P, and an M looks
//        at gcwaiting after every acquirep, or, on its way out of a system call, is found by
//        the stopper's next round, so none slips through.
//   SC3  A P that was taken from user code goes back to the M it was taken from, if that still is there when the world goes
//        on: else each stop would leave as many threads that run without a P beside those with one.  Nobody has had the P
//        meanwhile, and it is given back when gcwaiting is clear, since M may come in at once.  A P in gcstop is on no
//        list, and whoever would stop the world next waits for us.
#include "sched/schedule.h"

#include <utility>

#include "base/chaos.h"
#include "base/forked.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "sched/choose.h"
#include "sched/find.h"
#include "sched/locked.h"
#include "sched/pidle.h"
#include "sched/procresize.h"
#include "sched/retake.h"
#include "sched/runq.h"
#include "sched/switch.h"
#include "sched/timer.h"
#include "sched/worth.h"

namespace rt0::runtime {

void execute(g* gp, bool inherit) {
    m* mp = getg()->mp;
    execute_books(mp, gp, inherit);
    gogo(gp);
}

namespace {

// Every 61st round, so that two goroutines that keep readying each other cannot shut
// the global queue out.
g* global_turn(p* pp) {
    // relaxed: both only decide when to look.
    if (pp->schedtick.load(memory_order_relaxed) % cfg::sched_tick_global != 0) return nullptr;
    if (sched.runqsize.load(memory_order_relaxed) == 0 || in_a_chain(pp)) return nullptr;
    guard l(sched.lock);
    return globrunqget(pp, runqrotate(pp) ? 0 : 1);
}

// A G of pp's, or of the global queue when that has its turn.
g* own_turn(p* pp, bool* inherit) {
    g* gp = by_seed() ? choose(pp, inherit) : global_turn(pp);
    return gp ? gp : runqget(pp, inherit);
}

// A G stolen or taken by a spinning M: it is not looking any more; if it was the last
// that did, somebody else must, since there may be more where this came from.
void resetspinning(m* mp) {
    mp->spinning = false;
    // ORDER(wake): seq_cst; pairs with wakep's read: the decrement comes before our look at idle Ps.
    if (static_cast<std::int32_t>(sched.nmspinning.fetch_sub(1, memory_order_seq_cst)) <= 0)
        runtime_throw("resetspinning: negative nmspinning");
    if (!own_work_is_all(mp->pp)) wakep();
}

}  // namespace

void schedule() {
    forked_child_check();
    m* mp = getg()->mp;
    if (mp->locks != 0) runtime_throw("schedule: holding locks");
    for (;;) {
        if (mp->lockedg) {  // SC1
            bool inherit = stoplockedm();
            execute(mp->lockedg, inherit);
        }
        if (sched.gcwaiting.load(memory_order_relaxed)) {  // relaxed: gcstopm looks again under the lock
            gcstopm();
            continue;
        }
        p* pp = mp->pp;
        if (by_seed()) starve(pp);
        if (pp->timers.when0.load(memory_order_relaxed)) {  // relaxed: when it is set late, TM4 covers it
            std::int64_t until;
            checktimers(pp, clock_now(), &until);
        }
        bool inherit = false;
        g* gp = own_turn(pp, &inherit);
        if (!gp) gp = findrunnable(&inherit);  // blocks until there is work
        if (mp->spinning) resetspinning(mp);
        if (gp->lockedm) {  // hand it our P and look for other work
            startlockedm(gp, inherit);
            continue;
        }
        execute(gp, inherit);
    }
}

void gcstopm() {
    m* mp = getg()->mp;
    if (!sched.gcwaiting.load(memory_order_relaxed)) runtime_throw("gcstopm: not waiting for stop");  // relaxed: set for long
    if (mp->spinning) {
        mp->spinning = false;
        // ORDER(wake): seq_cst; as in resetspinning; no wakep, the restart will look for work.
        if (static_cast<std::int32_t>(sched.nmspinning.fetch_sub(1, memory_order_seq_cst)) <= 0)
            runtime_throw("gcstopm: negative nmspinning");
    }
    p* pp = releasep();
    {
        guard l(sched.lock);
        pp->status.store(pgcstop, memory_order_relaxed);  // relaxed: sched.lock
        if (--sched.stopwait == 0) notewakeup(&sched.stopnote);
    }
    stopm();
}

void preemptone(p* pp) {
    m* mp = pp->mp.follow();
    if (!mp || mp == getg()->mp) return;
    // relaxed: hints that M acts upon at its next exit; being late or meeting the next G that
    // runs there only costs one spare yield.
    mp->retake.fetch_or(rt_preempt, memory_order_relaxed);
    pp->preempt.store(true, memory_order_relaxed);
}

namespace {
// Who may stop the world.  The others park: one that waited with its P in hand would keep
// the P that the first is waiting for.
struct {
    mutex lock{lock_rank::world};
    bool taken GUARDED_BY(lock) = false;  // [lock]
    gqueue waiting GUARDED_BY(lock);      // [lock]
} world;

// Ps that nobody runs are stopped by our hand; whether that was all.
bool stop_quiet_ps(p* mine) REQUIRES(sched.lock) {
    rcu_reader r;
    mine->status.store(pgcstop, memory_order_relaxed);  // relaxed: sched.lock
    sched.stopwait--;
    for (p* pp : allp()) {
        std::uint32_t s = psyscall;
        // ORDER(pstatus): the winner of this CAS owns the P, see exitsyscall and retake; seq_cst, after the store
        // to gcwaiting: entersyscall stores psyscall and then reads gcwaiting.
        if (pp->status.compare_exchange_strong(s, pgcstop, memory_order_seq_cst, memory_order_seq_cst)) {
            pp->syscalltick.fetch_add(1, memory_order_relaxed);  // relaxed: tells the M that the P was away
            sched.stopwait--;
        }
    }
    while (p* pp = pidleget()) {
        pp->status.store(pgcstop, memory_order_relaxed);  // relaxed: sched.lock
        sched.stopwait--;
    }
    return sched.stopwait == 0;
}

// Ps whose M is in user code are taken from it; an M in the runtime gets the stop bit and parks
// its P at its exit, or earlier in schedule().
void stop_running_ps() {
    m* self = getg()->mp;
    m* round = nullptr;
    guard l(retakelock);
    {
        rcu_reader r;
        for (p* pp : allp()) {
            m* mp = pp->mp.follow();
            if (pp->status.load(memory_order_relaxed) != prunning || !mp || mp == self) continue;  // relaxed: RK5
            if (!retake_want(mp, rt_stop)) continue;
            mp->retakelink = round;
            round = mp;
        }
    }
    if (!round) return;
    retake_fence();
    for (m* mp = round; mp; mp = mp->retakelink) {
        p* pp = retake_begin(mp);
        if (!pp) continue;
        guard s(sched.lock);
        pp->stopped = mp;
        retake_detach(mp, pp, pgcstop);
        if (--sched.stopwait == 0) notewakeup(&sched.stopnote);
    }
}
// Not analysed: the last one to stop wrote it before it woke us, and nobody writes it while the world stands.
std::int32_t left_to_stop() NO_THREAD_SAFETY_ANALYSIS { return sched.stopwait; }

// SC3.  Of those whose M came back without it, *with_work gets those with work.
void return_ps(p* stopped, p** with_work) REQUIRES(retakelock) {
    while (p* pp = stopped) {
        stopped = pp->link;
        pp->link = nullptr;
        if (retake_return(std::exchange(pp->stopped, nullptr), pp)) {
            sched.stopreturns.fetch_add(1, memory_order_relaxed);  // relaxed: a counter
            continue;
        }
        guard s(sched.lock);
        set_idle(pp, with_work);
    }
}

// The stop was no turn of its caller's, who may not even have the same P: once a turn it begins a new slice, or he would be
// asked to yield for what others took to stop, or P0's last goroutine has used up.
void begin_slice_after_stop() {
    m* mp = getg()->mp;
    p* pp = mp->pp;
    if (std::exchange(pp->stopslice, pp->turns) == pp->turns) return;
    pp->stopslices.fetch_add(1, memory_order_relaxed);  // relaxed: written by its M only; sysmon compares values
    pp->preempt.store(false, memory_order_relaxed);     // relaxed, both: hints
    mp->retake.fetch_and(~std::uint32_t{rt_preempt}, memory_order_relaxed);
}
}  // namespace

void world_acquire() {
    world.lock.lock();
    if (!world.taken) {
        world.taken = true;
        world.lock.unlock();
        return;
    }
    world.waiting.push_back(getg());
    goparkunlock(&world.lock, wait_reason::semacquire);  // it is handed to us, taken
}

void world_release() {
    g* next;
    {
        guard l(world.lock);
        next = world.waiting.pop();
        if (!next) world.taken = false;
    }
    if (next) goready(next);
}

void stop_the_world() {
    bool stopped;
    {
        guard l(sched.lock);
        sched.stopwait = gomaxprocs_now.load(memory_order_relaxed);  // relaxed: changes in a stopped world
        sched.gcwaiting.store(true, memory_order_seq_cst);           // ORDER(stop): before any look at a P (SC2)
        sched.detour.store(true, memory_order_relaxed);              // relaxed: seen a switch later, the stop takes so long
        stopped = stop_quiet_ps(getg()->mp->pp);
    }
    chaos_pause_debug(window::world_stop);
    // Again for Ms that came to run, or out of the runtime unseen, since.
    while (!stopped) {
        sched.stoprounds.fetch_add(1, memory_order_relaxed);  // relaxed: a counter
        stop_running_ps();
        stopped = notetsleep(&sched.stopnote, cfg::stop_round);
    }
    noteclear(&sched.stopnote);
    if (left_to_stop() != 0) runtime_throw("stop_the_world: not stopped");
}

void start_the_world() {
    resized ps;
    retakelock.lock();  // RK6: before any M can end
    {
        guard l(sched.lock);
        ps = procresize(newprocs_wanted());
        sched.detour.store(by_seed(), memory_order_relaxed); // relaxed: as above
        sched.gcwaiting.store(false, memory_order_seq_cst);  // ORDER(stop): Ps are ready before Ms may take them
        if (sched.sysmonwait.load(memory_order_relaxed)) {   // relaxed: sched.lock
            sched.sysmonwait.store(false, memory_order_relaxed);
            notewakeup(&sched.sysmonnote);
        }
    }
    return_ps(ps.stopped, &ps.with_work);
    retakelock.unlock();
    begin_slice_after_stop();
    while (p* pp = ps.with_work) {
        ps.with_work = pp->link;
        pp->link = nullptr;
        startm_for(pp);
    }
    wakep();
}

}  // namespace rt0::runtime
