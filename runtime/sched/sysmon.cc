// sysmon: the watchman, an M without a P.
//
// It takes Ps back from declared system calls that last, asks goroutines that have run
// for 10 ms to yield, sees to it that due timers and left-over work find an M, and does
// the slow chores (RCU grace periods).  It sleeps 20 us while there is something to do,
// up to 10 ms after a calm while, and deeply (on a note) when every P has been idle for a
// second: an idle process costs nothing, and one that is woken now and then does not pay
// 11 us each time for waking sysmon too.
//
// Source: Go's proc.go (sysmon, retake).
#include "sched/sysmon.h"

#include "base/throw.h"
#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/background.h"
#include "sched/checkdead.h"
#include "sched/debugvars.h"
#include "sched/exit.h"
#include "sched/find.h"
#include "sched/lists.h"
#include "sched/locked.h"
#include "sched/mstart.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/schedule.h"

namespace rt0::runtime {

namespace {

// A P whose M has been in a system call since the last tick: taken when there is work
// for it, or after 10 ms in any case.
bool retake_syscall(p* pp, std::int64_t now) {
    std::uint32_t tick = pp->syscalltick.load(memory_order_relaxed);  // relaxed: compared with the last look
    if (pp->sysmonsystick != tick) {
        pp->sysmonsystick = tick;
        pp->syscallwhen = now;
        return false;
    }
    // relaxed: hints; being wrong costs one hand-off or one tick.
    bool others_free = sched.nmspinning.load(memory_order_relaxed) + sched.npidle.load(memory_order_relaxed) > 0;
    if (runqempty(pp) && others_free && pp->syscallwhen + cfg::forced_preempt > now) return false;
    // While the P is in our hands one more M counts as running: the M that lost it may come back, find no P,
    // queue its G and go idle as the last one, and checkdead must not take that for the end.
    incidlelocked(-1);
    std::uint32_t s = psyscall;
    // ORDER(pstatus): acq_rel; SY1: the winner has the P.
    bool ours = pp->status.compare_exchange_strong(s, pidle, memory_order_acq_rel, memory_order_relaxed);
    if (ours) {
        // relaxed: tells the M that its P was away.
        pp->syscalltick.fetch_add(1, memory_order_relaxed);
        handoffp(pp);
    }
    incidlelocked(1);
    return ours;
}

// WK6's backstop: a queue that was not empty a tick ago and is not now, beside an idle P.
bool wake_for_backlog(p* pp) {
    bool before = pp->sysmonbacklog;
    pp->sysmonbacklog = !runqempty(pp);
    // relaxed: hints.
    if (!before || !pp->sysmonbacklog || sched.npidle.load(memory_order_relaxed) == 0 ||
        sched.nmspinning.load(memory_order_relaxed) != 0)
        return false;
    startm(nullptr, false);
    return true;
}

// A P that has not been through schedule() for 10 ms runs one goroutine all the time.
void ask_to_yield(p* pp, std::int64_t now) {
    std::uint32_t tick = pp->schedtick.load(memory_order_relaxed);  // relaxed: compared with the last look
    if (pp->sysmontick != tick) {
        pp->sysmontick = tick;
        pp->sysmonwhen = now;
    } else if (pp->sysmonwhen + cfg::forced_preempt <= now) {
        preemptone(pp);
    }
}

// One look at every P; how many Ps were taken or found behind with their work.  Reads allp anew after each hand-off,
// since that must not be done inside an RCU read section.
int retake(std::int64_t now) {
    int n = 0;
    std::size_t count = 0;
    {
        rcu_reader r;
        count = allp().n;
    }
    for (std::size_t i = 0; i < count; i++) {
        p* pp;
        {
            rcu_reader r;
            auto ps = allp();
            pp = i < ps.n ? ps.data[i] : nullptr;
        }
        if (!pp) break;
        std::uint32_t s = pp->status.load(memory_order_relaxed);  // relaxed: the CAS decides
        if (s == psyscall && retake_syscall(pp, now)) n++;
        if (s != prunning) continue;
        ask_to_yield(pp, now);
        if (wake_for_backlog(pp)) n++;
    }
    return n;
}

bool nothing_to_watch() {
    // relaxed: a hint; looked at again under sched.lock before sleeping deeply.
    return sched.gcwaiting.load(memory_order_relaxed) ||
           sched.npidle.load(memory_order_relaxed) == static_cast<std::uint32_t>(gomaxprocs_now.load(memory_order_relaxed));
}

// RT0DEBUG=schedtrace: reports when it is time; ns until the next report, -1 when none are wanted.
std::int64_t trace_if_due() {
    static std::int64_t next = 0;
    if (debug.schedtrace <= 0) return -1;
    std::int64_t now = kernel::nanotime();
    if (now >= next) {
        upcall_schedtrace(debug.scheddetail > 0);
        next = now + std::int64_t{debug.schedtrace} * 1'000'000;
    }
    return next - now;
}

// Sleeps until a P leaves the idle list (pidleget wakes us) or the world starts again; at most `most` ns if that is
// not negative.
void sleep_deeply(std::int64_t most) {
    {
        guard l(sched.lock);
        if (!nothing_to_watch()) return;
        checkdead();  // again: a thread that was counted as a stranger may have ended since
        sched.sysmonwait.store(true, memory_order_relaxed);  // relaxed: sched.lock
    }
    if (!notetsleep(&sched.sysmonnote, most)) {
        guard l(sched.lock);
        sched.sysmonwait.store(false, memory_order_relaxed);  // relaxed: sched.lock; from here nobody wakes us
    }
    noteclear(&sched.sysmonnote);
}

// Idle memory: all of it when the process has been idle for a while, else what goes
// beyond the slack, looked at once a second.
void consider_scavenging(bool idle, std::int64_t now) {
    static std::int64_t last = 0;
    if (!idle && now - last < cfg::scavenge_period) return;
    last = now;
    if (scavengeable() > (idle ? 0 : cfg::scavenge_slack)) wake_scavenger();
}

}  // namespace

void sysmon() {
    {
        guard l(sched.lock);
        sched.nmsys++;
    }
    kernel::set_thread_name("rt0-sysmon");
    std::int64_t delay = cfg::sysmon_tick_min;
    int calm = 0, idle = 0;
    for (;;) {
        std::int64_t until_trace = trace_if_due();
        std::int64_t nap = until_trace >= 0 && until_trace < delay ? until_trace : delay;
        kernel::usleep(static_cast<std::uint32_t>(nap / 1000));
        if (sched.exiting.load(memory_order_relaxed)) mark_running_exiting();  // relaxed: seen next time
        if (nothing_to_watch()) {
            delay = cfg::sysmon_tick_max;
            if (++idle < cfg::sysmon_idle_ticks || sched.exiting.load(memory_order_relaxed)) continue;
            consider_scavenging(true, kernel::nanotime());
            sleep_deeply(trace_if_due());
            idle = 0;
            delay = cfg::sysmon_tick_min;
            continue;
        }
        idle = 0;
        std::int64_t now = kernel::nanotime();
        if (now - sched.waitclock.load(memory_order_relaxed) > cfg::waitclock_step)  // relaxed: for reports
            sched.waitclock.store(now, memory_order_relaxed);
        calm = retake(now) ? 0 : calm + 1;
        consider_scavenging(false, now);
        if (calm == 0) delay = cfg::sysmon_tick_min;
        else if (calm > cfg::sysmon_calm_ticks && (delay *= 2) > cfg::sysmon_tick_max) delay = cfg::sysmon_tick_max;
        reclaim_retired();
    }
}

}  // namespace rt0::runtime
