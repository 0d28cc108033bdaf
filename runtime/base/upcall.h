// Every call from a lower layer to a higher one: who calls, who implements, which
// locks may be held.  Fewer than twelve, or the layers are wrong.
#pragma once
#include <cstdint>
#include <string_view>

namespace rt0::runtime {

struct g;
struct mcore;

// base/lock (debug builds) -> sched/m.cc: the M of this thread, or null.  Any lock.
mcore* upcall_mcore();

// base/throw -> debug/panic.cc: print the trace of the running goroutine (all=false) or
// of all goroutines, async-signal-safe and without any lock.
void upcall_traceback(bool all);

// base/throw -> debug/panic.cc: a report failed half-way; write out what it had buffered.
void upcall_report_failed();

// sched/init -> debug/panic.cc: install the std::terminate handler and symboliser.
void upcall_tracebackinit();

// sched/sysmon -> debug/schedtrace.cc: one report of RT0DEBUG=schedtrace; no lock held, none taken.
void upcall_schedtrace(bool detailed);

}  // namespace rt0::runtime
