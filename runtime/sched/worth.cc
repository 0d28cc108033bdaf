// Which wake-ups are worth it; WK7 and WK8 in worth.h.
#include "sched/worth.h"

#include <algorithm>

#include "sched/runq.h"

namespace rt0::runtime {

void wake_was_wasted() {
    std::uint32_t b = sched.wake_backoff.load(memory_order_relaxed);  // relaxed: a heuristic
    if (b < cfg::wake_backoff_max) sched.wake_backoff.store(2 * b + 1, memory_order_relaxed);
}

void note_theft(m* mp, const p* from) {
    // relaxed: a hint.
    if (from->status.load(memory_order_relaxed) == prunning) {
        mp->stolewhen = kernel::nanotime();
        return;
    }
    mp->wakecounted = true;  // who is in a call would not have run it
    wakes_pay();
}

void judge_theft(m* mp) {
    const bool paid = kernel::nanotime() - mp->stolewhen >= cfg::theft_worth;
    mp->stolewhen = 0;
    mp->wakecounted = true;
    if (paid) return wakes_pay();
    wake_was_wasted();
    if (mp->vain_spins < cfg::vain_spins_max) mp->vain_spins++;
}

void wakes_pay() {
    // relaxed: a heuristic.  Read first: the line is shared by all who wake.
    if (sched.wake_backoff.load(memory_order_relaxed) != 0) sched.wake_backoff.store(0, memory_order_relaxed);
}

bool brisk(p* pp, std::int64_t now) {
    const std::uint32_t turns = pp->turns;
    std::int64_t ran = turns - pp->backlogturns, took = now - pp->backlogwhen;
    pp->backlogturns = turns;
    pp->backlogwhen = now;
    const bool lone = ring_empty(pp) && born_empty(pp);
    return ran * (lone ? cfg::steal_runnext_spin : cfg::brisk_ns / cfg::brisk_gs) > took && runqshort(pp, now);
}

bool begin_timer_batch(std::int64_t now) {
    p* pp = getg()->mp->pp;
    if (pp->batchwhen == 0) {
        pp->batchwhen = now;
        pp->batchturns = pp->turns;
    }
    // relaxed, all: sysmon's are hints, and what we have put into the global queue ourselves we see.
    const std::uint32_t n = runqlen(pp);
    bool alone = n * pp->turn_ns < cfg::alone_ns && sched.runqsize.load(memory_order_relaxed) == 0;
    if (alone && n > cfg::short_queue && !sched.sysmonwanted.load(memory_order_relaxed))
        sched.sysmonwanted.store(true, memory_order_relaxed);
    alone = alone && sched.sysmonnext.load(memory_order_relaxed) - now < cfg::alone_look;
    pp->suffices = alone;
    return alone;
}

void measure_turns(p* pp, std::int64_t now) {
    if (pp->batchwhen == 0) return;
    const std::uint32_t ran = pp->turns - pp->batchturns;
    if (ran) pp->turn_ns = std::min<std::int64_t>((now - pp->batchwhen) / ran, INT32_MAX);
    pp->batchwhen = 0;
}

bool own_work_is_all(p* pp) {
    if (!pp->suffices) return false;
    const std::int32_t ps = gomaxprocs_now.load(memory_order_relaxed);  // relaxed: changes only in a stopped world
    // ORDER(wake): seq_cst; WK5: read after we stopped counting as a spinner.
    return sched.npidle.load(memory_order_seq_cst) == static_cast<std::uint32_t>(ps - 1);
}

}  // namespace rt0::runtime
