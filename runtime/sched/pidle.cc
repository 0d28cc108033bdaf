// Idle Ms and Ps.
//
//   ID1  A P is on sched.pidle, or held by one M (p.mp), or in the hands of one function
//        between the two; the same for an M and sched.midle.
//   ID2  An M asleep in stopm is on sched.midle; who takes it off writes nextp, then its
//        note.  It wakes with exactly that P; without one it goes back to sleep, and thinks
//        again whether it is one too many (gomaxprocs shrank).
//   ID3  An M that came when more than gomaxprocs + idle_ms_kept were idle ends when nobody
//        has wanted it for cfg::idle_m_ns.  The list is last in, first out, so it is the
//        old ones that get there.  Who is on the list belongs to whoever takes it off:
//
//        surplus M, its time over             startm
//        lock(sched)                          lock(sched); mget: takes the M off; unlock
//        still on the list: take itself off   nextp; notewakeup
//        unlock; end
//        off already: unlock; sleep on, the wake-up is on its way, or it will be put back
//
//        At most gomaxprocs + idle_ms_kept Ms sleep without a time limit, those at the
//        bottom; m0 always does, since the initial thread cannot end.
//   ID4  At the limit of threads a P without an M to run it stays idle and its Gs go to the global queue.  An M with
//        another P looks there, under sched.lock, before it gives that up; one that returns from user code or a system
//        call takes the P (exitsyscall); so does the one that sleeps until a timer (TM5); and one that is about to
//        sleep, or to be put back on the idle list, takes it as a spinner, or work would wait beside both:
//
//        M, back from a system call           sysmon, or who makes a G ready
//        no idle P: queues its G
//                                             lock(sched); no idle M: the P is left idle; starved; unlock
//        lock(sched); starved: takes the P    (without that: sleeps, and nobody looks at the queue)
//
//        The M of a locked goroutine sleeps for that one only, and nobody else runs it: where there is no other M the P goes
//        to the first such goroutine in the queue, through its M's nextp, be that asleep or on its way to it (locked_heir).  A
//        P that must be taken from who blocks first is not taken for it.
//
//        Limit and number of the new M are one decision under sched.lock, or two that both saw room would die of it.
//        Where an M ends, or the limit is raised, and one was starved, there is a wake as for new work (room_for_m).
//        What is left waits for Ms that block or compute, as it does wherever a P cannot be taken for want of an M.  None would
//        ever come for those that are not locked when every other M is idle for its locked G and none of those waits, or
//        when each M is one's and those have had passed_over Ps in a row: that is fatal; checkdead sees it where two Ms that
//        leave their Ps idle each take the other for one that comes.
#include "sched/pidle.h"

#include "base/chaos.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/checkdead.h"
#include "sched/choose.h"
#include "sched/find.h"
#include "sched/mstart.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/template.h"

