// chan_spsc: one producer, one consumer, a channel of capacity 128 (it has to be a power
// of two; the other peers have 100).  ops: elements.
#include "peer.h"

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"elements"})[0];
    peer::workers threads(report::procs);
    boost::fibers::buffered_channel<std::int64_t> ch(128);
    report::stopwatch clock;
    auto producer = peer::go([&] {
        for (std::int64_t i = 0; i < n; ++i)
            ch.push(i);
        ch.close();
    });
    std::int64_t next = 0;
    for (std::int64_t v : ch) {
        if (v != next)
            report::fail("received %ld, not %ld", v, next);
        ++next;
    }
    const auto span = clock.stop();
    producer.join();
    if (next != n)
        report::fail("received %ld elements, not %ld", next, n);
    report::line("chan_spsc", n, span);
}
