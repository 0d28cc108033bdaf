// How Ps are taken; see taking.h.  SM1 is sysmon.cc's.
#include "sched/taking.h"

#include "base/chaos.h"
#include "sched/hogs.h"
#include "sched/locked.h"
#include "sched/mstart.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/template.h"
#include "sched/worth.h"

namespace rt0::runtime {

taking::taking() { retakelock.lock(); }
taking::~taking() { retakelock.unlock(); }

namespace {

void take_p(m* mp, std::int64_t now) REQUIRES(retakelock) {
    m* heir = mp->retakeheir;
    p* pp = retake_begin(mp);
    if (pp && sched.exiting.load(memory_order_relaxed)) {  // relaxed: EX2; who sets it has inrt 1 while he does
        retake_release(mp);
        pp = nullptr;
    }
    if (!pp) {
        mp->hog = false;
        return unreserve_m(heir);
    }
    if (mp->hog) add_hog(mp);
    if (!mp->hog) {
        pp->victim = mp;
        pp->victimwhen = now;
    }
    pp->end_slice();
    retake_detach(mp, pp, pidle);
    chaos_pause(window::retake_heir);
    startm_reserved(heir, pp);
}

}  // namespace

void takings::want(m* mp, bool hog) {
    m* heir = reserve_m();
    if (!heir) {
        heirless++;
    } else if (!retake_want(mp, rt_none)) {
        unreserve_m(heir);
    } else {
        mp->retakeheir = heir;
        mp->hog = hog;
        mp->retakelink = first;
        first = mp;
    }
}

void takings::take(std::int64_t now) {
    if (first) retake_fence();
    for (m* mp = first; mp; mp = mp->retakelink) take_p(mp, now);
}

bool retake_syscall(p* pp, std::int64_t now, bool due, takings* r) {
    std::uint32_t tick = pp->syscalltick.load(memory_order_relaxed);  // relaxed: compared with the last look
    if (pp->sysmonsystick != tick) {
        pp->sysmonsystick = tick;
        pp->syscallwhen = now;
        if (!due) return false;
    }
    // relaxed: hints; being wrong costs one hand-off or one tick.
    bool others_free = sched.nmspinning.load(memory_order_relaxed) + sched.npidle.load(memory_order_relaxed) > 0;
    if (runqempty(pp) && others_free && pp->syscallwhen + cfg::forced_preempt > now) return false;
    bool work = !runqempty(pp) || sched.runqsize.load(memory_order_relaxed) != 0;  // relaxed: a hint
    m* heir = work ? reserve_m() : nullptr;                                        // SM1
    // A spare M was refused, and not for the limit of threads: who declared that he blocks relies on the
    // others going on, so from there on it is newm, which does it or dies with Go's text.
    if (work && !heir && !(spare_ms_refused() && below_mlimit())) {
        r->heirless++;
        return false;
    }
    // While the P is in our hands one more M counts as running: the M that lost it may come back, find no P,
    // queue its G and go idle as the last one, and checkdead must not take that for the end.
    incidlelocked(-1);
    std::uint32_t s = psyscall;
    chaos_pause(window::syscall_retake);
    // ORDER(pstatus): acq_rel; SY1: the winner has the P.
    bool ours = pp->status.compare_exchange_strong(s, pidle, memory_order_acq_rel, memory_order_relaxed);
    if (ours) {
        RT0_PROBE_WITH(retake, 0, getg()->mp->id, pp->id, 0);
        if (!runqempty(pp) && others_free) wakes_pay();  // WK7: nobody was woken for what stands here
        pp->end_slice();
        // relaxed: tells the M that its P was away.
        pp->syscalltick.fetch_add(1, memory_order_relaxed);
        heir ? startm_reserved(heir, pp) : handoffp(pp);
    } else if (heir) {
        unreserve_m(heir);
    }
    incidlelocked(1);
    return ours;
}

}  // namespace rt0::runtime
