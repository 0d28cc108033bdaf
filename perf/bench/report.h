// The frame of rt0's workloads: common.h, and the number of processors as rt0 takes it.
#pragma once
#include <rt0/rt0.h>

#include "perf/bench/common.h"

namespace report {

/// Reads the command line; usage names the sizes.  The number of processors comes
/// through RT0_MAXPROCS and has to agree with the first argument.
inline std::vector<std::int64_t> args(std::initializer_list<const char*> usage, std::span<char* const> argv = rt0::args()) {
    const auto sizes = parse("rt0", argv, usage);
    if (rt0::gomaxprocs() != procs)
        fail("gomaxprocs is %d, not %d: set RT0_MAXPROCS", rt0::gomaxprocs(), procs);
    return sizes;
}

}  // namespace report
