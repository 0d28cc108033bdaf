// Which G is next, where a seed has a say in it: RT0DEBUG=schedseed=N (base/seeded.h) and chaos=SEED (base/chaos.h).
//
//   CZ1  schedseed: any G that is queued, each as likely; but of the newborns mostly the newest, so that trees are
//        walked in depth (sched/born.h).  At both edges of a call of the program's (a point) the seed says whether its
//        goroutine yields, as often as the seed says: a program's races show at different rates.
//   CZ2  schedseed: whoever runs G starts it with random numbers of the seed's, for which M that is depends on
//        when threads wake.
//   CZ3  chaos: what runqget would take, but now and then runnext goes to the end of the ring, the global queue has a turn, the
//        G is asked to yield soon, and thieves take a runnext or leave a ring alone whatever RQ8 says.  As in rr's chaos
//        mode some Gs, and some Ps, are starved for a while: a G is passed over while others wait, a P pauses before a round.
//   CZ4  Starvation is bounded: in every second spell of rounds there is none, and of chaos_pass_over Gs in a row one runs.
//
// Off it costs nothing where one G switches to the next: there sched.detour is read, in place of gcwaiting.
// Source: R. O'Callahan, "Introducing rr Chaos Mode" (2016), rr-project.org.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

extern bool seed_chooses;  // [const] once RT0DEBUG is read
inline bool by_seed() { return seed_chooses; }

// RT0DEBUG is read.
void choose_start();
// By seed: a G of pp, the caller's, or of the global queue; null: there is none, or (chaos) it should be looked for elsewhere.
g* choose(p* pp, bool* inherit);
// By seed: gp was chosen.
void picked(g* gp);
// By seed: timers are due, or it is a turn of something else's, and gopark must go to schedule() first.
bool round_is_due(p* pp);
// chaos, before a round: is pp starved?
void starve(p* pp);
// chaos: whether a thief leaves a ring alone, and whether it takes a runnext.
void chance_of_theft(bool* alone, bool* stealnext);
// schedseed, inside the runtime at the edge of a call: gp, which runs, may yield.
void seeded_point(g* gp);

// Hash of the ids of the Gs chosen so far: two runs with the same have had the same schedule.
std::uint64_t seeded_hash();

}  // namespace rt0::runtime
