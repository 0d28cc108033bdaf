// hogN: N endless loops without any call, then a goroutine that sleeps 1 ms K times.
// More than 100 first block in a read each: one after the other they would begin a slice apart at best.
// first_ms: from the start of the loops (from the end of the reads) until that goroutine runs at all;
// lateness: how long after its time a sleep ended.
// threads: before the loops end; threads_after: 7 s after their end, if they were more than 2.
// ops: sleeps.
#include "report.h"

#include <unistd.h>

#include <atomic>

using clock_type = std::chrono::steady_clock;

void main_main() {
    const auto args = report::args({"loops", "sleeps"});
    const std::int64_t n = args[0], sleeps = args[1];
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    const bool block_first = n > 100;
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> looping{0};
    rt0::wait_group wg;
    wg.add(n);
    auto begin = clock_type::now();
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            char byte;
            looping++;
            if (block_first && read(fd[0], &byte, 1) != 1)
                report::fail("read: %s", std::strerror(errno));
            while (!stop.load(std::memory_order_relaxed)) {}
            wg.done();
        });
    while (looping < n)
        rt0::this_goroutine::yield();
    if (block_first) {
        begin = clock_type::now();
        const std::vector<char> bytes(n);
        if (write(fd[1], bytes.data(), n) != n)
            report::fail("write: %s", std::strerror(errno));
        rt0::this_goroutine::yield();
    }
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
    if (n > 2)
        rt0::this_goroutine::sleep_for(std::chrono::seconds(7));
    report::check_none_early(late);
    report::line("hog" + report::brief(n), sleeps, span,
                 {{"first_ms", first.count()},
                  {"lateness_p50_us", report::percentile(late, 0.50) / 1e3},
                  {"lateness_p99_us", report::percentile(late, 0.99) / 1e3},
                  {"threads", threads},
                  {"threads_after", rt0::num_thread()}});
}
