// m: a thread of the operating system, made by raw clone; m0 is the one that booted the runtime.
#pragma once
#include <csignal>
#include <cstdint>

#include "base/atomic.h"
#include "base/config.h"
#include "base/lock.h"
#include "base/mcore.h"
#include "base/watched.h"
#include "kernel_if/thread.h"
#include "sched/g.h"

namespace rt0::runtime {

extern mutex retakelock;  // retake.h
mutex& lock_of_allm();    // lists.cc's, for GUARDED_BY (guarded.h)

// __cxa_eh_globals of the Itanium C++ ABI: exceptions caught and not yet finished, and
// how many are in flight.  glibc keeps one per thread; a goroutine takes its own along.
struct eh_globals {
    void* caught;
    unsigned uncaught;
};

// Bits of m.retake; the protocol is retake.h's.
enum mretake : std::uint32_t {
    rt_none = 0,
    rt_wanted = 1,
    rt_taking = 2,
    rt_taken = 3,
    rt_phase = 3,      // mask
    rt_waiting = 4,    // M sleeps on the word until the phase is not `taking` any more
    rt_preempt = 8,    // the time slice is over: yield at the next exit
    rt_stop = 16,      // the world is to stop: yield at the next exit
    rt_outside = 32,   // no P by its own will: inside blocking(), or a foreign thread between calls [own:M]
    rt_exiting = 64,   // the process is exiting: never leave or enter the runtime again
    rt_fence = 128,    // no membarrier: RK1's other way
    rt_hog = 256,      // with taken: M runs though it has no P; set by holders of retakelock, cleared by them or with the phase
    rt_points = 512,   // the edges of calls are points of a seeded schedule (CZ1 in choose.h) [const]
    rt_live = 1024,    // always; never in a forked child (FO2, FO3) [const]
};

// An M's life: made by newm with a P, runs schedule(); without work it gives its P up
// and sleeps on `park` on the idle list (stopm), until startm hands it another.  An M
// that nobody wanted for long, or whose locked goroutine ended (mexit), leaves through
// mend: freem keeps it until the kernel has let go of its stacks.
struct m : mcore {
    // Crossings and the retake handshake (sched/retake.h).
    atomic<std::uint32_t> inrt{1};          // 1: runtime code, 0: user code [own:M], read by requesters
    atomic<std::uint32_t> retake{rt_live};  // mretake: phase and bits; a futex word [atomic]
    bool inround GUARDED_BY(retakelock) = false;           // linked through retakelink [lock:retakelock]
    m* retakelink GUARDED_BY(retakelock) = nullptr;        // next of the requester's round [lock:retakelock]
    m* retakeheir GUARDED_BY(retakelock) = nullptr;        // M that will have its P [lock:retakelock]
    watched<bool> hog GUARDED_BY(retakelock);              // it lost its P, or is about to, while it runs [lock:retakelock]
    atomic<std::uint32_t> idle_class_changes{0};  // odd: SCHED_IDLE by us, or about to be [atomic] written under retakelock
    std::int64_t detachedcpu GUARDED_BY(retakelock) = 0;   // processor time when find_hogs looked last, ns [lock:retakelock]
    std::int32_t detachedruns GUARDED_BY(retakelock) = 0;  // and how often in a row it was seen to run [lock:retakelock]

    g* g0 = nullptr;                        // system stack [const]
    std::uintptr_t g0sp = 0;                // where rt0_mcall starts on it, below the frames of mstart [const]
    arch::gobuf mstartctx;                  // context of mstart, to leave the thread through [own:M]
    g* gsignal = nullptr;                   // signal stack [const]
    watched<g*> curg;                       // running goroutine [own:M]
    watched<p*> pp;                         // attached P, null when not executing goroutines [own:M]
    p* nextp = nullptr;                     // P to take on waking from park; written by the waker before the note [own by note]
    p* oldp = nullptr;                      // P it had when it entered a system call or was detached [own:M, RK3]
    std::uint32_t oldtick = 0;              // its syscalltick in the system call [own:M]

