// parkedN: N goroutines park on one channel; closing it wakes them all.
// bytes: resident set and page tables per parked goroutine.  ns_create: from the first
// go until the last goroutine has reached its receive; ns_wake: from close until the
// last one has run.  ops: goroutines; seconds: both stretches.
#include "report.h"

void main_main() {
    const std::int64_t n = report::args({"goroutines"})[0];
    rt0::chan<bool> gate(0);
    rt0::wait_group started, woken;
    report::roll ran(n);
    started.add(n);
    woken.add(n);
    const std::int64_t before = report::resident_bytes();
    report::stopwatch creating;
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&, i] {
            started.done();
            gate.recv();
            ran.came(i);
            woken.done();
        });
    started.wait();
    const auto create = creating.stop();
    rt0::this_goroutine::sleep_for(std::chrono::milliseconds(100));  // the last ones on their way into the receive
    const std::int64_t bytes = report::resident_bytes() - before;
    ran.check_none();
    report::stopwatch waking;
    gate.close();
    woken.wait();
    const auto wake = waking.stop();
    ran.check_all();
    const double ops = static_cast<double>(n);
    report::line("parked" + report::brief(n), n, create + wake,
                 {{"bytes", static_cast<double>(bytes) / ops},
                  {"ns_create", create.wall * 1e9 / ops},
                  {"ns_wake", wake.wall * 1e9 / ops}});
}
