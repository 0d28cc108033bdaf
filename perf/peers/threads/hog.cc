// hogN: N endless loops without any call, then a thread that sleeps 1 ms K times.
// first_ms: from the start of the loops until that thread runs at all;
// lateness: how long after its time a sleep ended.
// ops: sleeps.
#include "peer.h"

#include <atomic>

using clock_type = std::chrono::steady_clock;

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"loops", "sleeps"});
    const std::int64_t n = args[0], sleeps = args[1];
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> looping{0};
    std::vector<std::thread> threads;
    const auto begin = clock_type::now();
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&] {
            looping++;
            while (!stop.load(std::memory_order_relaxed)) {}
        });
    while (looping < n)
        std::this_thread::yield();
    const std::chrono::duration<double, std::milli> first = clock_type::now() - begin;
    std::vector<std::int64_t> late(sleeps);
    constexpr auto d = std::chrono::milliseconds(1);
    report::stopwatch clock;
    for (auto& l : late) {
        const auto t = clock_type::now();
        std::this_thread::sleep_for(d);
        l = (clock_type::now() - t - d).count();
    }
    const auto span = clock.stop();
    stop = true;
    peer::join(threads);
    report::check_none_early(late);
    report::line("hog" + report::brief(n), sleeps, span,
                 {{"first_ms", first.count()},
                  {"lateness_p50_us", report::percentile(late, 0.50) / 1e3},
                  {"lateness_p99_us", report::percentile(late, 0.99) / 1e3}});
}
