// Run queues; invariants RQ1-RQ9 in runq.h.
#include "sched/runq.h"

#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/born.h"
#include "sched/choose.h"

namespace rt0::runtime {

bool runqempty(const p* pp) {
    if (!born_empty(pp)) return false;
    // runqput kicks the old runnext to the ring: a look at head, tail and runnext one
    // after the other could miss a G on its way from one to the other.
    //
    //     looker                         putter
    //     head == tail (empty)
    //                                    ring gets old runnext, runnext = new
    //                                    ring is drained by a thief ...
    //     runnext == null
    //
    // so the three are taken as one only if tail did not move in between.
    for (;;) {
        // ORDER(runq-head): acquire; pairs with the release CASes that take.
        std::uint32_t head = pp->runqhead.load(memory_order_acquire);
        // ORDER(runq-tail): acquire; pairs with the release in runqput.
        std::uint32_t tail = pp->runqtail.load(memory_order_acquire);
        // ORDER(runnext): acquire; pairs with the puts in runqput.
        g* next = pp->runnext.load(memory_order_acquire);
        // ORDER(runq-tail): acquire; the same tail says no put came in between.
        if (tail == pp->runqtail.load(memory_order_acquire)) return head == tail && next == nullptr;
    }
}

std::uint32_t runqlen(const p* pp) {
    // relaxed: a number for heuristics and reports.
    std::uint32_t n = pp->runqtail.load(memory_order_relaxed) - pp->runqhead.load(memory_order_relaxed);
    return (n > cfg::runq_size ? 0 : n) + born_len(pp) + (pp->runnext.load(memory_order_relaxed) != nullptr);
}

bool runqshort(const p* pp, std::int64_t now) {
    const std::uint32_t born = born_len(pp);
    return (born == 0 || born_suffices(pp, now)) && runqlen(pp) <= cfg::short_queue + born;
}

namespace {

// Takes all between head and tail; false if thieves were there first.
bool empty_ring(p* pp, std::uint32_t head, std::uint32_t tail, gqueue* to) {
    // relaxed: the slots that this frees are only ours to fill again (RQ1), after we have read them.
    if (!pp->runqhead.compare_exchange_strong(head, tail, memory_order_relaxed, memory_order_relaxed)) return false;
    for (; head != tail; head++) to->push_back(pp->runq[head % cfg::runq_size].load(memory_order_relaxed));  // relaxed: RQ1
    return true;
}

}  // namespace

void replace_runnext(p* pp, g* gp) {
    // ORDER(runnext): acq_rel; pairs with the CAS of whoever takes it.
    if (g* old = pp->runnext.exchange(gp, memory_order_acq_rel)) ring_put(pp, old);
}

void runqputslow(p* pp, g* gp) {
    gqueue batch;
    for (;;) {
        if (ring_put_fast(pp, gp)) return;
        const std::uint32_t tail = pp->runqtail.load(memory_order_relaxed);  // relaxed: our own
        const std::uint32_t head = pp->runqhead.load(memory_order_relaxed);  // relaxed: the CAS makes sure
        if (tail - head > cfg::runq_size) runtime_throw("runqputslow: more than the ring holds");
        if (tail - head == cfg::runq_size && empty_ring(pp, head, tail, &batch)) break;
    }
    chaos_pause_debug(window::runq_overflow);
    batch.push_back(gp);
    guard l(sched.lock);
    globrunqputbatch(&batch, static_cast<std::int32_t>(cfg::runq_size) + 1);
}

bool runqrotate(p* pp) {
    // relaxed, all: our own, but for the head, of which the CAS makes sure, and runqsize, for sched.lock is held.
    std::uint32_t rounds = pp->schedtick.load(memory_order_relaxed) - pp->refilltick;
    std::uint32_t head = pp->runqhead.load(memory_order_relaxed), tail = pp->runqtail.load(memory_order_relaxed);
    std::uint32_t n = tail - head;
    auto waiting = static_cast<std::uint32_t>(sched.runqsize.load(memory_order_relaxed));
    if (n == 0 || rounds < cfg::ring_laps * n || waiting < n) return false;
    gqueue batch;
    if (!empty_ring(pp, head, tail, &batch)) return false;
    // Whoever stands in runnext has had its turn too, or its chain has (global_turn).  Left here it would be in the next
    // gang as well and, where all have turns of one length, in runnext again at its end.
    // relaxed: as in runqget.
    if (g* next = pp->runnext.load(memory_order_relaxed); next && take_runnext(pp, next)) {
        batch.push_back(next);
        n++;
    }
    globrunqputbatch(&batch, static_cast<std::int32_t>(n));
    return true;
}

namespace {

// A whole time slice has passed (BN5): the oldest newborn, every other time.
[[gnu::cold]] g* after_a_slice(p* pp) {
    pp->preempt.store(false, memory_order_relaxed);  // relaxed: a hint
    bool born = pp->born_next;
    pp->born_next = !born;
    g* gp = born ? born_get_oldest(pp) : nullptr;
    if (gp) pp->bornslices = pp->bornslices + 1;
    return gp;
}

// From the ring; one round in born_turn (BN4), and after a used-up slice, a newborn.
g* turn_get(p* pp) {
    if (pp->preempt.load(memory_order_relaxed)) [[unlikely]]  // relaxed: a hint, set by sysmon
        if (g* gp = after_a_slice(pp)) return gp;
    // relaxed: our own.
    if (pp->schedtick.load(memory_order_relaxed) % cfg::born_turn == 0)
        if (g* gp = born_get(pp)) return gp;
    return ring_get(pp);
}

// BN6: the newest newborn of a G that has left us since, within the same time slice.
g* child_of_last(p* pp) {
    if (!pp->bornfresh || pp->inherited() >= cfg::runnext_inherit_max) return nullptr;
    if (pp->preempt.load(memory_order_relaxed)) return nullptr;  // relaxed: a hint; the slice is used up
    pp->bornfresh = false;
    return born_get(pp);
}

}  // namespace

namespace {
// Somebody has a turn: RQ6, BN4 to BN6.
[[gnu::noinline]] g* runqget_turn(p* pp, g* next, bool* inherit) {
    *inherit = false;
    if (next && pp->inherited() >= cfg::runnext_inherit_max)
        if (g* gp = turn_get(pp)) return gp;  // RQ6
    *inherit = true;
    if (next && take_runnext(pp, next)) return next;
    if (g* gp = child_of_last(pp)) return gp;
    *inherit = false;
    if (g* gp = turn_get(pp)) return gp;
    return born_get(pp);
}
}  // namespace

g* runqget_rest(p* pp, bool* inherit) {
    g* next = pp->runnext.load(memory_order_relaxed);  // relaxed: as in runqget
    // relaxed: a hint, and our own tick.
    const bool turn = next || pp->bornfresh || pp->preempt.load(memory_order_relaxed) ||
                      pp->schedtick.load(memory_order_relaxed) % cfg::born_turn == 0;
    if (turn) [[unlikely]] return runqget_turn(pp, next, inherit);
    *inherit = false;
    if (g* gp = ring_get(pp)) return gp;
    return born_get(pp);
}

namespace {

// A G that was made ready a moment ago is most likely run next by its own P, which is
// about to park; only one that has been there for a while is worth taking away.
g* steal_runnext(p* p2) {
    // ORDER(runnext): acquire; pairs with the puts in runqput.
    g* next = p2->runnext.load(memory_order_acquire);
    if (!next) return nullptr;
    if (p2->status.load(memory_order_relaxed) == prunning) {  // relaxed: a hint
        const std::uint32_t turns = p2->turns;
        std::int64_t end = kernel::nanotime() + cfg::steal_runnext_spin;
        do {
            for (int i = 0; i < 8; i++) arch::cpu_relax();
            // Another, or the same again.
            if (p2->runnext.load(memory_order_relaxed) != next || p2->turns != turns) return nullptr;  // relaxed: the CAS decides
        } while (kernel::nanotime() < end);
    }
    chaos_pause_debug(window::runnext_take);
    // ORDER(runnext): acq_rel; RQ4, pairs with take_runnext's CAS.
    if (!p2->runnext.compare_exchange_strong(next, nullptr, memory_order_acq_rel, memory_order_relaxed)) return nullptr;
    return next;
}

// Copies half of p2's ring behind pp's tail; how many.  pp's tail is not moved yet.
std::uint32_t runqgrab(p* p2, p* pp, std::uint32_t pptail) {
    for (;;) {
        // ORDER(runq-head): acquire; pairs with other takers.
        std::uint32_t head = p2->runqhead.load(memory_order_acquire);
        // ORDER(runq-tail): acquire; pairs with the owner's put: the slots are filled.
        std::uint32_t tail = p2->runqtail.load(memory_order_acquire);
        std::uint32_t n = tail - head;
        n = n - n / 2;
        if (n == 0) return 0;
        if (n > cfg::runq_size / 2) continue;  // head and tail were read apart
        for (std::uint32_t i = 0; i < n; i++) {
            g* gp = p2->runq[(head + i) % cfg::runq_size].load(memory_order_relaxed);        // relaxed: RQ2
            pp->runq[(pptail + i) % cfg::runq_size].store(gp, memory_order_relaxed);         // relaxed: our tail publishes
        }
        chaos_pause_debug(window::runq_grab);
        // ORDER(runq-head): acq_rel; RQ2, the reads above are done before the slots are free.
        if (p2->runqhead.compare_exchange_strong(head, head + n, memory_order_acq_rel, memory_order_relaxed)) return n;
    }
}

// RQ8, of one whose ring is not empty.
bool gets_through_alone(const p* p2) {
    auto is_long = [p2] {
        // relaxed: a hint.
        return p2->runqtail.load(memory_order_relaxed) - p2->runqhead.load(memory_order_relaxed) > cfg::short_queue;
    };
    if (p2->status.load(memory_order_relaxed) != prunning || is_long()) return false;  // relaxed: a hint
    const std::uint32_t first = p2->turns;
    const std::int64_t end = kernel::nanotime() + cfg::brisk_ns;
    do {
        for (int i = 0; i < 16; i++) arch::cpu_relax();
        if (p2->turns - first >= cfg::brisk_gs) return true;
        if (is_long()) return false;
    } while (kernel::nanotime() < end);
    return false;
}

}  // namespace

g* runqsteal(p* pp, p* p2, bool stealnext) {
    std::uint32_t tail = pp->runqtail.load(memory_order_relaxed);  // relaxed: RQ1
    const bool empty = ring_empty(p2);  // what comes in the next moment has not been watched
    bool alone = !empty && gets_through_alone(p2);
    if (by_seed()) chance_of_theft(&alone, &stealnext);
    pp->left_ring |= alone;
    std::uint32_t n = empty || alone ? 0 : runqgrab(p2, pp, tail);
    if (n == 0) {
        if (g* gp = born_steal(pp, p2)) return gp;
        return stealnext ? steal_runnext(p2) : nullptr;
    }
    n--;
    g* gp = pp->runq[(tail + n) % cfg::runq_size].load(memory_order_relaxed);  // relaxed: written by us
    if (n == 0) return gp;
    // ORDER(runq-head): acquire; our own ring was empty, nobody can have filled it.
    std::uint32_t head = pp->runqhead.load(memory_order_acquire);
    if (tail - head + n >= cfg::runq_size) runtime_throw("runqsteal: queue overflow");
    // ORDER(runq-tail): release; the copied slots are published to other thieves.
    pp->runqtail.store(tail + n, memory_order_release);
    return gp;
}

void globrunqput(g* gp) {
    sched.runq.push_back(gp);
    if (gp->caller) sched.ncallers.fetch_add(1, memory_order_relaxed);  // relaxed: SY4's hint
    // ORDER(wake): seq_cst; visible before wakep reads nmspinning (find.cc).
    sched.runqsize.fetch_add(1, memory_order_seq_cst);
}

g* globrunqget_locked() {
    g* gp = sched.runq.pop_locked();
    if (gp) sched.runqsize.fetch_sub(1, memory_order_relaxed);  // relaxed: readers without the lock only take a hint
    return gp;
}

void globrunqput_putoff(g* gp) {
    if (sched.putoff.empty()) sched.putoff_next = false;  // it would go before all that it is put off for
    sched.putoff.push_back(gp);
    gp->caller = true;
    sched.ncallers.fetch_add(1, memory_order_relaxed);  // relaxed: SY4's hint
    // ORDER(wake): seq_cst; as above.
    sched.runqsize.fetch_add(1, memory_order_seq_cst);
}

void globrunqputbatch(gqueue* batch, std::int32_t n) {
    sched.runq.push_back_all(*batch);
    *batch = {};
    // ORDER(wake): seq_cst; as above.
    sched.runqsize.fetch_add(n, memory_order_seq_cst);
}

namespace {
// SY4: those whose calls were put off and the others take turns.
g* globrunqpop() REQUIRES(sched.lock) {
    const bool putoff = sched.putoff_next ? !sched.putoff.empty() : sched.runq.empty();
    sched.putoff_next = !putoff;
    g* gp = (putoff ? sched.putoff : sched.runq).pop();
    if (!gp->caller) return gp;
    gp->caller = false;
    sched.ncallers.fetch_sub(1, memory_order_relaxed);  // relaxed: SY4's hint
    return gp;
}
}  // namespace

g* globrunqget(p* pp, std::int32_t max) {
    std::int32_t size = sched.runqsize.load(memory_order_relaxed);  // relaxed: sched.lock is held
    if (size == 0) return nullptr;
    std::int32_t n = size / gomaxprocs_now.load(memory_order_relaxed) + 1;  // relaxed: changes only in a stopped world
    if (n > size) n = size;
    if (max > 0 && n > max) n = max;
    if (max == 0) pp->refilltick = pp->schedtick.load(memory_order_relaxed);  // relaxed: our own
    if (n > static_cast<std::int32_t>(cfg::runq_size / 2)) n = cfg::runq_size / 2;
    // All but the first go into the ring, which must not overflow: that would want sched.lock.
    // relaxed: our own tail; a head that is old makes the room seem smaller.
    std::uint32_t used = pp->runqtail.load(memory_order_relaxed) - pp->runqhead.load(memory_order_relaxed);
    if (auto room = static_cast<std::int32_t>(cfg::runq_size - used); n > room + 1) n = room + 1;
    g* gp = globrunqpop();
    std::int32_t taken = 1;  // no callers among the rest: they would wait in the ring while a call blocks the P
    for (; taken < n && sched.runq.head && !sched.runq.head->caller; taken++) runqput(pp, sched.runq.pop(), false);
    sched.runqsize.fetch_sub(taken, memory_order_relaxed);  // relaxed: readers without the lock only take a hint
    return gp;
}

}  // namespace rt0::runtime
