// The newborns of a P: goroutines that have not run yet.
//
// Their owner takes the newest, thieves take the oldest half.  So a tree of goroutines
// is walked in depth, and what is alive at a time is a path of it and not a level: skynet
// with a million leaves peaks at 6 MB resident, and a new goroutine mostly gets the stack that
// was left last.  Goroutines that were made ready or yielded stand in
// the ring, first come first served; they go before newborns, since to finish what has
// begun frees memory.
//
//   BN1  borntail and born[tail..] are written only by the M that holds the P; it lowers
//        borntail only under bornlock, and raises it without.
//   BN2  bornhead moves only under bornlock; so whoever holds that may copy the slots
//        from head to a tail read once, even while the owner adds more behind them.
//   BN3  0 <= tail - head <= size, modulo 2^32.
//   BN4  Nobody starves: one in born_oldest that the owner takes is its oldest (in a crowd,
//        one in born_oldest_crowded), one round in born_turn looks here before the ring, and
//        what does not fit goes to the global queue, oldest first, which has its own turn.
//        Where turns are long so many are a long time: sysmon adds up the ticks, a millisecond each at most, in which others
//        had turns and the oldest did not move, or by BN5 only; from born_late on one in born_oldest_late is the oldest, until
//        all that waited then have had their turn.
//   BN5  Turns are counted in rounds, and beside goroutines that use up their time slice a
//        round takes a slice each: so every other pick after a slice that was used up is the
//        oldest newborn.  The picks between are the ring's, or endless newborns would
//        shut it out.
//   BN6  "Start it and wait for it" must not take longer beside others that are busy: when a
//        G that started goroutines parks, the last of them goes before the ring and inherits
//        the time slice, as Go's runnext has it, within RQ6's bound.
//   BN7  Who starts a thousand that do next to nothing and waits for them is done sooner alone: to steal one moves its G, its
//        stack and often the starter to another processor's cache, which takes longer than its turn.  So where it took
//        less than crowd_turn_ns to start and run each of the last crowd (half as much again where the one before was brisk,
//        a third for those that thieves shared), no M is woken for newborns and thieves leave them alone, for crowd_alone_ns
//        after that one's end and the next one's beginning; if sysmon looks soon, who mends what that misjudges (WK6).  A
//        narrow tree, walked in depth, is no crowd.
// With one P nobody steals, and its M does without the lock (RQ7).
// The lock is held for a few instructions, by a thief for as many stores as it takes Gs;
// it is a leaf, and nothing sleeps on it.  A deque without one (Chase and Lev, 2005) gives
// a thief one G at a time: too slow where a batch of tiny ones waits.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

inline std::uint32_t born_len(const p* pp) {
    // ORDER(born-tail): acquire; pairs with the release in born_put.
    std::uint32_t tail = pp->borntail.load(memory_order_acquire);
    std::uint32_t n = tail - pp->bornhead.load(memory_order_relaxed);  // relaxed: a hint while the P runs, exact when it is ours
    return n > cfg::born_size ? 0 : n;                                // read apart: head has passed this tail
}

inline bool born_empty(const p* pp) { return born_len(pp) == 0; }

// BN7, of a crowd of `all` that was over after `took` ns: its starter ran so many of them, so many Ps are at work, and the
// crowd before was brisk or not.
bool crowd_was_brisk(std::int64_t took, std::int64_t all, std::int64_t ran, std::int64_t busy, bool before);
// BN7, racy.
bool born_suffices(const p* pp, std::int64_t now);

// Into pp's deque, pp being the caller's.  Half of a full one goes to the global queue.
void born_put(p* pp, g* gp);
// One of the caller's own, or null.
g* born_get(p* pp);
// The oldest of the caller's own, or null.
g* born_get_oldest(p* pp);
// BN4, by sysmon, before it looks at pp's backlog: has the oldest stood there for too long?
void born_look(p* pp, std::int64_t now);
// Takes the oldest half of p2's to pp's; one of them to run, or null.
g* born_steal(p* pp, p* p2);

}  // namespace rt0::runtime
