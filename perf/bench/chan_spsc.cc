// chan_spsc: one producer, one consumer, a channel of capacity 100.  ops: elements.
#include "report.h"

void main_main() {
    const std::int64_t n = report::args({"elements"})[0];
    rt0::chan<std::int64_t> ch(100);
    report::stopwatch clock;
    rt0::go([ch, n]() mutable {
        for (std::int64_t i = 0; i < n; ++i)
            ch.send(i);
        ch.close();
    });
    std::int64_t next = 0;
    for (std::int64_t v : ch) {
        if (v != next)
            report::fail("received %ld, not %ld", v, next);
        ++next;
    }
    const auto span = clock.stop();
    if (next != n)
        report::fail("received %ld elements, not %ld", next, n);
    report::line("chan_spsc", n, span);
}
