// mutexN: N goroutines take one mutex for a tiny section.  ops: sections.
#include "report.h"

#include <mutex>

void main_main() {
    const auto args = report::args({"goroutines", "sections-each"});
    const std::int64_t n = args[0], each = args[1];
    rt0::mutex mu;
    rt0::wait_group wg;
    std::int64_t counter = 0;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        wg.go([&] {
            for (std::int64_t k = 0; k < each; ++k) {
                std::lock_guard hold(mu);
                ++counter;
            }
        });
    wg.wait();
    const auto span = clock.stop();
    if (counter != n * each)
        report::fail("counted %ld, not %ld", counter, n * each);
    report::line("mutex" + report::brief(n), n * each, span);
}
