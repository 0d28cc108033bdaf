// The run queues: a ring of 256 slots and one runnext per P, and the global queue; what has
// not run yet stands in sched/born.h and is reached through the functions here.
//
//   RQ1  runqtail and runq[tail..] are written only by the M that holds the P.
//   RQ2  runqhead moves only by CAS, by the owner and by thieves; a slot is read before
//        the CAS that takes it and its content used only if the CAS succeeds.
//   RQ3  0 <= tail - head <= size, modulo 2^32.
//   RQ4  only the owner makes runnext of null a G, and it is taken by CAS to null, so one taker gets it.
//   RQ5  a put to the global queue is visible before the putter looks for idle Ps (WK4); one
//        to a P's own queue soon after (WK6).
//   RQ6  runnext goes first, but not for ever: after runnext_inherit_max Gs in a row that
//        inherited the time slice, one from the ring runs if there is one, or in their turn a
//        newborn.  Else two goroutines that ready each other would shut them out.
//   RQ7  with one P there are no thieves (to steal takes a P), so what RQ2 and RQ4 do by CAS its
//        M does by plain stores.  The number of Ps changes only while the world is stopped.
//   RQ8  a short ring whose P runs a G every few hundred nanoseconds, be it from runnext, is left alone: to fetch one
//        from another processor takes as long as to run it, and its partners would follow through
//        every channel they share.  One G that runs longer ends that: thieves watch for 3 us, and
//        sysmon compares turns (has_backlog).
//   RQ9  of a crowd that no ring holds each has its turn: a ring that has gone round ring_laps times while as many wait
//        in the global queue goes to its end and is filled anew from its head.  So goroutines take turns in gangs,
//        whose memory the processor's caches hold, and a few milliseconds later all have had the same.  Nobody needs to be
//        woken for it: whoever made the global queue not empty saw to that (RQ5).
//
// Source: Go's proc.go (runqput, runqget, runqgrab, runqsteal).
#pragma once
#include "base/chaos.h"
#include "sched/sched.h"

