// chan_spsc: one producer, one consumer, a queue of capacity 100.  ops: elements.
#include "peer.h"

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"elements"})[0];
    peer::queue<std::int64_t> q(100);
    report::stopwatch clock;
    std::thread producer([&] {
        for (std::int64_t i = 0; i < n; ++i)
            q.push(i);
        q.close();
    });
    std::int64_t next = 0;
    while (const auto v = q.pop()) {
        if (*v != next)
            report::fail("received %ld, not %ld", *v, next);
        ++next;
    }
    const auto span = clock.stop();
    producer.join();
    if (next != n)
        report::fail("received %ld elements, not %ld", next, n);
    report::line("chan_spsc", n, span);
}
