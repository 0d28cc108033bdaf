// What time it is for the scheduler.
#pragma once
#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
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

// d in ns, rounded up, at most the largest there is.
template <class Rep, class Period>
std::int64_t ns_of(std::chrono::duration<Rep, Period> d) {
    using lim = std::numeric_limits<std::int64_t>;
    using each = std::ratio_divide<Period, std::nano>;
    if constexpr (std::is_integral_v<Rep> && each::den == 1) {
        if (d.count() <= 0) return 0;
        return static_cast<std::uintmax_t>(d.count()) > lim::max() / each::num ? lim::max() : d.count() * each::num;
    }
    const long double ns = std::chrono::duration<long double, std::nano>(d).count();
    if (!(ns < 9.2e18L)) return lim::max();
    if (ns <= 0) return 0;
    return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}

// The same; 0 for what is negative.  What is longer than nanoseconds can say would overflow in a conversion.
template <class Rep, class Period>
std::chrono::nanoseconds at_most(std::chrono::duration<Rep, Period> d) {
    return std::chrono::nanoseconds(ns_of(d));
}

// How long it is until t by its clock; 0 where that was, and never more than there is.
template <class C, class D>
std::chrono::nanoseconds left_until(std::chrono::time_point<C, D> t) {
    using exact = std::chrono::duration<long double, std::nano>;  // coarse ones reach further than ns do
    return std::chrono::nanoseconds(ns_of(exact(t.time_since_epoch()) - exact(now_by<C>().time_since_epoch())));
}

}  // namespace detail

}  // namespace rt0
