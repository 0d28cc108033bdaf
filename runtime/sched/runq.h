// The run queues: a ring of 256 slots and one runnext per P, and the global queue; what has
// not run yet stands in sched/born.h and is reached through the functions here.
//
//   RQ1  runqtail and runq[tail..] are written only by the M that holds the P.
//   RQ2  runqhead moves only by CAS, by the owner and by thieves; a slot is read before
//        the CAS that takes it and its content used only if the CAS succeeds.
//   RQ3  0 <= tail - head <= size, modulo 2^32.
//   RQ4  runnext is taken by exchange or CAS to null, so one taker gets it.
//   RQ5  a put to the global queue is visible before the putter looks for idle Ps (WK4); one
//        to a P's own queue soon after (WK6).
//   RQ6  runnext goes first, but not for ever: after runnext_inherit_max Gs in a row that
//        inherited the time slice, one from the ring runs if there is one, or in their turn a
//        newborn.  Else two goroutines that ready each other would shut them out.
//
// Source: Go's proc.go (runqput, runqget, runqgrab, runqsteal).
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

bool runqempty(const p* pp);
// next: into runnext, and the G that was there goes to the tail.  Half of a full ring
// goes to the global queue.
void runqput(p* pp, g* gp, bool next);
// *inherit: the G came from runnext and shares the time slice.
g* runqget(p* pp, bool* inherit);
// Takes half of p2's ring to pp's, or half of its newborns, or, if that is all and stealnext allows, its
// runnext; one of them to run.
g* runqsteal(p* pp, p* p2, bool stealnext);
// Number of Gs, racy.
std::uint32_t runqlen(const p* pp);

// ---- the global queue; sched.lock is held
void globrunqput(g* gp);
void globrunqputbatch(gqueue* batch, std::int32_t n);
// One to run, and a fair share onto pp's ring (max 0: no limit but that).
g* globrunqget(p* pp, std::int32_t max);

}  // namespace rt0::runtime
