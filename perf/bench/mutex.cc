// mutexN: N goroutines take one mutex for a tiny section.  ops: sections.  After the clock has stopped the main one yields
// inside a section, and nobody may come in: on one processor nothing else would tell.
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
    {
        const std::lock_guard hold(mu);
        const std::int64_t mine = counter;
        wg.go([&] {
            const std::lock_guard too(mu);
            ++counter;
        });
        for (int k = 0; k < 3; ++k)
            rt0::this_goroutine::yield();
        if (counter != mine)
            report::fail("two in one section");
    }
    wg.wait();
    if (--counter != n * each)
        report::fail("counted %ld, not %ld", counter, n * each);
    report::line("mutex" + report::brief(n), n * each, span);
}
