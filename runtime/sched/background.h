// The runtime's own goroutines.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::runtime {

extern std::size_t physHugePageSize;

// Starts bgsweep and bgscavenge, waits for both.
void gcenable();
// There is idle memory worth returning, the stacks of `cold` dead Gs among it: wakes bgscavenge.  idle: nothing else
// runs.  Called by sysmon.
void wake_scavenger(std::int32_t cold, bool idle);
// So many bytes were idle and the kernel took none of them (locked memory); 0: it did take some.
std::size_t scavenged_in_vain();

}  // namespace rt0::runtime
