// parkedN: N fibers park on one channel; closing it wakes them all.
// bytes: resident set and page tables per parked fiber.  ns_create: from the first fiber
// until the last one has reached its receive; ns_wake: from close until the last one has
// run.  ops: fibers; seconds: both stretches.
#include "peer.h"

#include <atomic>

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"fibers"})[0];
    peer::workers threads(report::procs);
    boost::fibers::unbuffered_channel<bool> gate;
    std::atomic<std::int64_t> started{0}, woken{0};
    report::roll ran(n);
    std::vector<boost::fibers::fiber> fibers;
    fibers.reserve(n);
    const std::int64_t before = report::resident_bytes();
    report::stopwatch creating;
    for (std::int64_t i = 0; i < n; ++i)
        fibers.push_back(peer::go([&, i] {
            started++;
            bool b;
            gate.pop(b);
            ran.came(i);
            woken++;
        }));
    while (started < n)
        boost::this_fiber::yield();
    const auto create = creating.stop();
    boost::this_fiber::sleep_for(std::chrono::milliseconds(100));  // the last ones on their way into the receive
    const std::int64_t bytes = report::resident_bytes() - before;
    ran.check_none();
    report::stopwatch waking;
    gate.close();
    while (woken < n)
        boost::this_fiber::yield();
    const auto wake = waking.stop();
    ran.check_all();
    for (auto& f : fibers)
        f.join();
    const double ops = static_cast<double>(n);
    report::line("parked" + report::brief(n), n, create + wake,
                 {{"bytes", static_cast<double>(bytes) / ops},
                  {"ns_create", create.wall * 1e9 / ops},
                  {"ns_wake", wake.wall * 1e9 / ops}});
}
