// syscall: 64 goroutines in 32 pairs, each pair passing a byte to and fro through two
// pipes in blocking read(2)s that the runtime is told of, beside a goroutine that computes
// without end.  loops_per_us: what that one gets done meanwhile; a runtime that starves it
// shows here.
// ops: reads.
#include "report.h"

#include <unistd.h>

#include <array>
#include <atomic>

void main_main() {
    constexpr std::int64_t readers = 64;
    const std::int64_t each = report::args({"reads-each"})[0];
    std::array<int[2], readers> pipes;
    for (auto& p : pipes)
        if (pipe(p) != 0)
            report::fail("pipe: %s", std::strerror(errno));
    std::atomic<bool> stop{false};
    auto computing = rt0::spawn([&] {
        std::int64_t loops = 0;
        while (!stop.load(std::memory_order_relaxed))
            ++loops;
        return loops;
    });
    rt0::wait_group wg;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < readers; ++i)
        wg.go([&, i] {
            report::relay(i, each, pipes[i][0], pipes[i ^ 1][1],
                          [](int fd, void* to, std::size_t k) { return rt0::blocking([&] { return read(fd, to, k); }); });
        });
    for (std::int64_t i = 1; i < readers; i += 2)
        if (write(pipes[i][1], "", 1) != 1)
            report::fail("write: %s", std::strerror(errno));
    wg.wait();
    const auto span = clock.stop();
    stop = true;
    const auto loops = static_cast<double>(computing.join());
    report::line("syscall", readers * each, span,
                 {{"reads_per_s", static_cast<double>(readers * each) / span.wall},
                  {"loops_per_us", loops / (span.wall * 1e6)}});
}