namespace rt0::runtime {

bool runqempty(const p* pp);
// But for runnext; racy.
inline bool ring_empty(const p* pp) {
    // relaxed: a hint.
    return pp->runqtail.load(memory_order_relaxed) == pp->runqhead.load(memory_order_relaxed);
}

// The ring was full: all of it, and gp, go to the global queue, unless thieves make room.
void runqputslow(p* pp, g* gp);
// To the tail of the ring; false: it is full.
inline bool ring_put_fast(p* pp, g* gp) {
    // ORDER(runq-head): acquire; slots that thieves took are free to overwrite.
    std::uint32_t head = pp->runqhead.load(memory_order_acquire);
    std::uint32_t tail = pp->runqtail.load(memory_order_relaxed);  // relaxed: RQ1, our own
    if (tail - head >= cfg::runq_size) [[unlikely]] return false;
    pp->runq[tail % cfg::runq_size].store(gp, memory_order_relaxed);  // relaxed: published by the tail
    chaos_pause_debug(window::runq_put);
    // ORDER(runq-tail): release; pairs with the acquires of thieves (and WK6 for wakep).
    pp->runqtail.store(tail + 1, memory_order_release);
    return true;
}
// To the tail of the ring.  A full one goes to the global queue.
inline void ring_put(p* pp, g* gp) {
    if (!ring_put_fast(pp, gp)) [[unlikely]] runqputslow(pp, gp);
}

// In the place of the G that is in runnext, which goes to the tail.
void replace_runnext(p* pp, g* gp);

// next: into runnext, and the G that was there to the ring.
inline void runqput(p* pp, g* gp, bool next) {
    if (!next) return ring_put(pp, gp);
    // relaxed: what is there is passed on, and the exchange reads it again.
    if (pp->runnext.load(memory_order_relaxed) != nullptr) [[unlikely]] return replace_runnext(pp, gp);
    // ORDER(runnext): release; nobody else turns null into a G (RQ4); pairs with the CAS of whoever takes it.
    pp->runnext.store(gp, memory_order_release);
}

// By the time of their switch the context of the next but one and the stack of the next are in the cache, which matters
// when a crowd goes round.  At several Ps it brought nothing.
inline void warm_up_next(const p* pp, std::uint32_t head, std::uint32_t tail) {
    if (tail - head < 3) return;
    auto slot = [=](std::uint32_t i) { return pp->runq[i % cfg::runq_size].load(memory_order_relaxed); };  // relaxed: a hint
    auto warm_up = [](const char* from, int lines) {
        for (int i = 0; i < lines; i++) __builtin_prefetch(from + 64 * i);
    };
    warm_up(reinterpret_cast<const char*>(slot(head + 2)), 2);  // what a switch and a wake-up touch of it
    warm_up(reinterpret_cast<const char*>(slot(head + 1)->sched.sp), 4);  // the frames of a G that parked, with its sudog
}

inline g* ring_get(p* pp) {
    // ORDER(runq-head): acquire; pairs with thieves' releases.
    std::uint32_t head = pp->runqhead.load(memory_order_acquire);
    for (;;) {
        std::uint32_t tail = pp->runqtail.load(memory_order_relaxed);  // relaxed: RQ1
        if (head == tail) return nullptr;
        g* gp = pp->runq[head % cfg::runq_size].load(memory_order_relaxed);  // relaxed: RQ1, we wrote it
        if (one_p()) {  // RQ7
            // ORDER(runq-head): release; as below.
            pp->runqhead.store(head + 1, memory_order_release);
            warm_up_next(pp, head, tail);
            return gp;
        }
        chaos_pause_debug(window::runq_take);
        // ORDER(runq-head): acq_rel; the slot was read before it counts as free.
        if (pp->runqhead.compare_exchange_weak(head, head + 1, memory_order_acq_rel, memory_order_acquire)) return gp;
    }
}

// The next G shares the time slice of the one before.  In the middle of a chain of such nobody else gets a turn, not even
// from the global queue: it would cut short, round after round, whoever's turn falls on the same tick.
inline bool in_a_chain(const p* pp) {
    // relaxed: our own; a thief that takes it meanwhile ends the chain.
    return pp->inherited() < cfg::runnext_inherit_max && pp->runnext.load(memory_order_relaxed) != nullptr;
}

inline bool take_runnext(p* pp, g* next) {
    if (one_p()) {  // RQ7
        // ORDER(runnext): release; as below.
        pp->runnext.store(nullptr, memory_order_release);
        return true;
    }
    chaos_pause_debug(window::runnext_take);
    // ORDER(runnext): acq_rel; pairs with the puts in runqput and a thief's CAS.
    return pp->runnext.compare_exchange_strong(next, nullptr, memory_order_acq_rel, memory_order_relaxed);
}

// Where runnext is empty, or its turn is over.
g* runqget_rest(p* pp, bool* inherit);

// *inherit: the G came from runnext, or as BN6 has it, and shares the time slice.
[[gnu::always_inline]] inline g* runqget(p* pp, bool* inherit) {
    // relaxed: only this M fills runnext; thieves can only empty it, and the CAS tells.
    g* next = pp->runnext.load(memory_order_relaxed);
    if (next && pp->inherited() < cfg::runnext_inherit_max && take_runnext(pp, next)) [[likely]] {
        *inherit = true;
        return next;
    }
    return runqget_rest(pp, inherit);
}

// Takes half of p2's ring to pp's, or half of its newborns, or, if that is all and stealnext allows, its
// runnext; one of them to run.
g* runqsteal(p* pp, p* p2, bool stealnext);
// Number of Gs, racy.
std::uint32_t runqlen(const p* pp);
// Few of them, and no newborns that another P should take: RQ8, BN7, racy.
bool runqshort(const p* pp, std::int64_t now);

// ---- the global queue; sched.lock is held
void globrunqput(g* gp) REQUIRES(sched.lock);
void globrunqput_putoff(g* gp) REQUIRES(sched.lock);  // SY4
void globrunqputbatch(gqueue* batch, std::int32_t n) REQUIRES(sched.lock);
// The ring's turn is over (RQ9): it goes to the global queue's end.
bool runqrotate(p* pp) REQUIRES(sched.lock);
// One to run, and a fair share onto pp's ring, up to the first caller (max 0: no limit but that).
g* globrunqget(p* pp, std::int32_t max) REQUIRES(sched.lock);
// The first that is locked to an M (it is no caller); null: none is.
g* globrunqget_locked() REQUIRES(sched.lock);

}  // namespace rt0::runtime
