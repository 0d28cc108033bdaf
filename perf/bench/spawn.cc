// spawn: tiny goroutines in batches of 1000, each batch joined by a wait_group.
// ops: goroutines.
#include "report.h"

void main_main() {
    constexpr std::int64_t batch = 1000;
    const std::int64_t batches = report::args({"batches"})[0];
    std::vector<std::int64_t> slots(batch);
    std::int64_t sum = 0;
    report::stopwatch clock;
    for (std::int64_t b = 0; b < batches; ++b) {
        rt0::wait_group wg;
        wg.add(batch);
        for (std::int64_t i = 0; i < batch; ++i)
            rt0::go([&slot = slots[i], v = b + i, &wg] {
                slot = v;
                wg.done();
            });
        wg.wait();
        for (std::int64_t v : slots)
            sum += v;
    }
    const auto span = clock.stop();
    if (const auto want = batch * (batches * (batches - 1) / 2) + batches * (batch * (batch - 1) / 2); sum != want)
        report::fail("sum %ld, not %ld", sum, want);
    report::line("spawn", batches * batch, span);
}
