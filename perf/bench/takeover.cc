// takeoverN: a goroutine blocks in a read of a pipe, undeclared, N times; with one P (the first argument) another
// that waits for the P then writes to the pipe.
// p50, p90, p99, max: from the last instruction before the read to the other's first, us.  Each time sysmon is in its fast
// mode, for it took the P a moment ago, and there is an idle M to give it to.
// ops: reads.
#include "report.h"

#include <unistd.h>

using clock_type = std::chrono::steady_clock;

void main_main() {
    const std::int64_t n = report::args({"reads"})[0];
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    std::vector<std::int64_t> took;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n + 2; ++i) {  // the first two wait for an M to be made
        rt0::wait_group wg;
        clock_type::time_point blocked;
        std::int64_t ns = 0;
        bool read_it = false;
        wg.go([&] {
            wg.go([&] {
                ns = std::chrono::nanoseconds(clock_type::now() - blocked).count();
                if (write(fd[1], "", 1) != 1)
                    report::fail("write: %s", std::strerror(errno));
            });
            char byte;
            blocked = clock_type::now();
            read_it = read(fd[0], &byte, 1) == 1;
        });
        wg.wait();
        if (!read_it)
            report::fail("read: %s", std::strerror(errno));
        if (i >= 2)
            took.push_back(ns);
    }
    report::line("takeover", n, clock.stop(),
                 {{"p50_us", report::percentile(took, 0.50) / 1e3},
                  {"p90_us", report::percentile(took, 0.90) / 1e3},
                  {"p99_us", report::percentile(took, 0.99) / 1e3},
                  {"max_us", report::percentile(took, 1.0) / 1e3}});
}
