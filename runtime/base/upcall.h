// Every call from a lower layer to a higher one: who calls, who implements, which
// locks may be held.  Fewer than twelve, or the layers are wrong.
#pragma once
#include <cstdint>
#include <string_view>

namespace rt0::runtime {

struct g;
struct guard_hit;
struct mcore;
struct signal_context;

// base/lock (debug builds) -> sched/crossing.cc: the M of this thread, or null.  Any lock.
mcore* upcall_mcore();

// base/throw -> debug/report.cc: print the trace of the running goroutine (all=false) or
// of all goroutines, async-signal-safe and without any lock.
void upcall_traceback(bool all);

// base/throw -> debug/report.cc: a report failed half-way; write out what it had buffered.
void upcall_report_failed();

// sched/signal -> debug/sigreport.cc, in a handler, any lock held: a fault that no handler of the
// program takes; SIGQUIT; a request for this thread's stack (debug/remote.cc).
void upcall_signal_fault(const signal_context& c, const guard_hit& h);
void upcall_signal_quit(const signal_context& c);
void upcall_signal_stack(const signal_context& c);

// sched/signal -> debug/dumper.cc: writes dumps on demand, on a thread of its own; never returns.
[[noreturn]] void upcall_dumper();

// sched/init -> debug/panic.cc: install the std::terminate handler and symboliser.
void upcall_tracebackinit();

// sched/sysmon -> debug/schedtrace.cc: one report of RT0DEBUG=schedtrace; no lock held, none taken.
void upcall_schedtrace(bool detailed);

}  // namespace rt0::runtime
