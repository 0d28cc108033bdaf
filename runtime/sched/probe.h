// Static probes for perf, bpftrace and gdb, named after the functions they stand in: provider rt0.
//
// A probe is one nop and a note in the ELF file that says where its arguments are; whoever traces puts
// a breakpoint there.  Off it costs the nop and, where they are not at hand, the loads of the
// arguments.  Arguments: goid (0: none), M's id, P's id (-1: none), then what perf/README.md's table
// says.  Without <sys/sdt.h>, and with -DRT0_NO_PROBES, there are none.
//
// Source: systemtap's sys/sdt.h (Debian: systemtap-sdt-dev), "Uprobe and USDT" of bpftrace's manual.
#pragma once
#include "sched/sched.h"

#if __has_include(<sys/sdt.h>) && !defined(RT0_NO_PROBES)
#include <sys/sdt.h>
#define RT0_PROBE(name, goid, mid, pid) STAP_PROBE3(rt0, name, goid, mid, pid)
#define RT0_PROBE_WITH(name, goid, mid, pid, with) STAP_PROBE4(rt0, name, goid, mid, pid, with)
#define RT0_PROBE_WITH2(name, goid, mid, pid, with, and2) STAP_PROBE5(rt0, name, goid, mid, pid, with, and2)
#else
#define RT0_PROBE(name, goid, mid, pid) static_cast<void>(0)
#define RT0_PROBE_WITH(name, goid, mid, pid, with) static_cast<void>(0)
#define RT0_PROBE_WITH2(name, goid, mid, pid, with, and2) static_cast<void>(0)
#endif

// Of a goroutine that runs, inside a runtime_call.
#define RT0_PROBE_G(name, gp, with) RT0_PROBE_WITH(name, (gp)->goid, (gp)->mp->id, (gp)->mp->pp->id, with)

namespace rt0::runtime {

// Where it may be none.
inline std::uint64_t probe_goid(const g* gp) { return gp ? gp->goid.get() : 0; }
inline std::int32_t probe_pid(const p* pp) { return pp ? pp->id : -1; }

}  // namespace rt0::runtime
