// stopN: stopping and restarting the world beside N loops: gomaxprocs up and down by one.  Each loop yields about once a
// millisecond: one that never did, and met a stop while others waited, would go on without a P.
// ops: stops; each is timed.
#include "report.h"

#include <atomic>

using clock_type = std::chrono::steady_clock;

// About a millisecond.
static void compute() {
    for (int i = 0; i < 2'000'000; i++) asm volatile("");
}

void main_main() {
    const auto args = report::args({"loops", "stops"});
    const std::int64_t n = args[0], stops = args[1];
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> looping{0};
    rt0::wait_group wg;
    wg.add(n);
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            looping++;
            for (; !stop.load(std::memory_order_relaxed); rt0::this_goroutine::yield()) compute();
            wg.done();
        });
    while (looping < n)
        rt0::this_goroutine::yield();
    std::vector<std::int64_t> took(stops);
    report::stopwatch clock;
    for (std::int64_t i = 0; i < stops; ++i) {
        rt0::this_goroutine::sleep_for(std::chrono::milliseconds(2));  // the loops that the last stop met have yielded
        const auto t = clock_type::now();
        const int former = rt0::gomaxprocs(report::procs + (i % 2 == 0));
        took[i] = (clock_type::now() - t).count();
        if (const int now = rt0::gomaxprocs(); former != report::procs + (i % 2) || now != report::procs + (i % 2 == 0))
            report::fail("%d Ps and then %d", former, now);
    }
    const auto span = clock.stop();
    stop = true;
    wg.wait();
    report::line("stop" + report::brief(n), stops, span,
                 {{"p50_us", report::percentile(took, 0.50) / 1e3},
                  {"p90_us", report::percentile(took, 0.90) / 1e3},
                  {"p99_us", report::percentile(took, 0.99) / 1e3},
                  {"max_us", report::percentile(took, 1) / 1e3}});
}
