// The text of the report that ends the process; between report_begin and report_end.
#pragma once
#include "debug/sink.h"

namespace rt0::runtime {

// What a report's stacks are for.
enum class report_kind {
    panic,    // the goroutine that failed, and the others from RT0TRACEBACK=all on
    fatal,    // all goroutines
    runtime,  // the runtime is broken: the system stack and the goroutine, with its own frames
};

// The report's way to standard error; flushed by report_failed too.
extern sink report_sink;
// Prints the stacks of a report as RT0TRACEBACK has it.
void report_stacks(report_kind kind);

}  // namespace rt0::runtime
