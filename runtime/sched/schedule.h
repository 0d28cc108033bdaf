// One round of the scheduler.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// On g0, with a P (or locked): finds a goroutine and runs it.  Does not return.
[[noreturn]] void schedule();
// Runs gp on this M.  Does not return.
[[noreturn]] void execute(g* gp, bool inherit);
// Gives the P up for a stop-the-world and sleeps until it is over.
void gcstopm();
// Asks the goroutine that runs on pp to yield at its next exit from the runtime.
void preemptone(p* pp);

// ---- the world.  One at a time: world_acquire, on a goroutine, parks until nobody else
// is at it.  Between stop and start the caller keeps its P and must not park.
void world_acquire();
void world_release();
void stop_the_world();
void start_the_world();

}  // namespace rt0::runtime
