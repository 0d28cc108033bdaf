// timersN: N fibers, each sleeping K times between 1 and 100 ms (uniform, the same
// durations for every peer).  lateness_p99_us: how long after its time a sleep ended.
// ops: sleeps; what counts is cpu_ns_per_op, the wall time is mostly the sleeping.
#include "peer.h"

using clock_type = std::chrono::steady_clock;

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"fibers", "sleeps-each"});
    const std::int64_t n = args[0], each = args[1];
    peer::workers threads(report::procs);
    std::vector<std::int64_t> late(n * each);
    std::vector<boost::fibers::fiber> fibers;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        fibers.push_back(peer::go([&, i] {
            for (std::int64_t k = 0; k < each; ++k) {
                const auto d = report::sleep_length(i, k);
                const auto t = clock_type::now();
                boost::this_fiber::sleep_for(d);
                late[i * each + k] = (clock_type::now() - t - d).count();
            }
        }));
    for (auto& f : fibers)
        f.join();
    const auto span = clock.stop();
    report::timers_line(n, each, late, span);
}
