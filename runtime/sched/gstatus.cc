// Every change of a G's state, and the texts of the wait reasons.
//
//   GS1  a status with gscan set belongs to the scanner: only casfrom_gscanstatus
//        changes it, and nobody may run, ready or free the G meanwhile.
//   GS2  only edges of `legal` are taken; anything else is a broken runtime.
//   GS3  a running G is never scanned: its stack moves.  So the edges out of running are
//        the running M's alone, and need no compare-and-swap, only a release.
//
// Source: Go's proc.go (casgstatus, castogscanstatus, casfrom_Gscanstatus).
#include "base/config.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

// legal[from] has bit `to` set for each edge of the drawing in g.h.
constexpr std::uint32_t to(std::initializer_list<gstatus> l) {
    std::uint32_t set = 0;
    for (gstatus s : l) set |= 1u << s;
    return set;
}
constexpr std::uint32_t legal[gstates] = {
    /* idle     */ to({gdead}),
    /* runnable */ to({grunning}),
    /* running  */ to({grunnable, gsyscall, gwaiting, gdead, gdetached}),
    /* syscall  */ to({grunnable, grunning}),
    /* waiting  */ to({grunnable, grunning}),
    /* (unused) */ 0,
    /* dead     */ to({grunnable}),
    /* detached */ to({grunnable, grunning}),
};

[[noreturn, gnu::cold]] void bad_status(const char* where, const g* gp, std::uint32_t oldval, std::uint32_t newval) {
    textbuf t;
    // relaxed: for the message
    t << where << ": goroutine " << gp->goid << " has status " << gp->atomicstatus.load(memory_order_relaxed)
      << ", change " << oldval << " -> " << newval << " is not allowed";
    runtime_throw(t.c_str());
}

// GS1: the scanner will give the status back; a few microseconds are worth waiting hot.
[[gnu::cold]] void wait_for_scan(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    std::int64_t next_yield = kernel::nanotime() + cfg::scan_spin;
    for (;;) {
        std::uint32_t seen = oldval;
        // ORDER(gstatus): acq_rel; see casgstatus.
        if (gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_acq_rel, memory_order_relaxed)) return;
        if ((seen & ~gscan) != oldval) bad_status("casgstatus", gp, oldval, newval);
        if (kernel::nanotime() < next_yield) {
            for (int x = 0; x < 10 && gp->atomicstatus.load(memory_order_relaxed) != oldval; x++)  // relaxed: the CAS decides
                arch::cpu_relax();
        } else {
            kernel::osyield();
            next_yield = kernel::nanotime() + cfg::scan_spin / 2;
        }
    }
}

}  // namespace

void casgstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (oldval >= gstates || newval >= gstates || !(legal[oldval] >> newval & 1)) [[unlikely]]
        bad_status("casgstatus", gp, oldval, newval);  // GS2; scan states are >= gstates
    std::uint32_t seen = oldval;
    if (oldval == grunning) {  // GS3
        // relaxed: written last by this very M.
        if (gp->atomicstatus.load(memory_order_relaxed) != grunning) bad_status("casgstatus", gp, oldval, newval);
        // ORDER(gstatus): release; as the CAS below.
        gp->atomicstatus.store(newval, memory_order_release);
        return;
    }
    // ORDER(gstatus): acq_rel; the release half publishes the G's fields to whoever reads the new
    // status (readgstatus, the next casgstatus), the acquire half pairs with the last change.
    if (!gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_acq_rel, memory_order_relaxed)) [[unlikely]]
        wait_for_scan(gp, oldval, newval);
}

bool castogscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (newval != (oldval | gscan) || (oldval & gscan) || oldval == grunning)  // GS3
        bad_status("castogscanstatus", gp, oldval, newval);
    // ORDER(gstatus): acquire; the scanner sees all the G did before it reached oldval.
    return gp->atomicstatus.compare_exchange_strong(oldval, newval, memory_order_acquire, memory_order_relaxed);
}

void casfrom_gscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (oldval != (newval | gscan) || (newval & gscan)) bad_status("casfrom_gscanstatus", gp, oldval, newval);
    // ORDER(gstatus): release; what the scanner did with the stack happens before the G goes on.
    if (!gp->atomicstatus.compare_exchange_strong(oldval, newval, memory_order_release, memory_order_relaxed))
        bad_status("casfrom_gscanstatus", gp, oldval, newval);
}

const char* waitreason_text(wait_reason r) {
    switch (r) {
        case wait_reason::zero: return "";
        case wait_reason::chan_receive: return "chan receive";
        case wait_reason::chan_send: return "chan send";
        case wait_reason::chan_receive_nil: return "chan receive (nil chan)";
        case wait_reason::chan_send_nil: return "chan send (nil chan)";
        case wait_reason::select: return "select";
        case wait_reason::select_no_cases: return "select (no cases)";
        case wait_reason::sleep: return "sleep";
        case wait_reason::mutex_lock: return "sync.Mutex.Lock";
        case wait_reason::rwmutex_lock: return "sync.RWMutex.Lock";
        case wait_reason::rwmutex_rlock: return "sync.RWMutex.RLock";
        case wait_reason::cond_wait: return "sync.Cond.Wait";
        case wait_reason::waitgroup_wait: return "sync.WaitGroup.Wait";
        case wait_reason::semacquire: return "semacquire";
        case wait_reason::io_wait: return "IO wait";
        case wait_reason::panic_wait: return "panicwait";
        case wait_reason::preempted: return "preempted";
        case wait_reason::bgsweep_wait: return "GC sweep wait";
        case wait_reason::bgscavenge_wait: return "GC scavenge wait";
        case wait_reason::force_gc: return "force gc (idle)";
    }
    return "unknown wait reason";
}

}  // namespace rt0::runtime
