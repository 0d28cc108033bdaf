// The requester's side of the retake handshake, and M's waiting; RK1-RK5 in retake.h.
#include "sched/retake.h"

#include <cerrno>
#include <utility>

#include "base/chaos.h"
#include "base/forked.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/activity.h"
#include "kernel_if/futex.h"
#include "kernel_if/membarrier.h"
#include "sched/probe.h"

namespace rt0::runtime {

constinit mutex retakelock{lock_rank::retake};

namespace {

bool have_membarrier = false;  // [const] after boot

// Turns the phase of mp's word from `from` to `to`, keeping the other bits.  False: it is not in `from`.
bool turn(m* mp, std::uint32_t from, std::uint32_t to) {
    chaos_pause(window::retake_turn);
    std::uint32_t r = mp->retake.load(memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if ((r & rt_phase) != from) return false;
        // ORDER(retake): seq_cst; RK1, RK2: pairs with the entry's read and M's CAS; the books are published by
        // the turn to taken.
    } while (!mp->retake.compare_exchange_weak(r, (r & ~rt_phase) | to, memory_order_seq_cst, memory_order_relaxed));
    return true;
}

// From taking to where M may go on.
void finish(m* mp, std::uint32_t to) {
    chaos_pause(window::retake_finish);
    std::uint32_t r = mp->retake.load(memory_order_relaxed);  // relaxed: the CAS decides
    // ORDER(retake): seq_cst; the books are done before M sees `taken`; pairs with the acquire at the entry.
    while (!mp->retake.compare_exchange_weak(r, (r & ~(rt_phase | rt_waiting)) | to, memory_order_seq_cst,
                                             memory_order_relaxed)) {}
    if (r & rt_waiting) wake_sleeper(&mp->retake);
}

}  // namespace

const char* retakeinit() {
#ifdef RT0_TSAN
    return "ThreadSanitizer cannot see membarrier: each crossing is fenced";
#else
    have_membarrier = kernel::membarrier_register() == 0;
    local_gstatus = have_membarrier && arch::has_local_cas;  // GS4
    return have_membarrier ? nullptr : "membarrier refused: each crossing is fenced";
#endif
}

std::uint32_t retake_initial() {
    std::uint32_t r = rt_live | (have_membarrier ? rt_none : rt_fence);
    if (seeded()) r |= rt_points;
    // relaxed: mcommoninit looks again when the M can be found.
    return sched.exiting.load(memory_order_relaxed) ? r | rt_exiting : r;
}

bool retake_want(m* mp, std::uint32_t bits) {
    // ORDER(retake): seq_cst; the bits stand before inrt is read (RK4), membarrier or not.
    if (bits) mp->retake.fetch_or(bits, memory_order_seq_cst);
    if (mp->inround) return false;  // RK6
    return mp->inround = turn(mp, rt_none, rt_wanted);
}

void retake_fence() {
    chaos_pause(window::retake_fence);
    if (have_membarrier && kernel::membarrier_all() < 0) runtime_throw("membarrier failed after it was registered");
    chaos_pause(window::retake_fence);
}

p* retake_begin(m* mp) {
    mp->inround = false;
    // ORDER(inrt): seq_cst; RK1; acquire: what M did before it left the runtime is visible.
    if (mp->inrt.load(memory_order_seq_cst) != 0 || !turn(mp, rt_wanted, rt_taking)) {
        turn(mp, rt_wanted, rt_none);  // RK2: or M did that itself
        return nullptr;
    }
    chaos_pause(window::retake_taking);
    p* pp = mp->pp;
    g* gp = mp->curg;
    // relaxed: M stands still (RK3).
    if (pp && pp->status.load(memory_order_relaxed) == prunning && gp && readgstatus(gp) == grunning) return pp;
    retake_release(mp);  // RK5
    return nullptr;
}

void retake_detach(m* mp, p* pp, pstatus to) {
    mp->curg->waitsince = sched.waitclock.load(memory_order_relaxed);  // relaxed: for "[running, detached, 5 minutes]"
    casgstatus(mp->curg, grunning, gdetached);
    RT0_PROBE_WITH(retake, mp->curg->goid, mp->id, pp->id, to == pgcstop ? 3 : mp->hog ? 2 : 1);
    mp->oldp = pp;
    mp->detachedruns = 0;
    chaos_pause(window::retake_books);
    mp->pp = nullptr;
    chaos_pause(window::retake_books);
    pp->mp = nullptr;
    // relaxed: tells whoever compares ticks that the P was away.
    pp->syscalltick.fetch_add(1, memory_order_relaxed);
    // ORDER(pstatus): release; pairs with the acquire in wirep.
    pp->status.store(to, memory_order_release);
    chaos_pause(window::retake_books);
    finish(mp, mp->hog ? rt_taken | rt_hog : rt_taken);
}

bool retake_return(m* mp, p* pp) {
    if (mp->hog || !turn(mp, rt_taken, rt_taking)) return false;
    chaos_pause(window::retake_taking);
    if (mp->oldp != pp) {  // back since, and lost another: not where retakelock was held since the world stood (start_the_world)
        finish(mp, rt_taken);
        return false;
    }
    casgstatus(mp->curg, gdetached, grunning);
    mp->oldp = nullptr;
    mp->pp = pp;
    chaos_pause(window::retake_books);
    pp->mp.publish(mp);
    // ORDER(pstatus): release; whoever finds it running and goes by p.mp.
    pp->status.store(prunning, memory_order_release);
    // relaxed: the world goes on, there is nothing to yield for; finish() comes after.
    mp->retake.fetch_and(~std::uint32_t{rt_stop}, memory_order_relaxed);
    finish(mp, rt_none);
    return true;
}

bool retake_mark_hog(m* mp) {
    std::uint32_t r = mp->retake.load(memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if ((r & (rt_phase | rt_hog)) != rt_taken) return false;
        chaos_pause(window::retake_hog);
        // ORDER(retake): acq_rel; RK2: M ends the phase in one step with the mark, so it sees it or this fails.
    } while (!mp->retake.compare_exchange_weak(r, r | rt_hog, memory_order_acq_rel, memory_order_relaxed));
    mp->hog = true;
    sched.nhogs++;
    return true;
}

bool retake_unmark_hog(m* mp) {
    std::uint32_t r = mp->retake.load(memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if ((r & (rt_phase | rt_hog)) != (rt_taken | rt_hog)) return false;  // it comes back, and ends it (retake_end_hog)
        chaos_pause(window::retake_hog);
        // ORDER(retake): acq_rel; RK2: as in retake_mark_hog.
    } while (!mp->retake.compare_exchange_weak(r, r & ~std::uint32_t{rt_hog}, memory_order_acq_rel, memory_order_relaxed));
    mp->hog = false;
    sched.nhogs--;
    return true;
}

void retake_release(m* mp) { finish(mp, rt_none); }

// False, once per process: it cannot leave SCHED_IDLE.
static bool end_hog(m* mp) {
    guard l(retakelock);
    mp->hog = false;
    sched.nhogs--;
    if (!made_idle_class(mp)) return true;
    int rc = kernel::idle_class_leave(mp->tid);  // again, for a turn that ended in between
    chaos_pause(window::retake_hog);
    if (rc == 0 || rc == -EINVAL) {  // EINVAL: it has left
        count_idle_class(mp);
        return true;
    }
    sched.stuck_idle = true;  // sysmon may have the right
    static bool said GUARDED_BY(retakelock) = false;
    return std::exchange(said, true);
}

void retake_end_hog(m* mp) {
    // Before the lock: sysmon and stoppers are not to wait for one that the idle hold.
    if (made_idle_class(mp)) kernel::idle_class_leave(mp->tid);
    chaos_pause(window::retake_hog);
    // The lock is not held over a write, which may wait for who reads.
    if (!end_hog(mp)) warn("a thread cannot leave SCHED_IDLE any more and may starve");
}

void count_idle_class(m* mp) {
    // ORDER(idle-class): seq_cst fences; FO5: the kernel's change of class stands between two counts.
    // It is no atomic access of ours, which a read-modify-write would order.
    atomic_thread_fence(memory_order_seq_cst);
    auto& n = mp->idle_class_changes;
    n.store(n.load(memory_order_relaxed) + 1, memory_order_relaxed);  // relaxed: the fences
    atomic_thread_fence(memory_order_seq_cst);  // ORDER(idle-class): as above
}

void retake_wait(m* mp) {
    for (int i = 0;; i++) {
        // ORDER(retake): acquire; pairs with finish().
        std::uint32_t r = mp->retake.load(memory_order_acquire);
        if ((r & rt_phase) != rt_taking) return;
        if (i < cfg::retake_spin) {
            arch::cpu_relax();
            continue;
        }
        // relaxed: the futex compares the word; its waker sees the bit or the word has changed.
        if (!(r & rt_waiting) &&
            !mp->retake.compare_exchange_weak(r, r | rt_waiting, memory_order_relaxed, memory_order_relaxed))
            continue;
        forked_child_check();
        chaos_pause(window::retake_wait);
        kernel::futex_wait(&mp->retake, r | rt_waiting, -1);  // whatever it returns, the word tells
    }
}

}  // namespace rt0::runtime
