// The retake handshake: taking the P from an M that runs user code, without a signal.
//
// An M runs either runtime code (m.inrt is 1) or user code (0).  User code may block in the
// kernel or loop without end; it holds nothing of the scheduler's but its P, so the P can be
// taken from under it: the G becomes `detached` and goes on as a plain thread would, until it
// next enters the runtime and needs a P again.
//
//     M enters the runtime                     requester (sysmon, stop-the-world), holding retakelock
//     --------------------                     ------------------------------------------------------
//     inrt = 1            (plain store)        retake: none -> wanted, and bits      (on each M concerned)
//     compiler barrier                         membarrier()                          (once for all of them)
//     read retake                              read inrt
//       none: go on                              1: wanted -> none; the bits stay for M
//       wanted: CAS to none, go on               0: CAS wanted -> taking; M stands in user code or waits:
//       taking: wait for taken or none              books: G running -> detached, P from M to the requester
//       taken: find a P, then none                  taken, and wake M if it waits
//                                                later, perhaps: taken -> taking, M has its P back, none
//     ...                                           the P goes to another M, or is stopped
//     inrt = 0            (release store)
//     compiler barrier
//     read retake: preempt or stop? yield
//
//   RK1  Store buffering: M's store of inrt and its read of retake stand in program order, and
//        the membarrier puts a full barrier between them or before them or after them on M's
//        processor.  So not both `M reads retake without wanted` and `the requester reads inrt
//        0 though M is inside` can be.  Without membarrier (fence bit: refused, or TSan, which cannot
//        see it) both sides use seq_cst read-modify-writes instead.
//   RK2  The phase: only a holder of retakelock writes wanted, taking and taken; M itself
//        turns taken to none, by a compare-and-swap, for a requester may go back to taking; wanted goes to none by
//        either.  So an M meets one requester at a time.
//   RK3  Between taking and taken M does not leave the entry or user code, and only the
//        requester touches m.pp, m.oldp, m.curg's status and p.mp.  So it is where a requester turns taken to taking,
//        gives M its P, and turns that to none: M's acquire at the entry sees those books.
//   RK4  The exit's look at retake is for the bits: a requester that saw inrt 1 has set `stop`
//        before, so M sees it at its exit or the requester saw the exit's inrt 0.
//   RK5  Where p.mp is read it may be old: what it led to is checked again in `taking`, when
//        M stands still, and undone (none) when it does not hold the P any more.
//
//   RK6  An M is in a round at most once: it may have declined since it was wanted, and run another P
//        by the time the requester gets to that one.  And it stays an M until the round is over: who
//        frees an m passes through retakelock first (bury_freem), when no p.mp leads to it any more.  p.stopped may
//        (SC3), but only while the world stands, when no M ends, and under retakelock.
//
// Costs on M's side: a store, a load and a branch each way.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// Registers for membarrier; null, or why it cannot be had (boot trace).
const char* retakeinit();
// What the retake word of a new M, or of one that starts anew, holds.
std::uint32_t retake_initial();

// ---- the requester; holds retakelock
// Step 1.  False: M is in a phase or in this round already.
bool retake_want(m* mp, std::uint32_t bits) REQUIRES(retakelock);
// Step 2, after the last want.
void retake_fence() REQUIRES(retakelock);
// Step 3.  M's P: M stands still, and is the caller's until retake_detach or retake_release.  Null: not
// this time.
p* retake_begin(m* mp) REQUIRES(retakelock);
// Step 4: M's G is detached, pp has no M.  pp's status is the caller's to set: `to`.
void retake_detach(m* mp, p* pp, pstatus to) REQUIRES(retakelock);
// Or: it goes on with its P.
void retake_release(m* mp) REQUIRES(retakelock);
// Much later, for a P that nobody has had since: M goes on with it, as if nothing had been.  False: M is back without it, or a hog.
bool retake_return(m* mp, p* pp) REQUIRES(retakelock);

// Later: M's thread computes without its P.  False: it is back, or that is known.
bool retake_mark_hog(m* mp) REQUIRES(retakelock);
// It blocks by now.  False: it is back.
bool retake_unmark_hog(m* mp) REQUIRES(retakelock);

// ---- M
// At the entry: waits while the phase is taking.
void retake_wait(m* mp);
// It was marked a hog (rt_hog), and the phase is over: it runs on as others do.
void retake_end_hog(m* mp);

// Was M made SCHED_IDLE (SM3), or is about to be?  relaxed: by M itself, or under retakelock.
inline bool made_idle_class(const m* mp) { return (mp->idle_class_changes.load(memory_order_relaxed) & 1) != 0; }
// M is about to be given the class, or it was taken from it.
void count_idle_class(m* mp) REQUIRES(retakelock);

}  // namespace rt0::runtime
