// chan_mpmc: 4 producers, 4 consumers, a queue of capacity 100.  ops: elements.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t side = 4;
    const std::int64_t n = peer::args(argc, argv, {"elements"})[0] / side * side;
    peer::queue<std::int64_t> q(100);
    std::vector<std::thread> producers, consumers;
    std::int64_t count[side], sum[side];
    report::stopwatch clock;
    for (std::int64_t p = 0; p < side; ++p)
        producers.emplace_back([&, p] {
            for (std::int64_t i = p; i < n; i += side)
                q.push(i);
        });
    for (std::int64_t c = 0; c < side; ++c)
        consumers.emplace_back([&, c] {
            std::int64_t k = 0, s = 0;
            report::rising<side> order;
            while (const auto v = q.pop()) {
                ++k;
                order.take(*v);
                s += *v;
            }
            count[c] = k;
            sum[c] = s;
        });
    peer::join(producers);
    q.close();
    peer::join(consumers);
    const auto span = clock.stop();
    report::mpmc_line(n, count, sum, span);
}
