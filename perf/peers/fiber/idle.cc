// idle: 1000 fibers parked on a channel, the main one in a long sleep, nothing to run.
// cpu_percent of one processor, wakeups_per_s of all threads together.
// ops: milliseconds.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t parked = 1000;
    const std::int64_t ms = peer::args(argc, argv, {"milliseconds"})[0];
    peer::workers threads(report::procs);
    boost::fibers::unbuffered_channel<bool> gate;
    report::roll ran(parked);
    std::vector<boost::fibers::fiber> fibers;
    for (std::int64_t i = 0; i < parked; ++i)
        fibers.push_back(peer::go([&, i] {
            bool b;
            gate.pop(b);
            ran.came(i);
        }));
    boost::this_fiber::sleep_for(std::chrono::milliseconds(200));  // until everything has come to rest
    const std::int64_t before = report::wakeups();
    report::stopwatch clock;
    boost::this_fiber::sleep_for(std::chrono::milliseconds(ms));
    const auto span = clock.stop();
    const double woken = static_cast<double>(report::wakeups() - before);
    ran.check_none();
    gate.close();
    for (auto& f : fibers)
        f.join();
    ran.check_all();
    report::line("idle", ms, span,
                 {{"cpu_percent", 100 * span.cpu / span.wall}, {"wakeups_per_s", woken / span.wall}});
}
