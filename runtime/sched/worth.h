// Which wake-ups are worth it.  To wake an M costs the waker 11 to 30 us and puts what it takes in another processor's
// cache; so here it is skipped where one P is enough, most likely.  What that misjudges sysmon mends (WK6 in find.cc).
//
//   WK7  A wake that finds nothing to steal was wasted (goroutines that take turns through
//        runnext, or RQ8, need one P), and so was one whose thief is out of work again within theft_worth: a sender and a
//        receiver that it put on two Ps, mostly.  The time that the thief itself spends waking others does not count, and
//        what is taken from a P in a call is worth it in any case.  While wakes are wasted, the wake for a G beside a short
//        queue is skipped ever more often (wake_backoff); a theft that was worth it ends that, and so does sysmon.
//        Only there, with the global queue empty, and where sysmon, which mends what is skipped, looks again soon.
//        Newborns that BN7 leaves alone wake nobody, for the same reason.
//   WK8  Nor is it worth while for a batch of timers whose Gs the P gets through in less than alone_ns, as far as their turns
//        the last time tell, if sysmon will soon look whether that was right.  They and all the others there are on its
//        ring (WK6): after an overflow, or if the global queue was not empty before, somebody is woken.  An M that was
//        spinning when it ran them must wake somebody all the same for what others have queued meanwhile (WK3), unless all
//        other Ps are idle: their Ms have looked (WK5).
//        Nobody sleeps until the next timer then, be it on another P.  If a turn takes long after all, sysmon sees to it.
#pragma once
#include "kernel_if/clock.h"
#include "sched/born.h"
#include "sched/sched.h"

namespace rt0::runtime {

// ---- WK7
// Is this P's queue short, and have wakes for such been wasted?
inline bool not_worth_a_wake(p* pp) {
    // relaxed, all: a heuristic; sysmon mends what it gets wrong.
    std::uint32_t backoff = sched.wake_backoff.load(memory_order_relaxed);
    if (backoff == 0) return false;
    if (sched.runqsize.load(memory_order_relaxed) != 0) return false;  // an overflow of ours, too: that is not sysmon's
    if (sched.sysmonfar.load(memory_order_relaxed)) return false;
    if (pp->runqtail.load(memory_order_relaxed) - pp->runqhead.load(memory_order_relaxed) > cfg::short_queue) return false;
    if (born_len(pp) > 1) return false;
    if (++pp->wakes_skipped <= backoff) return true;
    pp->wakes_skipped = 0;
    return false;
}

// No wake for one of a crowd that its starter gets through (BN7).
inline bool newborns_suffice(p* pp) {
    if (!pp->crowdbrisk || sched.runqsize.load(memory_order_relaxed) != 0) return false;  // relaxed: as above
    if (pp->crowd && pp->bornputs % cfg::crowd_looks != 0) return true;  // the clock is looked at now and then
    const bool yes = born_suffices(pp, kernel::nanotime());
    if (!yes) pp->crowdbrisk = false;  // until the end of the next crowd, and no more looks at the clock
    return yes;
}

// A spinner went back to sleep empty-handed.
void wake_was_wasted();
// mp took from `from` what it runs next.
void note_theft(m* mp, const p* from);
// mp, which stole what it ran, is out of work again.
void judge_theft(m* mp);
// Wakes are not wasted any more.
void wakes_pay();

// RQ8, for sysmon: since its last look at pp the Gs there took some hundred nanoseconds each, and few wait.  Or one waits, in
// runnext, and turns are so short that thieves leave it there (steal_runnext): for a sender and a receiver, say.
bool brisk(p* pp, std::int64_t now);

// ---- WK8
// After timers ran here at `now`: does the P get through what they made ready alone?  Its turns are measured from here ...
bool begin_timer_batch(std::int64_t now);
// ... to here: all of them have had theirs.
void measure_turns(p* pp, std::int64_t now);
// For an M that stops spinning: does nobody but its own P have work?
bool own_work_is_all(p* pp);

}  // namespace rt0::runtime
