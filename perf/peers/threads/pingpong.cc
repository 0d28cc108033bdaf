// pingpong: two threads, two queues of capacity 1.  ops: round trips.
#include "peer.h"

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"round-trips"})[0];
    peer::queue<std::int64_t> ping, pong;
    std::thread partner([&] {
        while (const auto v = ping.pop())
            pong.push(*v + 1);
        pong.close();
    });
    report::stopwatch clock;
    std::int64_t v = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        ping.push(v);
        v = *pong.pop();
    }
    const auto span = clock.stop();
    ping.close();
    partner.join();
    if (pong.pop() || v != n)
        report::fail("token is %ld, not %ld", v, n);
    report::line("pingpong", n, span);
}
