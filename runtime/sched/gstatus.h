// casgstatus and its table, in a header: nearly all callers name both states, so that the
// check and the choice of instructions are made by the compiler and three remain.
//
//   GS1  a status with gscan set belongs to the scanner: only casfrom_gscanstatus
//        changes it, and nobody may run, ready or free the G meanwhile.
//   GS2  only edges of `gstatus_edges` are taken; anything else is a broken runtime.
//   GS3  a running G is never scanned: its stack moves.  So the edges out of running are
//        the running M's alone, or of who made that M stand still (RK3), and need no
//        compare-and-swap, only a release.
//   GS4  Changes between the other states are made by whoever holds the G, one at a time, so
//        they need to be atomic against scanners alone.  Scanners are rare and pay: the holder uses an
//        instruction that is whole only towards interrupts (arch::local_cas), and a scanner
//        lets a membarrier pass before it believes what it wrote.
//
//            holder on M1                    scanner on M2, castogscanstatus
//            cmpxchg runnable -> running     lock cmpxchg runnable -> runnable|scan
//              read runnable                 membarrier: whoever had read runnable has written
//              write running                 still runnable|scan? mine.  Else the holder was first.
//
//        A cmpxchg that fails writes back what it read, which may come after the scan is over:
//
//            holder on M1                    scanner on M2, casfrom_gscanstatus
//            cmpxchg runnable -> running     lock cmpxchg runnable|scan -> runnable
//              read runnable|scan            membarrier: that cmpxchg is through, and its holder waits
//              write runnable|scan           runnable|scan again? once more
//
//        So that the second look means this scan there is one scanner at a time.  Where there is
//        no membarrier, or no such instruction, all of it is compare-and-swap.
//
// Source: Go's proc.go (casgstatus, castogscanstatus, casfrom_Gscanstatus).
#pragma once
#include <initializer_list>

#include "sched/g.h"

namespace rt0::runtime {

constexpr std::uint32_t gstatus_set(std::initializer_list<gstatus> l) {
    std::uint32_t set = 0;
    for (gstatus s : l) set |= 1u << s;
    return set;
}
// gstatus_edges[from] has bit `to` set for each edge of the drawing in g.h.
inline constexpr std::uint32_t gstatus_edges[gstates] = {
    /* idle     */ gstatus_set({gdead}),
    /* runnable */ gstatus_set({grunning}),
    /* running  */ gstatus_set({grunnable, gsyscall, gwaiting, gdead, gdetached}),
    /* syscall  */ gstatus_set({grunnable, grunning}),
    /* waiting  */ gstatus_set({grunnable, grunning}),
    /* (unused) */ 0,
    /* dead     */ gstatus_set({grunnable, gsyscall}),
    /* detached */ gstatus_set({grunnable, grunning}),
};

inline std::uint32_t readgstatus(const g* gp) {
    // ORDER(gstatus): acquire; pairs with the release half of casgstatus' CAS.
    return gp->atomicstatus.load(memory_order_acquire);
}
extern bool local_gstatus;  // GS4: holders use local_cas [const] after boot
[[noreturn]] void bad_casgstatus(const g* gp, std::uint32_t oldval, std::uint32_t newval);
void wait_for_scan(g* gp, std::uint32_t oldval, std::uint32_t newval);

[[gnu::always_inline]] inline void casgstatus(g* gp, std::uint32_t oldval, std::uint32_t newval) {
    if (oldval >= gstates || newval >= gstates || !(gstatus_edges[oldval] >> newval & 1)) [[unlikely]]
        bad_casgstatus(gp, oldval, newval);  // GS2; scan states are >= gstates
    std::uint32_t seen = oldval;
    if (oldval == grunning) {  // GS3
        // relaxed: written last by this very M, or handed over with m.inrt or m.retake.
        if (gp->atomicstatus.load(memory_order_relaxed) != grunning) [[unlikely]]
            bad_casgstatus(gp, oldval, newval);
        // ORDER(gstatus): release; as the CAS below.
        gp->atomicstatus.store(newval, memory_order_release);
        return;
    }
    if constexpr (arch::has_local_cas)
        if (local_gstatus) [[likely]] {
            // ORDER(gstatus): acq_rel on amd64, where every store is a release and every load an acquire; GS4.
            if (!arch::local_cas(&gp->atomicstatus, seen, newval)) [[unlikely]] wait_for_scan(gp, oldval, newval);
            return;
        }
    // ORDER(gstatus): acq_rel; the release half publishes the G's fields to whoever reads the new
    // status (readgstatus, the next casgstatus), the acquire half pairs with the last change.
    if (!gp->atomicstatus.compare_exchange_strong(seen, newval, memory_order_acq_rel, memory_order_relaxed)) [[unlikely]]
        wait_for_scan(gp, oldval, newval);
}
// False: the G is not in oldval, or another scan is going on.  Takes two membarriers with its end.
bool castogscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval);
void casfrom_gscanstatus(g* gp, std::uint32_t oldval, std::uint32_t newval);

}  // namespace rt0::runtime
