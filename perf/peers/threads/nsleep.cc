// nsleep: N threads, each in one nanosleep(2) of 10 ms.
// ops: threads; what counts is wall_ms.
#include "peer.h"

#include <time.h>

#include <atomic>

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"threads"})[0];
    std::atomic<std::int64_t> slept{0};
    std::vector<std::thread> threads;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&] {
            const timespec t{0, 10'000'000};
            if (nanosleep(&t, nullptr) == 0)
                slept++;
        });
    peer::join(threads);
    const auto span = clock.stop();
    if (slept != n)
        report::fail("%ld of %ld sleeps were cut short", n - slept, n);
    report::line("nsleep" + report::brief(n), n, span, {{"wall_ms", span.wall * 1e3}});
}
