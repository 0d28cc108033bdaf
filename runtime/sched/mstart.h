// Making, starting and ending Ms.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// A new M that runs fn (or nothing) and then schedules with pp.  Dies with Go's text
// when the thread cannot be had.
void newm(void (*fn)(), p* pp);
void newm_sysmon();
// The M alone, without a thread.
m* allocm(void (*fn)());
// Go's fatal text when there are more Ms than sched.maxmcount.  sched.lock is held.
void checkmcount();
// Id, limit, signal stack, random state, publication on allm.
void mcommoninit(m* mp);
// On the thread of mp: what every thread of the runtime needs.
void minit(m* mp);
// Runs schedule() on the current stack, below the caller's frame.  Returns after mexit.
void mstart(m* mp);
// On g0: the thread ends.  The P is handed off.
[[noreturn]] void mexit();

}  // namespace rt0::runtime
