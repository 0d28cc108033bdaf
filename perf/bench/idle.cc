// idle: 1000 goroutines parked on a channel, the main one in a long sleep, nothing to
// run.  cpu_percent of one processor, wakeups_per_s of all threads together.
// ops: milliseconds.
#include "report.h"

void main_main() {
    constexpr std::int64_t parked = 1000;
    const std::int64_t ms = report::args({"milliseconds"})[0];
    rt0::chan<bool> gate(0);
    report::roll ran(parked);
    rt0::wait_group wg;
    for (std::int64_t i = 0; i < parked; ++i)
        wg.go([&, i] {
            gate.recv();
            ran.came(i);
        });
    rt0::this_goroutine::sleep_for(std::chrono::milliseconds(200));  // until everything has come to rest
    const std::int64_t before = report::wakeups();
    report::stopwatch clock;
    rt0::this_goroutine::sleep_for(std::chrono::milliseconds(ms));
    const auto span = clock.stop();
    const double woken = static_cast<double>(report::wakeups() - before);
    ran.check_none();
    gate.close();
    wg.wait();
    ran.check_all();
    report::line("idle", ms, span,
                 {{"cpu_percent", 100 * span.cpu / span.wall}, {"wakeups_per_s", woken / span.wall}});
}
