// fib: fork-join, no cut-off: each call starts a goroutine for fib(n-1), computes
// fib(n-2) itself and joins.  ops: goroutines.
#include "report.h"

static std::int64_t fib(std::int64_t n) {
    if (n < 2)
        return n;
    auto x = rt0::spawn(fib, n - 1);
    const std::int64_t y = fib(n - 2);
    return x.join() + y;
}

void main_main() {
    const std::int64_t n = report::args({"n"})[0];
    report::stopwatch clock;
    const std::int64_t got = fib(n);
    const auto span = clock.stop();
    std::int64_t a = 0, b = 1;
    for (std::int64_t i = 0; i < n; ++i)
        a = std::exchange(b, a + b);
    if (got != a)
        report::fail("fib(%ld) = %ld, not %ld", n, got, a);
    report::line("fib", b - 1, span);  // fib(n+1) - 1 goroutines
}
