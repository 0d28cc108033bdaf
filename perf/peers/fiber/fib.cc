// fib: fork-join, no cut-off: each call starts a fiber for fib(n-1), computes fib(n-2)
// itself and joins.  ops: fibers.
#include "peer.h"

static std::int64_t fib(std::int64_t n) {
    if (n < 2)
        return n;
    std::int64_t x = 0;
    auto child = peer::go([&x, n] { x = fib(n - 1); });
    const std::int64_t y = fib(n - 2);
    child.join();
    return x + y;
}

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"n"})[0];
    peer::workers threads(report::procs);
    report::stopwatch clock;
    const std::int64_t got = fib(n);
    const auto span = clock.stop();
    if (got != report::fibonacci(n))
        report::fail("fib(%ld) = %ld, not %ld", n, got, report::fibonacci(n));
    report::line("fib", report::fibonacci(n + 1) - 1, span);  // as many fibers
}
