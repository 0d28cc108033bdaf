// Fault injection: tests make the n-th system call of a kind fail, so that the answers
// to rare errors are run, not believed.  Off (always, outside tests) a check costs one
// relaxed load of a word that stays in every core's cache.
//
//   IJ1  armed bits and the rule of a call are written by the test thread; a call on
//        another thread sees the rule complete, or does not see the bit.
//   IJ2  calls are counted over the whole process from inject_fail on; with two threads
//        making the call, exactly `count` calls fail whoever they are.
#pragma once
#include <atomic>
#include <cstdint>

namespace rt0::kernel {

enum class inject : unsigned {
    clone,        // thread_create, both kinds
    mmap,         // sys_reserve
    madvise,      // sys_unused, sys_hugepage, sys_nohugepage, sys_wipeonfork
    guard,        // guard_install (either kind of guard)
    guard_probe,  // guard_mode, once in a process: no guard regions here
    mprotect,     // the fallback for guards
    futex_wait,   // also the timed forms
    futex_spurious,  // the same calls: they return 0 at once and nobody woke them; the rule's err does not matter
    futex_wake,
    calibrate,    // thread_init: each check of glibc's layout is one call
    tls_alloc,    // thread_create: glibc's TLS block
    sigaltstack,
    membarrier,   // membarrier_register, once in a process
    membarrier_all,
    activity,     // activity_open and activity_read: nothing is known of a thread
    idle_class,   // idle_class_enter and idle_class_leave; the probe is the first two
    realtime,     // realtime_enter
    check,        // the scheduler's start-up check: each assumption is one call
    calls,        // how many there are
};

// Calls number nth, nth + 1, ... nth + count - 1 of `call` (from now, 1-based) fail with
// -err.  count < 0: all from nth on.
void inject_fail(inject call, std::uint32_t nth, int err, std::int32_t count = 1);
// Ends all rules.
void inject_off();
// Times a call of this kind failed by its rule since inject_fail.
std::uint32_t inject_hits(inject call);

namespace detail {
extern std::atomic<std::uint32_t> inject_armed;  // bit per call that has a rule
int inject_slow(inject call);
}  // namespace detail

// 0, or the -errno that this call must fail with.
inline int injected(inject call) {
    // relaxed: a test arms a rule before it starts what must fail, or takes what comes (IJ1).
    if (detail::inject_armed.load(std::memory_order_relaxed) == 0) [[likely]] return 0;
    return detail::inject_slow(call);
}

}  // namespace rt0::kernel
