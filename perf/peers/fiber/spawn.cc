// spawn: tiny fibers in batches of 1000, each batch joined.  ops: fibers.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t batch = 1000;
    const std::int64_t batches = peer::args(argc, argv, {"batches"})[0];
    peer::workers threads(report::procs);
    std::vector<std::int64_t> slots(batch);
    std::vector<boost::fibers::fiber> fibers;
    std::int64_t sum = 0;
    report::stopwatch clock;
    for (std::int64_t b = 0; b < batches; ++b) {
        for (std::int64_t i = 0; i < batch; ++i)
            fibers.push_back(peer::go([&slot = slots[i], v = b + i] { slot = v; }));
        for (auto& f : fibers)
            f.join();
        fibers.clear();
        for (std::int64_t v : slots)
            sum += v;
    }
    const auto span = clock.stop();
    if (const auto want = batch * report::sum_below(batches) + batches * report::sum_below(batch); sum != want)
        report::fail("sum %ld, not %ld", sum, want);
    report::line("spawn", batches * batch, span);
}
