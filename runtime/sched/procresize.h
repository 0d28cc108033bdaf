// How many Ps there are.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// Lists, through link.
struct resized {
    p* with_work;  // Ps that wait for an M
    p* stopped;    // taken from an M in user code (SC3), still in gcstop
};
// World stopped, sched.lock held: makes or destroys Ps until there are n; the calling M
// keeps or gets one.
resized procresize(std::int32_t n) REQUIRES(sched.lock, retakelock);
// pp, in gcstop or new, is idle from here on: on the idle list, or, with local work, on `with_work`.
void set_idle(p* pp, p** with_work) REQUIRES(sched.lock);
// What start_the_world shall resize to.
std::int32_t newprocs_wanted();
void want_newprocs(std::int32_t n);

}  // namespace rt0::runtime
