// A status that is not what it should be, scans, and the texts of the wait reasons; GS1-GS4 in gstatus.h.
#include "base/config.h"
#include "base/forked.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/membarrier.h"
#include "sched/sched.h"

namespace rt0::runtime {

bool local_gstatus = false;

namespace {

atomic<bool> scanning{false};  // somebody is between castogscanstatus and casfrom_gscanstatus (GS4)

[[noreturn, gnu::cold]] void bad_status(const char* where, const g* gp, std::uint32_t oldval, std::uint32_t newval) {
    textbuf t;
    // relaxed: for the message
    t << where << ": goroutine " << gp->goid << " has status " << gp->atomicstatus.load(memory_order_relaxed)
      << ", change " << oldval << " -> " << newval << " is not allowed";
    runtime_throw(t.c_str());
}

}  // namespace

[[gnu::cold]] void bad_casgstatus(const g* gp, std::uint32_t oldval, std::uint32_t newval) {
    bad_status("casgstatus", gp, oldval, newval);
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
            forked_child_check();
            kernel::usleep(1);  // not sched_yield: a real-time sysmon (SM4) yields to nobody but its like
            next_yield = kernel::nanotime() + cfg::scan_spin / 2;
        }
    }
}

namespace {

// ORDER(scan): release; pairs with the acquire in castogscanstatus.
void scan_over() { scanning.store(false, memory_order_release); }

// GS4's second drawing.
bool scan_end(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    std::uint32_t seen = oldval;
    // ORDER(gstatus): release; what the scanner did with the stack happens before the G goes on.
    if (!gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_release, memory_order_relaxed)) return false;
    while (local_gstatus) {
        // If it fails, as it may for want of memory, time does: a store is not held back for that long.
        if (kernel::membarrier_all() != 0) kernel::usleep(100);
        seen = oldval;
        // ORDER(gstatus): release; as above.
        if (!gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_release, memory_order_relaxed)) break;
    }
    return true;
}

}  // namespace

bool castogscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (newval != (oldval | gscan) || (oldval & gscan) || oldval == grunning)  // GS3
        bad_status("castogscanstatus", gp, oldval, newval);
    // A report that ends the process does not wait for a scanner that may never go on.
    // ORDER(scan): acquire; pairs with the release in scan_over.  relaxed: set by this thread, or the scan is not had.
    if (scanning.exchange(true, memory_order_acquire) && !panicking.load(memory_order_relaxed)) return false;
    std::uint32_t seen = oldval;
    // ORDER(gstatus): acquire; the scanner sees all the G did before it reached oldval.
    bool ours = gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_acquire, memory_order_relaxed);
    if (ours && local_gstatus) {
        bool passed = kernel::membarrier_all() == 0;
        // ORDER(gstatus): acquire; as above.
        ours = gp->atomicstatus.load(memory_order_acquire) == newval;
        if (ours && !passed) scan_end(gp, newval, oldval), ours = false;
    }
    if (!ours) scan_over();
    return ours;
}

void casfrom_gscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (oldval != (newval | gscan) || (newval & gscan)) bad_status("casfrom_gscanstatus", gp, oldval, newval);
    // relaxed: beside a report, which takes no turn, another scanner may have ended this scan.
    if (!scan_end(gp, oldval, newval) && !panicking.load(memory_order_relaxed))
        bad_status("casfrom_gscanstatus", gp, oldval, newval);
    scan_over();
}

constinit const char* const waitreason_texts[] = {
    "", "chan receive", "chan send", "chan receive (nil chan)", "chan send (nil chan)", "select",
    "select (no cases)", "sleep", "sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock",
    "sync.Cond.Wait", "sync.WaitGroup.Wait", "semacquire", "IO wait", "panicwait", "preempted",
    "GC sweep wait", "GC scavenge wait", "force gc (idle)",
};
static_assert(sizeof waitreason_texts / sizeof *waitreason_texts == static_cast<std::size_t>(wait_reason::reasons));

const char* waitreason_text(wait_reason r) {
    return r < wait_reason::reasons ? waitreason_texts[static_cast<std::size_t>(r)] : "unknown wait reason";
}

}  // namespace rt0::runtime
