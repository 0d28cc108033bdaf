// spawn: tiny tasks in batches of 1000, each batch joined by its task_group.  ops: tasks.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t batch = 1000;
    const std::int64_t batches = peer::args(argc, argv, {"batches"})[0];
    std::vector<std::int64_t> slots(batch);
    std::int64_t sum = 0;
    report::span span;
    peer::run(report::procs, [&] {
        report::stopwatch clock;
        for (std::int64_t b = 0; b < batches; ++b) {
            tbb::task_group group;
            for (std::int64_t i = 0; i < batch; ++i)
                group.run([&slot = slots[i], v = b + i] { slot = v; });
            group.wait();
            for (std::int64_t v : slots)
                sum += v;
        }
        span = clock.stop();
    });
    if (const auto want = batch * report::sum_below(batches) + batches * report::sum_below(batch); sum != want)
        report::fail("sum %ld, not %ld", sum, want);
    report::line("spawn", batches * batch, span);
}
