// timersN: N threads, each sleeping K times between 1 and 100 ms (uniform, the same
// durations for every peer).  lateness_p99_us: how long after its time a sleep ended.
// ops: sleeps; what counts is cpu_ns_per_op, the wall time is mostly the sleeping.
#include "peer.h"

using clock_type = std::chrono::steady_clock;

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"threads", "sleeps-each"});
    const std::int64_t n = args[0], each = args[1];
    std::vector<std::int64_t> late(n * each);
    std::vector<std::thread> threads;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&, i] {
            for (std::int64_t k = 0; k < each; ++k) {
                const auto d = report::sleep_length(i, k);
                const auto t = clock_type::now();
                std::this_thread::sleep_for(d);
                late[i * each + k] = (clock_type::now() - t - d).count();
            }
        });
    peer::join(threads);
    const auto span = clock.stop();
    report::timers_line(n, each, late, span);
}
