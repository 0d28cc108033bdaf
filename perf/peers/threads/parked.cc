// parkedN: N threads wait on one condition; a broadcast wakes them all.
// bytes: resident set and page tables per waiting thread; what the kernel keeps for it,
// 16 KiB of stack at least, is not in it.  ns_create: from the first thread until the last
// one has reached its wait; ns_wake: from the broadcast until the last one has run.
// ops: threads; seconds: both stretches.
#include "peer.h"

#include <latch>

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"threads"})[0];
    peer::gate gate;
    std::latch started(n), woken(n);
    report::roll ran(n);
    std::vector<std::thread> threads;
    threads.reserve(n);
    const std::int64_t before = report::resident_bytes();
    report::stopwatch creating;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&, i] {
            started.count_down();
            gate.wait();
            ran.came(i);
            woken.count_down();
        });
    started.wait();
    const auto create = creating.stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the last ones on their way into the wait
    const std::int64_t bytes = report::resident_bytes() - before;
    ran.check_none();
    report::stopwatch waking;
    gate.open();
    woken.wait();
    const auto wake = waking.stop();
    ran.check_all();
    peer::join(threads);
    const double ops = static_cast<double>(n);
    report::line("parked" + report::brief(n), n, create + wake,
                 {{"bytes", static_cast<double>(bytes) / ops},
                  {"ns_create", create.wall * 1e9 / ops},
                  {"ns_wake", wake.wall * 1e9 / ops}});
}
