// futex(2).  All waits are private but those of thread.cc, which waits on a word that
// the kernel clears and wakes with the shared form.
//
//   FX1  a negative relative timeout means none; 0 and past deadlines return -ETIMEDOUT
//        (or -EAGAIN) without sleeping.
//   FX2  relative waits and deadlines both run on CLOCK_MONOTONIC, nanotime()'s clock.
#include "kernel_if/futex.h"

#include <linux/futex.h>
#include <time.h>

#include "arch/model.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free,
              "the kernel reads the atomic as a plain 32-bit word");

namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;

timespec to_timespec(std::int64_t ns) {
    return {.tv_sec = static_cast<time_t>(ns / ns_per_s), .tv_nsec = static_cast<long>(ns % ns_per_s)};
}

bool spurious() { return injected(inject::futex_spurious) != 0; }

}  // namespace

int futex_wait(const std::atomic<std::uint32_t>* addr, std::uint32_t val, std::int64_t timeout) {
    if (auto* m = arch::model()) return m->futex_wait(addr, val, timeout < 0 ? timeout : m->nanotime() + timeout);
    if (spurious()) return 0;
    timespec ts = to_timespec(timeout < 0 ? 0 : timeout);
    return static_cast<int>(sysc(inject::futex_wait, SYS_futex, addr, FUTEX_WAIT_PRIVATE, val, timeout < 0 ? nullptr : &ts));
}

int futex_wait_until(const std::atomic<std::uint32_t>* addr, std::uint32_t val, std::int64_t deadline) {
    if (auto* m = arch::model()) return m->futex_wait(addr, val, deadline < 0 ? 0 : deadline);
    if (spurious()) return 0;
    timespec ts = to_timespec(deadline < 0 ? 0 : deadline);
    return static_cast<int>(
        sysc(inject::futex_wait, SYS_futex, addr, FUTEX_WAIT_BITSET_PRIVATE, val, &ts, nullptr, FUTEX_BITSET_MATCH_ANY));
}

int futex_wake(const std::atomic<std::uint32_t>* addr, int n) {
    if (auto* m = arch::model()) return m->futex_wake(addr, n);
    return static_cast<int>(sysc(inject::futex_wake, SYS_futex, addr, FUTEX_WAKE_PRIVATE, n));
}

}  // namespace rt0::kernel
