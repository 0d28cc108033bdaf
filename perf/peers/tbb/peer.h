// The frame of oneTBB's workloads: an arena of procs slots, with as many threads allowed.
#pragma once
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include "perf/bench/common.h"

namespace peer {

/// Runs f, and what it starts, on procs threads, the caller's among them.
template <class F>
void run(int procs, F&& f) {
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(procs));
    tbb::task_arena arena(procs);
    arena.execute(f);
}

/// The sizes on the command line, which usage names.
inline std::vector<std::int64_t> args(int argc, char** argv, std::initializer_list<const char*> usage) {
    return report::parse("tbb", {argv, static_cast<std::size_t>(argc)}, usage);
}

}  // namespace peer
