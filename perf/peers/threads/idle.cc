// idle: 1000 threads wait on a condition, the main one is in a long sleep, nothing to run.
// cpu_percent of one processor, wakeups_per_s of all threads together.
// ops: milliseconds.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t parked = 1000;
    const std::int64_t ms = peer::args(argc, argv, {"milliseconds"})[0];
    peer::gate gate;
    report::roll ran(parked);
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < parked; ++i)
        threads.emplace_back([&, i] {
            gate.wait();
            ran.came(i);
        });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until everything has come to rest
    const std::int64_t before = report::wakeups();
    report::stopwatch clock;
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    const auto span = clock.stop();
    const double woken = static_cast<double>(report::wakeups() - before);
    ran.check_none();
    gate.open();
    peer::join(threads);
    ran.check_all();
    report::line("idle", ms, span,
                 {{"cpu_percent", 100 * span.cpu / span.wall}, {"wakeups_per_s", woken / span.wall}});
}
