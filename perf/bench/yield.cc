// yieldN: N goroutines that do nothing but yield.  ops: yields.
#include "report.h"

void main_main() {
    const auto args = report::args({"goroutines", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    std::vector<std::int64_t> counts(n);
    rt0::chan<bool> start(0);
    rt0::wait_group ready, wg;
    ready.add(n);
    wg.add(n);
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&, i] {
            ready.done();
            start.recv();
            for (std::int64_t k = 0; k < each; ++k) {
                rt0::this_goroutine::yield();
                ++counts[i];
            }
            wg.done();
        });
    ready.wait();
    report::stopwatch clock;
    start.close();
    wg.wait();
    const auto span = clock.stop();
    for (std::int64_t i = 0; i < n; ++i)
        if (counts[i] != each)
            report::fail("goroutine %ld yielded %ld times, not %ld", i, counts[i], each);
    report::line("yield" + report::brief(n), n * each, span);
}
