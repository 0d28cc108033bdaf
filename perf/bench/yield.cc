// yieldN: N goroutines that do nothing but yield.  ops: yields.
#include "report.h"

void main_main() {
    const auto args = report::args({"goroutines", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    report::turn_counts counts(n);
    rt0::chan<bool> start(0);
    rt0::wait_group ready, wg;
    ready.add(n);
    wg.add(n);
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&, i] {
            ready.done();
            start.recv();
            counts.take(i, each, [] { rt0::this_goroutine::yield(); });
            wg.done();
        });
    ready.wait();
    report::stopwatch clock;
    start.close();
    wg.wait();
    const auto span = clock.stop();
    counts.check(each);
    report::line("yield" + report::brief(n), n * each, span);
}
