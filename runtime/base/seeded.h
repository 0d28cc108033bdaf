// RT0DEBUG=schedseed=N: one P, and what the scheduler is free to decide is drawn from N.
//
// So the program's own schedule, the sequence of goroutines that run, is a function of N.
//
//   SS1  Numbers are drawn, and the clock is moved, by who holds the one P: in an order that is itself a function
//        of N.  A foreign thread that calls in between draws too, and ends that; so does a boot by a static constructor.
//   SS2  Nothing that time or another thread decides may change a queue: no P is taken back, nothing is preempted,
//        declared system calls keep the P, sysmon readies nobody.
//   SS3  Time is virtual.  It moves by cfg::seed_tick with each decision and by cfg::seed_look with each look of the
//        program's at the clock, so that loops that wait for a time end; and when nothing is runnable, to the earliest timer.
//
// The choices themselves: sched/choose.h.
#pragma once
#include <cstdint>

#include "base/atomic.h"
#include "kernel_if/clock.h"

namespace rt0::runtime {

extern bool seeded_on;  // [const] once RT0DEBUG is read
inline bool seeded() { return seeded_on; }

void seeded_start(std::int64_t n);
std::int64_t seeded_seed();                    // N
std::uint64_t seeded_draw();                   // SS1
std::uint32_t seeded_below(std::uint32_t n);   // of [0, n)

// What timers, deadlines and sleeps go by: CLOCK_MONOTONIC, or the virtual clock (ns).
std::int64_t virtual_now();
inline std::int64_t clock_now() { return seeded() ? virtual_now() : kernel::nanotime(); }
std::int64_t virtual_look();                   // the program's own look at it
void virtual_tick();
void virtual_skip(std::int64_t to);            // nothing happens before `to`
std::int64_t virtual_skipped();                // ns, all skips together

}  // namespace rt0::runtime
