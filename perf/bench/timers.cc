// timersN: N goroutines, each sleeping K times between 1 and 100 ms (uniform, the same
// durations for every peer).  lateness_p99_us: how long after its time a sleep ended.
// ops: sleeps; what counts is cpu_ns_per_op, the wall time is mostly the sleeping.
#include "report.h"

using clock_type = std::chrono::steady_clock;

void main_main() {
    const auto args = report::args({"goroutines", "sleeps-each"});
    const std::int64_t n = args[0], each = args[1];
    std::vector<std::int64_t> late(n * each);
    rt0::wait_group wg;
    wg.add(n);
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&, i] {
            for (std::int64_t k = 0; k < each; ++k) {
                const auto d = report::sleep_length(i, k);
                const auto t = clock_type::now();
                rt0::this_goroutine::sleep_for(d);
                late[i * each + k] = (clock_type::now() - t - d).count();
            }
            wg.done();
        });
    wg.wait();
    const auto span = clock.stop();
    report::timers_line(n, each, late, span);
}
