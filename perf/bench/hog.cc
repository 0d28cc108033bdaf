// hogN: N endless loops without any call, then a goroutine that sleeps 1 ms K times.
// first_ms: from the start of the loops until that goroutine runs at all;
// lateness: how long after its time a sleep ended.
// threads: before the loops end; threads_after, beside more than 100 loops: 7 s after their end.
// ops: sleeps.
#include "report.h"

#include <atomic>

using clock_type = std::chrono::steady_clock;

void main_main() {
    const auto args = report::args({"loops", "sleeps"});
    const std::int64_t n = args[0], sleeps = args[1];
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> looping{0};
    rt0::wait_group wg;
    wg.add(n);
    const auto begin = clock_type::now();
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            looping++;
            while (!stop.load(std::memory_order_relaxed)) {}
            wg.done();
        });
    while (looping < n)
        rt0::this_goroutine::yield();
    const std::chrono::duration<double, std::milli> first = clock_type::now() - begin;
    std::vector<std::int64_t> late(sleeps);
    constexpr auto d = std::chrono::milliseconds(1);
    report::stopwatch clock;
    for (auto& l : late) {
        const auto t = clock_type::now();
        rt0::this_goroutine::sleep_for(d);
        l = (clock_type::now() - t - d).count();
    }
    const auto span = clock.stop();
    const int threads = rt0::num_thread();
    stop = true;
    wg.wait();
    if (n > 100)
        rt0::this_goroutine::sleep_for(std::chrono::seconds(7));
    report::line("hog" + report::brief(n), sleeps, span,
                 {{"first_ms", first.count()},
                  {"lateness_p50_us", report::percentile(late, 0.50) / 1e3},
                  {"lateness_p99_us", report::percentile(late, 0.99) / 1e3},
                  {"threads", threads},
                  {"threads_after", rt0::num_thread()}});
}
