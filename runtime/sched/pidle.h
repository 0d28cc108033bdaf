// Idle Ms and Ps: parting them, tying them, putting them to sleep and waking them.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// ---- lists; sched.lock is held
void pidleput(p* pp) REQUIRES(sched.lock);
p* pidleget() REQUIRES(sched.lock);
void mput(m* mp) REQUIRES(sched.lock);
m* mget() REQUIRES(sched.lock);
bool idle_ms_in_surplus() REQUIRES(sched.lock);  // more than are worth keeping
m* mget_surplus() REQUIRES(sched.lock);  // those that are not worth keeping, through schedlink
p* starved_p() REQUIRES(sched.lock);     // one that was left idle for want of an M (ID4)
// An M less, or a higher limit: who was left idle for want of one gets it (ID4).
void room_for_m();

// ---- tying an M and a P
void acquirep(p* pp);    // to the calling M; flushes a stale mcache
p* releasep();           // from the calling M; the P is idle afterwards, on no list

// Puts the calling M (without P) on the idle list and sleeps until startm gives it one.
// An M that nobody wants for long ends instead (ID3).
void stopm();
// Runs pp (null: an idle one, if there is) on an idle M or a new one, or that of a locked goroutine that waits (ID4).
// spinning: the caller counted one in nmspinning; it is passed on, or taken back if there is no P.  optional: it may be
// left idle, whoever comes.
void startm(p* pp, bool spinning, bool optional);
inline void startm(p* pp, bool spinning) { startm(pp, spinning, !pp); }
// After a restart: pp with work, to its own M if it has one waiting.
void startm_for(p* pp);
// An idle M for a P that its caller is about to take, off the list; null when none is idle.  Then one of
// the others: it gets pp, or goes back.
m* reserve_m();
void startm_reserved(m* heir, p* pp);
void unreserve_m(m* heir);
// Finds somebody for a P whose M leaves it (system call, locked goroutine), or idles it.
// Starts an M in every situation in which findrunnable would find work for pp.
void handoffp(p* pp);

}  // namespace rt0::runtime
