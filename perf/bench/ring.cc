// ring: 503 goroutines in a ring of unbuffered channels pass one token.  ops: hops.
#include "report.h"

void main_main() {
    constexpr std::int64_t members = 503;
    const std::int64_t n = report::args({"hops"})[0];
    std::vector<rt0::chan<std::int64_t>> link;
    for (std::int64_t i = 0; i < members; ++i)
        link.emplace_back(0);
    rt0::chan<std::int64_t> done(0);
    report::stopwatch clock;
    for (std::int64_t i = 0; i < members; ++i)
        rt0::go([i, in = link[i], out = link[(i + 1) % members], done]() mutable {
            for (;;) {
                const std::int64_t left = *in.recv();
                if (left == 0) {
                    done.send(i);
                    return;
                }
                out.send(left - 1);
            }
        });
    link[0].send(n);
    const std::int64_t last = *done.recv();
    const auto span = clock.stop();
    if (last != n % members)
        report::fail("the token stopped at %ld, not %ld", last, n % members);
    report::line("ring", n, span);
}
