// futex(2): the only way the runtime sleeps.  Private futexes, except for waiting on
// a tid that the kernel itself clears (thread.cc).
#pragma once
#include <atomic>
#include <cstdint>

namespace rt0::kernel {

// Sleeps while *addr == val, at most timeout ns (< 0: without limit).
// 0 woken (perhaps spuriously), -EAGAIN *addr != val, -EINTR, -ETIMEDOUT.
int futex_wait(const std::atomic<std::uint32_t>* addr, std::uint32_t val, std::int64_t timeout);

// The same with an absolute deadline on CLOCK_MONOTONIC, ns.
int futex_wait_until(const std::atomic<std::uint32_t>* addr, std::uint32_t val, std::int64_t deadline);

// Wakes at most n sleepers; how many it woke, or -errno.
int futex_wake(const std::atomic<std::uint32_t>* addr, int n);

}  // namespace rt0::kernel
