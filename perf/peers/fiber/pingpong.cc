// pingpong: two fibers, two unbuffered channels.  ops: round trips.
#include "peer.h"

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"round-trips"})[0];
    peer::workers threads(report::procs);
    boost::fibers::unbuffered_channel<std::int64_t> ping, pong;
    auto partner = peer::go([&] {
        for (std::int64_t v : ping)
            pong.push(v + 1);
        pong.close();
    });
    report::stopwatch clock;
    std::int64_t v = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        ping.push(v);
        v = pong.value_pop();
    }
    const auto span = clock.stop();
    ping.close();
    partner.join();
    if (v != n)
        report::fail("token is %ld, not %ld", v, n);
    report::line("pingpong", n, span);
}
