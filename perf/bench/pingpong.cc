// pingpong: two goroutines, two unbuffered channels.  ops: round trips.
#include "report.h"

void main_main() {
    const std::int64_t n = report::args({"round-trips"})[0];
    rt0::chan<std::int64_t> ping(0), pong(0);
    rt0::go([ping, pong]() mutable {
        for (std::int64_t v : ping)
            pong.send(v + 1);
        pong.close();
    });
    report::stopwatch clock;
    std::int64_t v = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        ping.send(v);
        v = *pong.recv();
    }
    const auto span = clock.stop();
    ping.close();
    if (pong.recv() || v != n)
        report::fail("token is %ld, not %ld", v, n);
    report::line("pingpong", n, span);
}
