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
    if (got != report::fibonacci(n))
        report::fail("fib(%ld) = %ld, not %ld", n, got, report::fibonacci(n));
    report::line("fib", report::fibonacci(n + 1) - 1, span);  // as many goroutines
}
