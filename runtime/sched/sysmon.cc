// sysmon: the watchman, an M without a P.
//
// It takes Ps back from system calls, declared or not, that last, and from goroutines that
// run without end; it sees to it that due timers and left-over work find an M, and does
// the slow chores (RCU grace periods).  It sleeps 20 us while it takes Ps and at the beginning of slices that others wait for,
// up to 1 ms after a calm while, up to 10 ms when every P is idle, and deeply (on a note) when they stay it: an idle
// process costs nothing.  One that is woken now and then does not pay 11 us each time for waking sysmon, too: there it
// has looked for a tenth of a second first (SM7).
//
//   SM1  sysmon has no P and never clones: a P is taken from user code only with an M in hand
//        that will run it, from the idle list, and the template thread makes those (sched/taking.h).
//   SM2  A P is taken when work waits that nobody else is about to do (in its queue or the global one), and its M is in
//        user code since a whole tick: at once if the kernel says that the thread is blocked (then, too, for what another
//        P has and does not get through), after forced_retake if it runs.  "Used no processor since the last tick" is
//        only a hint: a thread that waits for a processor looks the same, and taking its P would start a thread more, and
//        so on.  /proc tells the two apart.
//        The short ticks are spent at the beginning of a slice (sysmon_watch_ticks), from there they double, and one falls on
//        its end: looks each 20 us are a quarter of a processor.  A goroutine that blocks at the beginning loses its P after
//        two looks (until others run: perf/results/stalls.md).  One that computes first and blocks later loses it after two
//        of the longer ticks, and so does the first in a program whose Ps were idle now and then (SM6).
//   SM5  Where one goroutine blocked others soon do (a thousand that read).  For storm_gap after a P was taken from one that
//        still blocks, its next goroutine need not be seen twice: one look that finds it blocked is enough.  Who blocks for
//        a moment only is back before the next look, and then there is no storm.
//
//   SM3, SM4: threads that lost their P and compute, in sched/hogs.cc.  SM6, SM7: when it looks, in sched/pace.h.
//
// Source: Go's proc.go (sysmon, retake).
#include "sched/sysmon.h"

#include <algorithm>
#include <utility>

#include "base/chaos.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "base/upcall.h"
#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/background.h"
#include "sched/born.h"
#include "sched/checkdead.h"
#include "sched/debugvars.h"
#include "sched/exit.h"
#include "sched/find.h"
#include "sched/hogs.h"
#include "sched/lists.h"
#include "sched/locked.h"
#include "sched/mstart.h"
#include "sched/newproc.h"
#include "sched/pace.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/retake.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/taking.h"
#include "sched/template.h"
#include "sched/worth.h"

