// The runtime's own goroutines.
#pragma once
#include <cstddef>

namespace rt0::runtime {

extern std::size_t physHugePageSize;

// Starts bgsweep and bgscavenge, waits for both, then enables collection (SPEC 10).
void gcenable();
// There is idle memory worth returning: wakes bgscavenge.  Called by sysmon.
void wake_scavenger();

}  // namespace rt0::runtime
