// The watchman; runtime/sched/sysmon.cc.
#pragma once

namespace rt0::runtime {

// The body of sysmon's M; does not return.
void sysmon();

}  // namespace rt0::runtime
