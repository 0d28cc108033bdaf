// chan_mpmc: 4 producers, 4 consumers, a channel of capacity 100.  ops: elements.
#include "report.h"

void main_main() {
    constexpr std::int64_t side = 4;
    const std::int64_t n = report::args({"elements"})[0] / side * side;
    rt0::chan<std::int64_t> ch(100);
    rt0::wait_group producers, consumers;
    std::int64_t count[side], sum[side];
    report::stopwatch clock;
    for (std::int64_t p = 0; p < side; ++p)
        producers.go([ch, p, n]() mutable {
            for (std::int64_t i = p; i < n; i += side)
                ch.send(i);
        });
    for (std::int64_t c = 0; c < side; ++c)
        consumers.go([ch, &k_out = count[c], &s_out = sum[c]]() mutable {
            std::int64_t k = 0, s = 0;
            report::rising<side> order;
            for (std::int64_t v : ch) {
                ++k;
                order.take(v);
                s += v;
            }
            k_out = k;
            s_out = s;
        });
    producers.wait();
    ch.close();
    consumers.wait();
    const auto span = clock.stop();
    report::mpmc_line(n, count, sum, span);
}
