// The template thread: makes the threads that others must not make, and buries Ms.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// At boot, from a thread nobody has altered.
void start_template_thread();

// mp, complete but for its thread, gets one.
void hand_newm_off(m* mp);
// An M ended: its stacks want to be freed when its thread is gone.
void order_burial();
// gomaxprocs shrank, and with it the number of idle Ms worth keeping.
void order_trim();

// Asks for n Ms at least on the idle list (sched.midle), once.  Any thread of the
// runtime, whatever it holds; returns at once, allocates nothing.
void want_spare_ms(std::int32_t n);
// The last try for a spare M failed: thread limit, EAGAIN or no memory.  It said so on
// stderr, once for each cause, and is not repeated before cfg::spare_retry is over.
bool spare_ms_refused();
// The limit was raised: a spare may be tried for at once.
void forget_refusal();

}  // namespace rt0::runtime
