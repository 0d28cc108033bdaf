// fib: fork-join, no cut-off: each call starts a thread for fib(n-1), computes fib(n-2)
// itself and joins.  ops: threads.
#include "peer.h"

#include <future>

static std::int64_t fib(std::int64_t n) {
    if (n < 2)
        return n;
    auto x = std::async(std::launch::async, fib, n - 1);
    const std::int64_t y = fib(n - 2);
    return x.get() + y;
}

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"n"})[0];
    report::stopwatch clock;
    const std::int64_t got = fib(n);
    const auto span = clock.stop();
    if (got != report::fibonacci(n))
        report::fail("fib(%ld) = %ld, not %ld", n, got, report::fibonacci(n));
    report::line("fib", report::fibonacci(n + 1) - 1, span);  // as many threads
}
