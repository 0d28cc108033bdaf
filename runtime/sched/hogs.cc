// Hogs: threads that lost their P while they ran, and run on without one beside those that hold one.
//
//   SM3  Threads that lost their P while they run (hogs) must not crowd out who holds one,
//        nor starve: where that is permitted, as many as there are processors run as they
//        are, taking turns of hog_turn, and the others are SCHED_IDLE meanwhile.  One that
//        lost its P blocked, or to a stopped world, and computes by now is found by find_hogs; one that has blocked since is none
//        any more, or a process of sleepers would have hogs for ever: sysmon awake, real-time, and their turns asleep.
//   SM4  While there are more hogs than processors sysmon is a real-time thread, where that is permitted: SCHED_IDLE
//        threads run whole kernel ticks, which upsets the kernel's fair clock so that an ordinary thread that wakes
//        may wait for 30 ms though it uses next to nothing.  It is real-time, too, from the second half of a slice that
//        others wait for until two slices later: beside a single loop sysmon, and with it the end of the slice, may be
//        5 ms late, even if another processor is idle.  At other times it would preempt Ms at each tick (mutex8 +30 %).
//        The number of hogs needs no hysteresis: it goes up by what has run for forced_retake, once for each P, or was
//        found in a hog_turn.  So a thread's class changes about once in a turn, whatever the number does (stalls.md).
//
// All by sysmon, which holds retakelock.
#include "sched/hogs.h"

#include <utility>

#include "base/chaos.h"
#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "sched/debugvars.h"
#include "sched/lists.h"

namespace rt0::runtime {

namespace {

void set_idle_class(m* mp, bool on) REQUIRES(retakelock) {
    if (made_idle_class(mp) == on) return;
    if (on && !(debug.hogidle && kernel::idle_class_permitted_to(mp->tid))) return;
    if (on && !kernel::idle_class_may_enter(mp->tid)) return;  // before the count: FO5
    if (on) count_idle_class(mp);
    chaos_pause(window::idle_class);
    int rc = (on ? kernel::idle_class_enter : kernel::idle_class_leave)(mp->tid);
    chaos_pause(window::idle_class);
    // -EINVAL: the program gave the thread another class, which stays.
    if (on ? rc < 0 : rc == 0 || rc == -EINVAL) count_idle_class(mp);
}

// SM3: it has not run since it was last looked at, and the kernel says that it waits.
bool has_blocked(m* mp) REQUIRES(retakelock) {
    const std::int64_t used = kernel::thread_cputime(mp->tid);
    const bool ran = std::exchange(mp->detachedcpu, used) != used;
    return !ran && kernel::activity_now(mp->tid) == kernel::activity::blocked;
}

// SM3: the next so many hogs have their turn.
void rotate_hogs(std::int64_t now) REQUIRES(retakelock) {
    static std::int64_t last = 0, first = 0;
    if (sched.nhogs == 0 && !sched.stuck_idle) return;
    if (now - last < cfg::hog_turn) return;
    last = now;
    first = sched.nhogs <= ncpu ? 0 : first + ncpu;
    if (first >= sched.nhogs) first = 0;
    rcu_reader r;
    std::int64_t i = 0;
    sched.stuck_idle = false;
    for (m* mp : allm()) {
        if (mp->hog) {
            if (!has_lost_its_p(mp)) continue;
            if (has_blocked(mp)) {
                set_idle_class(mp, false);  // first: once it is none it may run with a P
                retake_unmark_hog(mp);
                continue;
            }
            set_idle_class(mp, !(i >= first && i < first + ncpu)), i++;
        } else if (made_idle_class(mp)) {  // it had not the right itself
            set_idle_class(mp, false);
            sched.stuck_idle |= made_idle_class(mp);
        }
    }
}

// Has M, who lost its P otherwise, become a hog?  It is seen to run twice in a row.
void look_at_detached(m* mp) REQUIRES(retakelock) {
    // relaxed: a hint; it writes a report (stay_inside), or is about to have a P.
    if (mp->hog || !has_lost_its_p(mp) || mp->inrt.load(memory_order_relaxed) != 0) return;
    std::int64_t used = kernel::thread_cputime(mp->tid);
    bool ran = used - mp->detachedcpu > cfg::hog_sign;
    mp->detachedcpu = used;
    mp->detachedruns = ran && kernel::activity_now(mp->tid) == kernel::activity::running ? mp->detachedruns + 1 : 0;
    if (mp->detachedruns >= 2 && retake_mark_hog(mp)) mp->detachedruns = 0;
}

// SM3: some of the Ms are looked at, each turn other ones.
void find_hogs(std::int64_t now) REQUIRES(retakelock) {
    static std::int64_t last = 0;
    static std::size_t next = 0;
    if (!debug.hogidle || !kernel::idle_class_permitted() || now - last < cfg::hog_turn) return;
    last = now;
    rcu_reader r;
    auto ms = allm();
    for (std::size_t i = 0; i < cfg::hog_looks && i < ms.n; i++) {
        if (next >= ms.n) next = 0;
        look_at_detached(ms.data[next++]);
    }
}

// SM4.
void stay_ahead_of_hogs(bool late, std::int64_t now) REQUIRES(retakelock) {
    static bool tried = false, ahead = false;
    static std::int64_t latest = 0;
    if (late) latest = now;
    const bool needed = now - latest < 2 * cfg::forced_retake || sched.nhogs > ncpu;
    if (needed == tried || !debug.hogidle || !kernel::idle_class_permitted()) return;
    tried = needed;
    // An error: sysmon stays as it is until the next time.
    if (tried) ahead = kernel::realtime_enter() == 0;
    else if (ahead) kernel::realtime_leave();
}

}  // namespace

void add_hog(m* mp) {
    if (++sched.nhogs > ncpu) set_idle_class(mp, true);
}

void see_to_hogs(bool late, std::int64_t now) {
    find_hogs(now);
    rotate_hogs(now);
    stay_ahead_of_hogs(late, now);
}

bool see_to_hogs_only(std::int64_t now) {
    guard l(retakelock);
    see_to_hogs(false, now);
    return sched.nhogs > ncpu && debug.hogidle && kernel::idle_class_permitted();
}

}  // namespace rt0::runtime
