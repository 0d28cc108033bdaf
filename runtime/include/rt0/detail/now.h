// What time it is for the scheduler.
#pragma once
#include <chrono>
#include <type_traits>

namespace rt0 {

/// The time that timers, sleeps and deadlines go by: std::chrono::steady_clock::now(), or under RT0DEBUG=schedseed=N a
/// virtual clock that such a run sees the same way each time.  Does not block; any thread.
std::chrono::steady_clock::time_point now();

namespace detail {

std::chrono::nanoseconds time_skipped();  // by the virtual clock, while nothing was runnable

// C's time.  Of clocks other than steady_clock the virtual one only knows by how much it was ahead of them.
template <class C>
auto now_by() {
    if constexpr (std::is_same_v<C, std::chrono::steady_clock>) return rt0::now();
    else return C::now() + time_skipped();
}

}  // namespace detail

}  // namespace rt0
