// Fault injection: tests make the n-th system call of a kind fail, so that the answers
// to rare errors are run, not believed.  syscall.h lets no call past it unnamed.  Off (always, outside tests) a check costs one
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
    mmap,         // each mapping, also the second try of sys_reserve
    munmap,
    mremap,       // sys_own_pages
    madvise,      // sys_unused, sys_hugepage, sys_nohugepage, sys_wipeonfork
    guard,        // guard_install
    guard_remove,
    guard_probe,  // guard_mode, once in a process: no guard regions here
    mprotect,     // the fallback for guards
    futex_wait,   // also the timed forms
    futex_spurious,  // the same calls: they return 0 at once and nobody woke them; the rule's err does not matter
    futex_wake,
    futex_libc,   // waits by glibc's protocols: for the end of a raw thread, for glibc's stack lock
    calibrate,    // thread_init: each check of glibc's layout is one call
    tls_alloc,    // thread_create: glibc's TLS block
    libc,         // what is asked of libc: pthread_create of an ordinary thread, pthread_atfork, pthread_getattr_np, calloc
    robust_list,
    sigaltstack,
    sigaction,
    membarrier,   // membarrier_register, once in a process
    membarrier_all,
    activity,     // activity_open, activity_read, activity_close: nothing is known of a thread; a descriptor stays open
    cputime,      // thread_cputime
    idle_class,   // idle_class_enter and idle_class_leave, two calls each, the looks one; the probe is the first four
    realtime,     // realtime_enter and realtime_leave
    file,         // open and read of small files of procfs and sysfs
    tasks,        // count_threads
    write,        // write_all, each call of it, a wait for room too
    sleep,        // usleep
    affinity,
    sysinfo,
    prctl,        // names, timer slack
    tgkill,       // to another thread
    resend,       // to itself, with the siginfo as it came, and then without
    alarm,
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
// Counts every call that fails by any rule in word, too.  Before the first rule.
void inject_count_in(std::atomic<std::uint32_t>* word);

namespace detail {
extern std::atomic<std::uint64_t> inject_armed;  // bit per call that has a rule
int inject_slow(inject call);
}  // namespace detail

// 0, or the -errno that this call must fail with.
inline int injected(inject call) {
    // relaxed: a test arms a rule before it starts what must fail, or takes what comes (IJ1).
    if (detail::inject_armed.load(std::memory_order_relaxed) == 0) [[likely]] return 0;
    return detail::inject_slow(call);
}

}  // namespace rt0::kernel
