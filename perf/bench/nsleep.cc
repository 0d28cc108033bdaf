// nsleep: N goroutines, each in one nanosleep(2) of 10 ms that the runtime is not told of.
// With every P taken back from a sleeper all of them sleep side by side: 10 ms and what the
// threads cost; without that, N / procs * 10 ms.
// ops: goroutines; what counts is wall_ms.  threads: Ms at the end.
#include "report.h"

#include <time.h>

#include <atomic>

void main_main() {
    const std::int64_t n = report::args({"goroutines"})[0];
    std::atomic<std::int64_t> slept{0};
    rt0::wait_group wg;
    wg.add(n);
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            const timespec t{0, 10'000'000};
            if (nanosleep(&t, nullptr) == 0)
                slept++;
            wg.done();
        });
    wg.wait();
    const auto span = clock.stop();
    if (slept != n)
        report::fail("%ld of %ld sleeps were cut short", n - slept, n);
    report::line("nsleep" + report::brief(n), n, span,
                 {{"wall_ms", span.wall * 1e3}, {"threads", rt0::num_thread()}});
}
