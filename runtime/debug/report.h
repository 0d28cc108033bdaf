// The text of the report that ends the process; between report_begin and report_end.
#pragma once
#include "base/atomic.h"
#include "debug/sink.h"
#include "debug/traceback.h"

namespace rt0::runtime {

// What a report's stacks are for.
enum class report_kind {
    panic,    // the goroutine that failed, and the others from RT0TRACEBACK=all on
    fatal,    // all goroutines
    runtime,  // the runtime is broken: the system stack and the goroutine, with its own frames
    quit,     // SIGQUIT: all goroutines, the interrupted one first if there was one
};

// The report's way to standard error; flushed by report_failed too.
extern sink report_sink;
extern atomic<bool> report_writing;  // it waits, perhaps, for who reads standard error: it is not stuck (FR4)
// From here on a report that is stuck ends all the same (FR4, sigreport.cc).
void report_watch();
// Prints the stacks of a report as RT0TRACEBACK has it, watched.
void report_stacks(report_kind kind);
// The same for what a signal interrupted, in two steps on a stack that is large enough.
const running_stack& interrupted_stack(report_kind kind, const signal_context& c);
void report_interrupted();
// The second again, from the watchdog, prints the rest and the goroutine in progress once more.

// Asks the thread that runs gp for its stack (debug/remote.cc); for a process that is going
// to die.
enum class remote : std::uint8_t {
    have,    // *out is filled
    moved,   // the thread runs something else by now: look at gp again
    silent,  // no answer in time
};
remote remote_stack(const g* gp, pc_list* out);

}  // namespace rt0::runtime
