// spawn: tiny threads in batches of 1000, each batch joined.  ops: threads.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t batch = 1000;
    const std::int64_t batches = peer::args(argc, argv, {"batches"})[0];
    std::vector<std::int64_t> slots(batch);
    std::vector<std::thread> threads;
    std::int64_t sum = 0;
    report::stopwatch clock;
    for (std::int64_t b = 0; b < batches; ++b) {
        for (std::int64_t i = 0; i < batch; ++i)
            threads.emplace_back([&slot = slots[i], v = b + i] { slot = v; });
        peer::join(threads);
        for (std::int64_t v : slots)
            sum += v;
    }
    const auto span = clock.stop();
    if (const auto want = batch * report::sum_below(batches) + batches * report::sum_below(batch); sum != want)
        report::fail("sum %ld, not %ld", sum, want);
    report::line("spawn", batches * batch, span);
}
