// Goroutines locked to their thread.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// The calling M waits until its locked G is runnable and it was handed a P.  True: with what is left of a time slice.
bool stoplockedm();
// One M more (or less) that waits for its locked G: such Ms do not count as running for checkdead.
void incidlelocked(std::int32_t d);
// Hands the calling M's P to the M that gp is locked to, and stops the calling M.  inherit: gp goes on in the time slice
// of the one before it.
void startlockedm(g* gp, bool inherit);
// A locked goroutine ended: its thread ends with it.  Does not return.
[[noreturn]] void mexit_locked();

}  // namespace rt0::runtime
