// syscall: 64 threads in 32 pairs, each pair passing a byte to and fro through two
// pipes in blocking read(2)s, beside a thread that computes without end.  loops_per_us:
// what that one gets done meanwhile.
// ops: reads.
#include "peer.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <future>

int main(int argc, char** argv) {
    constexpr std::int64_t readers = 64;
    const std::int64_t each = peer::args(argc, argv, {"reads-each"})[0];
    std::array<int[2], readers> pipes;
    for (auto& p : pipes)
        if (pipe(p) != 0)
            report::fail("pipe: %s", std::strerror(errno));
    std::atomic<bool> stop{false};
    auto computing = std::async(std::launch::async, [&] {
        std::int64_t loops = 0;
        while (!stop.load(std::memory_order_relaxed))
            ++loops;
        return loops;
    });
    std::vector<std::thread> threads;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < readers; ++i)
        threads.emplace_back([&, i] { report::relay(i, each, pipes[i][0], pipes[i ^ 1][1], ::read); });
    for (std::int64_t i = 1; i < readers; i += 2)
        if (write(pipes[i][1], "", 1) != 1)
            report::fail("write: %s", std::strerror(errno));
    peer::join(threads);
    const auto span = clock.stop();
    stop = true;
    const auto loops = static_cast<double>(computing.get());
    report::line("syscall", readers * each, span,
                 {{"reads_per_s", static_cast<double>(readers * each) / span.wall},
                  {"loops_per_us", loops / (span.wall * 1e6)}});
}