    // Work that the context switched to must finish, since it could not be done on
    // the stack that was being left (sched/park.cc).
    g* leaving = nullptr;                   // the G switched away from [own:M]
    void (*leave)(g*) = nullptr;            // what to do with it [own:M]
    unlockf_t waitunlockf = nullptr;        // gopark's [own:M]
    void* waitlock = nullptr;               // gopark's [own:M]

    struct eh_globals* eh = nullptr;        // this thread's __cxa_get_globals() [const]
    std::uint64_t rand = 0;                 // state of fastrand [own:M]
    std::uint32_t wakes_deferred = 0;       // wake_batches alive [own:M]
    bool wake_wanted = false;               // and a wakep was called meanwhile [own:M]
    watched<bool> spinning;                 // out of work, looking for some [own:M]
    std::int64_t stolewhen = 0;             // when it stole what it runs since, ns; 0: nothing for WK7 to judge [own:M]
    bool wakecounted = false;               // WK7 has counted the wake-up that brought M here [own:M]
    std::uint8_t vain_spins = 0;            // in a row, up to vain_spins_max [own:M]
    atomic<bool> blocked{false};            // asleep on a note [atomic] read by dumps
    bool is_extra = false;                  // lends the runtime to a foreign thread [const]

    watched<g*> lockedg;                    // [own:M]
    bool nextinherit = false;               // comes with nextp, LO4 [own by note]
    std::uint32_t lockedext = 0;            // lock_os_thread calls of the user [own:M]
    std::uint32_t lockedint = 0;            // and of the runtime [own:M]

    note park;                                  // [atomic]
    std::int64_t id = 0;                    // [const]
    m* schedlink = nullptr;                 // next idle M [lock:sched], of mget_surplus' chain, or of extra_free [lock:extra_lock]
    m* schedprev GUARDED_BY(lock_of_sched()) = nullptr;  // previous idle M [lock:sched]
    bool idle GUARDED_BY(lock_of_sched()) = false;       // on the idle list [lock:sched]
    bool spare = false;                     // made without a P, not yet on the idle list [lock:sched] once its thread may run
    bool ended GUARDED_BY(lock_of_sched()) = false;  // what is left of its thread, if it had one, is no thread of ours [lock:sched]
    bool buried GUARDED_BY(lock_of_allm()) = false;  // to be taken off allm [lock:allm]
    m* freelink = nullptr;                  // next on freem or dead_ms [lock:sched], of what was taken off freem, or of orders.newm
    void (*mstartfn)() = nullptr;           // run first, on g0 [const]
    kernel::kthread thread;                 // [const] once started, but for what thread.cc keeps in it
    watched<std::int32_t> tid;              // kernel thread id, 0 before it runs [own:M]
    stack g0stack, gsigstack;               // [const]
    sigset_t sigmask = {};                  // mask to run goroutines with [const]
#ifdef RT0_ASAN
    void* asan_fake = nullptr;              // g0's fake stack while a goroutine runs [own:M]
#endif
#ifdef RT0_TSAN
    void* tsan_fiber = nullptr;             // its thread's own (SW4) [own:M]
    std::uint32_t tsan_turns = 0;           // times that g0 was entered [own:M]
#endif
};

// m0 has pages of its own (FO3).
struct alignas(cfg::m0_align) m0_room {
    m value;
};
extern m0_room room_of_m0;
inline constexpr m& m0 = room_of_m0.value;
extern g g0;

// xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016).
inline std::uint32_t fastrand(m* mp) {
    std::uint64_t x = mp->rand;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    mp->rand = x;
    return static_cast<std::uint32_t>((x * 0x2545F4914F6CDD1Dull) >> 32);
}
inline std::uint32_t fastrandn(m* mp, std::uint32_t n) {  // uniform enough on [0, n) for n << 2^32
    return static_cast<std::uint32_t>((std::uint64_t{fastrand(mp)} * n) >> 32);
}

}  // namespace rt0::runtime