namespace rt0::runtime {

namespace {

// WK8: timers made its Gs ready a moment ago.
bool fresh_batch(const p* pp, std::int64_t now) {
    const std::int64_t begin = pp->batchwhen;
    return pp->suffices && begin != 0 && now - begin < 2 * cfg::alone_ns;
}

// More than pp gets through alone: its queue was not empty a tick ago and is not now.
bool has_backlog(p* pp, std::int64_t now) {
    const bool crowd = !born_empty(pp) && runqshort(pp, now);  // BN7
    bool before = pp->sysmonbacklog, alone = brisk(pp, now) || fresh_batch(pp, now) || crowd;
    pp->sysmonbacklog = !runqempty(pp);
    return before && pp->sysmonbacklog && !alone;
}

// WK6's and WK7's backstop: work beside an idle P.
bool wake_for_backlog() {
    // relaxed: hints.
    if (sched.npidle.load(memory_order_relaxed) == 0 || sched.nmspinning.load(memory_order_relaxed) != 0) return false;
    wakes_pay();
    startm(nullptr, false);
    return true;
}

// WK6's for the global queue: it was not empty a tick ago and is not now.
void wake_for_global_queue() {
    static bool before = false;
    if (seeded()) return;  // SS2
    const bool waits = sched.runqsize.load(memory_order_relaxed) != 0;  // relaxed: a hint
    if (std::exchange(before, waits) && waits) wake_for_backlog();
}

// WK8's backstop: timers have been due for a while beside an idle P, and nobody sleeps until the next one.
void wake_for_timers(std::int64_t now) {
    // relaxed: hints.
    if (seeded() || sched.npidle.load(memory_order_relaxed) == 0 || sched.lastpoll.load(memory_order_relaxed) == 0) return;
    const std::int64_t due = earliest_timer();
    if (due != 0 && due <= now - cfg::alone_ns) wake_for_backlog();
}

enum class verdict { leave, watch, blocked, hog };

// Is there something to do that needs pp, or a P and there is no other?  backlog: some P has one.
bool work_waits(const p* pp, std::int64_t now, bool backlog) {
    // relaxed: hints; being wrong costs one hand-off or one tick.
    if (sched.npidle.load(memory_order_relaxed) + sched.nmspinning.load(memory_order_relaxed) > 0) return false;
    std::int64_t due = pp->timers.when0.load(memory_order_relaxed);
    return backlog || !runqempty(pp) || sched.runqsize.load(memory_order_relaxed) != 0 || (due != 0 && due <= now);
}

// What the kernel says of the thread.  The descriptor is kept per P, so there are few.
kernel::activity activity_of(p* pp, std::int32_t tid) {
    if (pp->activitytid != tid) {
        if (pp->activityfile.fd >= 0) kernel::activity_close(pp->activityfile);
        pp->activityfile = kernel::activity_open(tid);  // -errno (no /proc, no descriptor left): unknown
        pp->activitytid = pp->activityfile.fd >= 0 ? tid : 0;
    }
    if (pp->activityfile.fd < 0) return kernel::activity::unknown;
    kernel::activity a = kernel::activity_read(pp->activityfile);
    if (a == kernel::activity::unknown) pp->activitytid = 0;  // gone, and its number may come again
    return a;
}

void close_activity(p* pp) {
    if (pp->activityfile.fd >= 0) kernel::activity_close(pp->activityfile);
    pp->activityfile.fd = -1;
    pp->activitytid = 0;
}

// SM5.  A hint: the victim may be another M by now (MS2).
bool in_a_storm(const p* pp, std::int64_t now) {
    return pp->victim && now - pp->victimwhen < cfg::storm_gap && has_lost_its_p(pp->victim);
}

// Another time slice has begun since the last look; noted for the next.
bool slice_moved(p* pp, std::int64_t now) {
    // relaxed, both: compared with the last look
    std::uint32_t tick = pp->schedtick.load(memory_order_relaxed) + pp->stopslices.load(memory_order_relaxed);
    if (pp->sysmontick == tick) return false;
    pp->sysmontick = tick;
    pp->sysmonwhen = now;
    pp->sysmonstill = 0;
    return true;
}
bool slice_is_over(const p* pp, std::int64_t now) { return pp->sysmonwhen + cfg::forced_preempt <= now; }

// SM2, as far as it can be seen from here: racy, the handshake decides.  watch: look again soon.
verdict judge(p* pp, m* mp, std::int64_t now, bool backlog, slices* waited_for) {
    const bool moved = slice_moved(pp, now);
    if (slice_is_over(pp, now)) preemptone(pp);
    // relaxed: RK5.
    if (!mp || mp->inrt.load(memory_order_relaxed) != 0 || !work_waits(pp, now, backlog)) return verdict::leave;
    std::int32_t tid = mp->tid;
    std::int64_t used = kernel::thread_cputime(tid);
    bool at_rest = used == pp->sysmoncpu || in_a_storm(pp, now);
    pp->sysmoncpu = used;
    if (moved && !in_a_storm(pp, now)) return verdict::leave;
    // For what another P does not get through no loop loses its own: all that run would, at once.
    const bool own = work_waits(pp, now, false);
    if (own) waited_for->add(pp->sysmonwhen, now);
    bool hog = own && pp->sysmonwhen + cfg::forced_retake <= now;
    if (at_rest || hog) {
        if (activity_of(pp, tid) == kernel::activity::blocked) {
            if (moved) sched.stormtakes.fetch_add(1, memory_order_relaxed);  // relaxed: a counter
            return verdict::blocked;
        }
        if (hog) return verdict::hog;
    }
    return pp->sysmonstill++ < cfg::sysmon_watch_ticks ? verdict::watch : verdict::leave;
}

// One look at all Ps.
struct round : takings {
    slices waited_for;
    bool took_in_call = false;  // a P, from a declared call
    bool backlog = false;       // a P had one at the last look,
    bool backlog_now = false;   // has one at this
};

// None is idle or coming, and the last thread below the limit is left to somebody who must have it.
bool spare_is_worth_making() {
    guard l(sched.lock);
    return sched.nmidle + sched.nmcoming == 0 && mlimited() + 1 < mlimit();
}

// What sysmon does about pp; whether it found something that is worth another look soon.
bool look_at(p* pp, std::int64_t now, round* r) REQUIRES(retakelock) {
    std::uint32_t s = pp->status.load(memory_order_relaxed);  // relaxed: the CAS decides
    if (s == pdead) close_activity(pp);
    if ((s != prunning && s != psyscall) || seeded()) return false;  // SS2
    born_look(pp, now);
    const bool backlog = has_backlog(pp, now);
    r->backlog_now |= backlog;
    if (s == psyscall) {
        const bool due = !slice_moved(pp, now) && slice_is_over(pp, now) && work_waits(pp, now, false);
        if (!retake_syscall(pp, now, due, r)) return backlog && wake_for_backlog();
        r->took_in_call = true;
        return false;
    }
    m* mp = pp->mp.follow();
    verdict v = judge(pp, mp, now, r->backlog, &r->waited_for);
    if (v == verdict::blocked || v == verdict::hog) r->want(mp, v == verdict::hog);
    return (backlog && wake_for_backlog()) || v == verdict::watch;
}

// One look at every P; *next: the next should come then, if not sooner.  Reads allp anew after each
// hand-off, since that must not be done inside an RCU read section.
findings retake(std::int64_t now, std::int64_t* next) {
    static bool backlog = false;
    bool soon = false;
    taking one;
    round r;
    r.backlog = backlog;
    sched.sysmonlooks.fetch_add(1, memory_order_relaxed);  // relaxed: a counter
    for (std::size_t i = 0;; i++) {
        p* pp;
        {
            rcu_reader reading;
            auto ps = allp();
            pp = i < ps.n ? ps.data[i] : nullptr;
        }
        if (!pp) break;
        if (look_at(pp, now, &r)) soon = true;
    }
    backlog = r.backlog_now;
    wake_for_global_queue();
    wake_for_timers(now);
    r.take(now);
    see_to_hogs(r.waited_for.late, now);  // last: now `hog` says that it has lost its P
    // One more than were missed, or one where the last was used: else every second hand-off waits for the template
    // thread, on a machine full of hogs for tens of milliseconds.
    if (r.heirless) want_spare_ms(r.heirless + 1);
    else if (r.first && spare_is_worth_making()) want_spare_ms(1);
    *next = r.waited_for.next;
    if (r.first || r.took_in_call || (r.heirless && !spare_ms_refused())) return findings::took;
    return soon ? findings::watch : findings::none;
}

bool nothing_to_watch() {
    // relaxed: a hint; looked at again under sched.lock before sleeping deeply.
    return sched.gcwaiting.load(memory_order_relaxed) ||
           sched.npidle.load(memory_order_relaxed) == static_cast<std::uint32_t>(gomaxprocs_now.load(memory_order_relaxed));
}

// RT0DEBUG=schedtrace: reports when it is time; ns until the next report, -1 when none are wanted.
std::int64_t trace_if_due() {
    static std::int64_t next = 0;
    if (debug.schedtrace <= 0 || panicking.load(memory_order_relaxed) != 0) return -1;  // relaxed: not into a report, if we see one
    std::int64_t now = kernel::nanotime();
    if (now >= next) {
        upcall_schedtrace(debug.scheddetail > 0);
        next = now + std::int64_t{debug.schedtrace} * 1'000'000;
    }
    return next - now;
}

// Sleeps until a P leaves the idle list (pidleget wakes us) or the world starts again; at most `most` ns if that is
// not negative.  True: woken, or not even asleep.
bool sleep_deeply(std::int64_t most) {
    const std::int64_t begin = kernel::nanotime();
    for (std::int64_t look = cfg::stranger_look;; look = std::min(2 * look, cfg::stranger_look_max)) {
        bool strangers;
        {
            guard l(sched.lock);
            if (!nothing_to_watch()) return true;
            strangers = checkdead();  // again: a thread that was counted as a stranger may have ended since
            sched.sysmonwait.store(true, memory_order_relaxed);  // relaxed: sched.lock
        }
        std::int64_t left = most < 0 ? most : std::max(most - (kernel::nanotime() - begin), std::int64_t{0});
        bool look_again = strangers && (left < 0 || look < left);
        bool woken = notetsleep(&sched.sysmonnote, look_again ? look : left);
        if (!woken) {
            guard l(sched.lock);
            sched.sysmonwait.store(false, memory_order_relaxed);  // relaxed: sched.lock; from here nobody wakes us
        }
        noteclear(&sched.sysmonnote);
        if (woken || !look_again) return woken;
    }
}

// Idle memory: all of it when the process has been idle for a while, else what goes
// beyond the slack, looked at once a second.
void consider_scavenging(bool idle, std::int64_t now) {
    static std::int64_t last = 0;
    if (seeded() || (!idle && now - last < cfg::scavenge_period)) return;  // SS2
    last = now;
    std::int32_t cold = gfcold(idle);
    std::size_t bytes = scavengeable() + static_cast<std::size_t>(cold) * cfg::stack_default;
    static std::int64_t tried = 0;
    if (idle && cold == 0 && bytes == scavenged_in_vain() && now - tried < cfg::scavenge_again) return;
    if (idle) tried = now;
    if (bytes > (idle ? 0 : cfg::scavenge_slack)) wake_scavenger(cold, idle);
}

// Written when it changes: the line is shared by all who wake.
void set_far(bool far) {
    // relaxed: a hint.
    if (sched.sysmonfar.load(memory_order_relaxed) != far) sched.sysmonfar.store(far, memory_order_relaxed);
}

// Every P is idle: first asleep for a while, unless each look of a tenth of a second found them so.  True: woken soon.
bool rest(bool idle_for_long) {
    const std::int64_t begin = kernel::nanotime(), trace = trace_if_due();
    if (!idle_for_long && sleep_deeply(trace >= 0 ? std::min(trace, cfg::sysmon_brief_sleep) : cfg::sysmon_brief_sleep))
        return true;
    consider_scavenging(true, kernel::nanotime());
    return sleep_deeply(trace_if_due()) && kernel::nanotime() - begin < cfg::sysmon_brief_sleep;
}

}  // namespace

void sysmon() {
    {
        guard l(sched.lock);
        sched.nmsys++;
    }
    block_all_but_faults();
    kernel::set_thread_name("rt0-sysmon");
    std::int64_t now = kernel::nanotime(), next = INT64_MAX;
    for (pace pace;;) {
        std::int64_t until_trace = trace_if_due();
        std::int64_t nap = std::max(std::min(pace.delay, next - now), cfg::sysmon_tick_min);
        if (until_trace >= 0) nap = std::min(nap, until_trace);
        next = INT64_MAX;
        sched.sysmonnext.store(now + nap, memory_order_relaxed);  // relaxed: a hint
        set_far(nap > cfg::alone_look);
        kernel::usleep(static_cast<std::uint32_t>(nap / 1000));
        now = kernel::nanotime();
        if (sched.sysmonwanted.load(memory_order_relaxed)) {  // relaxed: a hint
            sched.sysmonwanted.store(false, memory_order_relaxed);
            pace.brief = cfg::sysmon_brief_ticks;
        }
        if (nothing_to_watch()) {
            pace.all_idle();
            if (see_to_hogs_only(now)) {
                pace.idle = 0;
                consider_scavenging(false, now);
            }
            // relaxed: a hint.
            if (pace.idle < pace.patience || sched.exiting.load(memory_order_relaxed)) continue;
            sched.sysmonnext.store(0, memory_order_relaxed);  // relaxed: a hint: it is woken with the first P
            set_far(false);
            pace.slept_deeply(rest(pace.patience > 1));
            now = kernel::nanotime();
            continue;
        }
        pace.at_work();
        if (now - sched.waitclock.load(memory_order_relaxed) > cfg::waitclock_step)  // relaxed: for reports
            sched.waitclock.store(now, memory_order_relaxed);
        pace.looked(retake(now, &next));
        consider_scavenging(false, now);
        reclaim_retired();
    }
}

}  // namespace rt0::runtime
