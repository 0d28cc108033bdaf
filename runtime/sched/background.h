// The runtime's own goroutines.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::runtime {

extern std::size_t physHugePageSize;

// Starts bgsweep and bgscavenge, waits for both, then enables collection (SPEC 10).
void gcenable();
// There is idle memory worth returning, the stacks of `cold` dead Gs among it: wakes bgscavenge.  idle: nothing else
// runs.  Called by sysmon.
void wake_scavenger(std::int32_t cold, bool idle);

}  // namespace rt0::runtime
