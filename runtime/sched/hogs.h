// Threads that compute without a P; SM3 and SM4 in runtime/sched/hogs.cc.
#pragma once
#include "sched/retake.h"

namespace rt0::runtime {

// relaxed: a hint: it may be on its way back.
inline bool has_lost_its_p(const m* mp) { return (mp->retake.load(memory_order_relaxed) & rt_phase) == rt_taken; }

// M, marked a hog, loses its P now.
void add_hog(m* mp) REQUIRES(retakelock);
// At each of sysmon's looks: finds others, gives the next their turn.  late: a slice that others wait for is half over (SM4).
void see_to_hogs(bool late, std::int64_t now) REQUIRES(retakelock);
// The same while no P runs.  True: there are more hogs than processors, and nobody else turns them.
bool see_to_hogs_only(std::int64_t now);

}  // namespace rt0::runtime