namespace rt0::runtime {

void pidleput(p* pp) {
    if (!runqempty(pp)) runtime_throw("pidleput: P has non-empty run queue");
    pp->suffices = false;
    pp->batchwhen = 0;  // who left it in a call has measured nothing
    pp->link = sched.pidle;
    sched.pidle = pp;
    // ORDER(wake): seq_cst; WK5: the P counts as idle before its M looks at the queues again.
    sched.npidle.fetch_add(1, memory_order_seq_cst);
}

p* pidleget() {
    p* pp = sched.pidle;
    if (!pp) return nullptr;
    sched.pidle = pp->link;
    pp->link = nullptr;
    // ORDER(wake): seq_cst; one order with pidleput.
    sched.npidle.fetch_sub(1, memory_order_seq_cst);
    if (sched.sysmonwait.load(memory_order_relaxed)) {  // relaxed: sched.lock
        sched.sysmonwait.store(false, memory_order_relaxed);
        sched.waitclock.store(kernel::nanotime(), memory_order_relaxed);  // relaxed: for reports; it stood still
        notewakeup(&sched.sysmonnote);
    }
    return pp;
}

namespace {
// It counts as coming until it first is idle, or has a P instead.
void arrived(m* mp) REQUIRES(sched.lock) {
    sched.nmcoming -= mp->spare;
    mp->spare = false;
}
}  // namespace

void mput(m* mp) {
    mp->schedlink = sched.midle;
    mp->schedprev = nullptr;
    if (sched.midle) sched.midle->schedprev = mp;
    sched.midle = mp;
    mp->idle = true;
    sched.nmidle++;
    arrived(mp);
    checkdead();
}

namespace {
void mtake(m* mp) REQUIRES(sched.lock) {
    m* next = mp->schedlink;
    m* prev = mp->schedprev;
    (prev ? prev->schedlink : sched.midle) = next;
    if (next) next->schedprev = prev;
    mp->schedlink = mp->schedprev = nullptr;
    mp->idle = false;
    sched.nmidle--;
}
}  // namespace

m* mget() {
    m* mp = sched.midle;
    if (mp) mtake(mp);
    return mp;
}

namespace {
void wirep(m* mp, p* pp) {
    if (mp->pp) runtime_throw("wirep: M already has a P");
    // ORDER(pstatus): acquire; what the last holder of the P did is visible.
    if (pp->mp || pp->status.load(memory_order_acquire) != pidle) {
        textbuf t;
        t << "wirep: invalid P state: P " << pp->id << " status " << pp->status.load(memory_order_relaxed)  // relaxed: message
          << " m " << pp->mp;
        runtime_throw(t.c_str());
    }
    mp->pp = pp;
    pp->mp.publish(mp);
    pp->status.store(prunning, memory_order_relaxed);  // relaxed: the P is ours, nobody else decides on it
}
}  // namespace

void acquirep(p* pp) {
    wirep(getg()->mp, pp);
    mcache_prepare_for_sweep(pp->mcache);
}

p* releasep() {
    m* mp = getg()->mp;
    p* pp = mp->pp;
    if (!pp) runtime_throw("releasep: no P");
    if (pp->mp != mp || pp->status.load(memory_order_relaxed) != prunning) {  // relaxed: ours
        textbuf t;
        t << "releasep: invalid P state: M " << mp->id << " P " << pp->id << " p.mp " << pp->mp;
        runtime_throw(t.c_str());
    }
    mp->pp = nullptr;
    pp->mp = nullptr;
    // ORDER(pstatus): release; pairs with the acquire in wirep.
    pp->status.store(pidle, memory_order_release);
    return pp;
}

bool idle_ms_in_surplus() {
    return sched.nmidle > gomaxprocs_now.load(memory_order_relaxed) + cfg::idle_ms_kept;  // relaxed: a heuristic
}

m* mget_surplus() {
    m* chain = nullptr;
    while (idle_ms_in_surplus()) {
        m* mp = mget();
        mp->schedlink = chain;
        chain = mp;
    }
    return chain;
}

namespace {

// Sleeps until somebody hands mp a P.  False: nobody did for long, and it is off the idle list (ID3).
bool sleep_idle(m* mp, bool surplus) {
    while (surplus && !notetsleep(&mp->park, cfg::idle_m_ns)) {
        guard l(sched.lock);
        if (!mp->idle) continue;  // in somebody's hands, who may put it back (sysmon)
        // relaxed: while the process ends no thread_local destructors run beside the static ones.
        surplus = idle_ms_in_surplus() && !sched.exiting.load(memory_order_relaxed);
        if (surplus) {
            mtake(mp);
            return false;
        }
    }
    if (!surplus) notesleep(&mp->park);
    return true;
}

}  // namespace

p* starved_p() {
    if (!sched.starved.load(memory_order_relaxed)) return nullptr;  // relaxed: set under sched.lock
    sched.starved.store(false, memory_order_relaxed);
    return pidleget();
}

void room_for_m() {
    bool starved;
    {
        guard l(sched.lock);
        starved = sched.starved.load(memory_order_relaxed);  // relaxed: sched.lock
    }
    if (starved) wakep();
}

namespace {

// ID4.  sched.lock is held; mp, about to be idle, gets the P that was left so.
bool give_p_left_idle(m* mp) REQUIRES(sched.lock) {
    if (!(mp->nextp = starved_p())) return false;
    arrived(mp);
    become_spinning(mp);
    return true;
}

}  // namespace

void stopm() {
    m* mp = getg()->mp;
    if (mp->locks != 0) runtime_throw("stopm: holding locks");
    if (mp->pp) runtime_throw("stopm: holding P");
    if (mp->spinning) runtime_throw("stopm: spinning");
    RT0_PROBE(stopm, probe_goid(mp->curg), mp->id, -1);
    mp->stolewhen = 0;
    mp->wakecounted = false;
    mp->blocked.store(true, memory_order_relaxed);  // relaxed: for reports
    do {
        bool surplus;
        {
            guard l(sched.lock);
            if (give_p_left_idle(mp)) break;
            mput(mp);
            surplus = mp != &m0 && idle_ms_in_surplus();
        }
        chaos_pause_debug(window::m_idle);
        if (!sleep_idle(mp, surplus)) {
            give_slot_up();
            mend();
        }
        noteclear(&mp->park);
    } while (!mp->nextp);  // ID2
    mp->blocked.store(false, memory_order_relaxed);  // relaxed: for reports
    acquirep(mp->nextp);  // ID2
    mp->nextp = nullptr;
}

namespace {
// First thing an M does that startm made as a spinner.
void mspinning() { getg()->mp->spinning = true; }
}  // namespace

m* reserve_m() {
    guard l(sched.lock);
    return mget();
}

void unreserve_m(m* heir) {
    bool has_p;
    {
        guard l(sched.lock);
        if (!(has_p = give_p_left_idle(heir))) mput(heir);
    }
    if (has_p) notewakeup(&heir->park);
}

void startm_reserved(m* heir, p* pp) {
    RT0_PROBE_WITH(startm, probe_goid(getg()->mp->curg), getg()->mp->id, probe_pid(pp), false);
    if (heir->nextp) runtime_throw("startm_reserved: idle M has a P");
    chaos_pause_debug(window::m_start);
    heir->nextp = pp;
    notewakeup(&heir->park);
}

namespace {

// The world is being stopped: pp, which nobody runs, is.
bool stop_with_world(p* pp) REQUIRES(sched.lock) {
    if (!sched.gcwaiting.load(memory_order_relaxed)) return false;  // relaxed: sched.lock
    pp->status.store(pgcstop, memory_order_relaxed);
    if (--sched.stopwait == 0) notewakeup(&sched.stopnote);
    return true;
}

// The last P going idle with timers pending and nobody asleep for them: some M must look.
bool last_for_timers() REQUIRES(sched.lock) {
    // relaxed: sched.lock orders npidle; lastpoll is a hint that sleep_until_timer decides on.
    return sched.npidle.load(memory_order_relaxed) + 1 == static_cast<std::uint32_t>(gomaxprocs_now.load(memory_order_relaxed)) &&
           sched.lastpoll.load(memory_order_relaxed) != 0 && timers_pending();
}

// Goroutines that are not locked.  relaxed: sched.lock.
bool others_wait() REQUIRES(sched.lock) { return sched.runqsize.load(memory_order_relaxed) != sched.runq.nlocked; }

// ID4: all other Ms are idle for their locked Gs, none of which waits for a P, and there is something to do.
bool nobody_comes() REQUIRES(sched.lock) {
    return running_ms() <= 1 && sched.runq.nlocked == 0 && (others_wait() || last_for_timers());
}

// ID4: those that are not locked were passed over time after time; system goroutines can wait.
void passed_over() REQUIRES(sched.lock) {
    if (++sched.passedover < cfg::passed_over) return;
    sched.passedover = 0;
    for (const g* gp = sched.runq.head; gp; gp = gp->schedlink)
        if (!gp->lockedm && !gp->is_system && mlimited() >= mlimit()) exhausted();
}

// What waits at pp, which nobody runs, waits in the global queue.
void queue_globally(p* pp) REQUIRES(sched.lock) {
    bool inherit;
    pp->crowd = false;  // BN7: it is not run
    while (g* gp = runqget(pp, &inherit)) globrunqput(gp);
}

void leave_idle(p* pp) REQUIRES(sched.lock) {
    if (stop_with_world(pp)) return;
    queue_globally(pp);
    pidleput(pp);
    sched.starved.store(true, memory_order_seq_cst);  // ORDER(poll): before the look for a sleeper (TM5)
}

// ID4: the M of a locked goroutine that waits in the global queue; null: none does.  Under schedseed only where each M is
// locked: another is on its way to the idle list, and the schedule must not hang on when it gets there (SS2).
m* locked_heir() REQUIRES(sched.lock) {
    const int serve_others = mlimited() - sched.nmsys - sched.nmlocked.load(memory_order_relaxed);  // relaxed: a hint
    if (seeded() && serve_others > 0) return nullptr;
    if (serve_others <= 0 && others_wait() && sched.runq.nlocked != 0) passed_over();
    else sched.passedover = 0;
    g* gp = globrunqget_locked();
    if (!gp) return nullptr;
    if (seeded()) picked(gp);
    sched.nmidlelocked--;  // as startlockedm
    // What else waits does so for an M that comes to look.  relaxed: sched.lock.
    if (sched.pidle && sched.runqsize.load(memory_order_relaxed) != 0)
        sched.starved.store(true, memory_order_seq_cst);  // ORDER(poll): as in leave_idle
    return gp->lockedm;
}

void let_locked_run(m* mp, p* pp) {
    if (mp->nextp) runtime_throw("let_locked_run: M has a P");
    mp->nextp = pp;
    notewakeup(&mp->park);
    if (sched.runqsize.load(memory_order_relaxed) == 0) return;  // relaxed: a hint
    wake_timer_sleeper();                                        // TM5, as nobody_for
    want_spare_ms(1);
}

// ID4: who shall run pp: an idle M (*mp) or a new one of number *id; else false: the M of a locked goroutine (*mp),
// or nobody (*mp null; pp is disposed of).
bool m_for(p* pp, bool optional, m** mp, std::int64_t* id) REQUIRES(sched.lock) {
    if ((*mp = mget()) || (*id = mreserveid()) >= 0) return true;
    // relaxed: sched.lock.
    if (!sched.gcwaiting.load(memory_order_relaxed)) {
        queue_globally(pp);
        // The limit again: whoever has raised it since is on his way with room_for_m.
        if (!optional && nobody_comes() && mlimited() >= mlimit()) exhausted();
        if ((*mp = locked_heir())) return false;
    }
    leave_idle(pp);
    return false;
}

void nobody_for(p* pp) {
    if (!pp) return;
    wake_timer_sleeper();
    want_spare_ms(1);  // cannot be had: but it says so, once
}

// Under the lock, as long as no P can become idle: after it, whoever sees the count beside a P that has become idle since
// would leave his work in the global queue to a spinner that there is not.  (Where m_for has just left one idle at the limit
// of threads, or given it to a locked goroutine beside another that is idle, somebody comes for it: ID4.)
void stop_counting_as_spinner() REQUIRES(sched.lock) {
    // ORDER(wake): seq_cst; the caller's count is taken back.
    if (static_cast<std::int32_t>(sched.nmspinning.fetch_sub(1, memory_order_seq_cst)) <= 0)
        runtime_throw("startm: negative nmspinning");
}

}  // namespace

void startm(p* pp, bool spinning, bool optional) {
    RT0_PROBE_WITH(startm, probe_goid(getg()->mp->curg), getg()->mp->id, probe_pid(pp), spinning);
    bool found;
    m* mp = nullptr;
    std::int64_t id = -1;
    if (spinning) chaos_pause_debug(window::spinner_start);
    {
        guard l(sched.lock);
        if (!pp) pp = pidleget();
        found = pp && m_for(pp, optional, &mp, &id);
        if (!found && spinning) stop_counting_as_spinner();
    }
    if (!found) return mp ? let_locked_run(mp, pp) : nobody_for(pp);
    if (!mp) {
        newm(spinning ? mspinning : nullptr, pp, id);
        return;
    }
    if (mp->spinning) runtime_throw("startm: M is spinning");
    if (mp->nextp) runtime_throw("startm: M has a P");
    if (spinning && !runqempty(pp)) runtime_throw("startm: P has runnable goroutines");
    chaos_pause_debug(window::m_start);
    mp->spinning = spinning;
    mp->nextp = pp;
    notewakeup(&mp->park);
}

void startm_for(p* pp) {
    if (m* mp = pp->mp) {  // procresize found this M idle and tied it already
        RT0_PROBE_WITH(startm, probe_goid(getg()->mp->curg), getg()->mp->id, probe_pid(pp), false);
        pp->mp = nullptr;
        if (mp->nextp) runtime_throw("startm_for: inconsistent mp->nextp");
        mp->nextp = pp;
        notewakeup(&mp->park);
        return;
    }
    startm(pp, false, true);  // no M: our caller goes on with a P and looks at the global queue
}

namespace {

// The decisions of handoffp that need sched.lock.  True: pp was disposed of.
bool handoffp_locked(p* pp, bool* start, bool* start_spinning) {
    guard l(sched.lock);
    if (stop_with_world(pp)) return true;
    if (sched.runqsize.load(memory_order_relaxed) != 0) {  // relaxed: sched.lock
        *start = true;
        return false;
    }
    if (last_for_timers()) {
        *start_spinning = false;
        *start = true;
        return false;
    }
    pidleput(pp);
    return true;
}

bool has_timers(const p* pp) { return pp->timers.when0.load(memory_order_relaxed) != 0; }  // relaxed: the P is ours

}  // namespace

void handoffp(p* pp) {
    RT0_PROBE(handoffp, probe_goid(getg()->mp->curg), getg()->mp->id, pp->id);
    // relaxed throughout: each is looked at again under sched.lock, or makes one spare M look.
    if (!runqempty(pp) || sched.runqsize.load(memory_order_relaxed) != 0) return startm(pp, false);
    // Nobody looks for work and no P idles: one more running G may make work that nobody would take (WK2).
    std::uint32_t none = 0;
    if (sched.nmspinning.load(memory_order_relaxed) + sched.npidle.load(memory_order_relaxed) == 0 &&
        sched.nmspinning.compare_exchange_strong(none, 1, memory_order_seq_cst, memory_order_relaxed))  // ORDER(wake)
        return startm(pp, true);
    bool start = false, spin = false;
    if (handoffp_locked(pp, &start, &spin)) {
        chaos_pause_debug(window::p_idle);
        if (work_queued()) wakep();  // WK5: queued while no P was idle and the one spinner had found other work
        if (has_timers(pp)) wakenetpoller(pp->timers.when0.load(memory_order_relaxed));  // relaxed: a hint
        return;
    }
    if (start) startm(pp, spin);
}

}  // namespace rt0::runtime
