// How many Ps there are.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// World stopped, sched.lock held: makes or destroys Ps until there are n; the calling M
// keeps or gets one.  Returns the list (through link) of Ps with local work.
p* procresize(std::int32_t n) REQUIRES(sched.lock);
// What start_the_world shall resize to.
std::int32_t newprocs_wanted();
void want_newprocs(std::int32_t n);

}  // namespace rt0::runtime
