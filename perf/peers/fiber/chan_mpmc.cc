// chan_mpmc: 4 producers, 4 consumers, a channel of capacity 128 (it has to be a power of
// two; the other peers have 100).  ops: elements.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t side = 4;
    const std::int64_t n = peer::args(argc, argv, {"elements"})[0] / side * side;
    peer::workers threads(report::procs);
    boost::fibers::buffered_channel<std::int64_t> ch(128);
    std::vector<boost::fibers::fiber> producers, consumers;
    std::int64_t count[side], sum[side];
    report::stopwatch clock;
    for (std::int64_t p = 0; p < side; ++p)
        producers.push_back(peer::go([&, p] {
            for (std::int64_t i = p; i < n; i += side)
                ch.push(i);
        }));
    for (std::int64_t c = 0; c < side; ++c)
        consumers.push_back(peer::go([&, c] {
            std::int64_t k = 0, s = 0;
            report::rising<side> order;
            for (std::int64_t v : ch) {
                ++k;
                order.take(v);
                s += v;
            }
            count[c] = k;
            sum[c] = s;
        }));
    for (auto& f : producers)
        f.join();
    ch.close();
    for (auto& f : consumers)
        f.join();
    const auto span = clock.stop();
    report::mpmc_line(n, count, sum, span);
}
