// takeoverN: N times a goroutine blocks in a read of a pipe, undeclared, or (a third argument, "loop") runs without
// end; with one P (the first argument) another that waits for the P then writes to the pipe, or ends the loop.
// p50, p90, p99, max: from the last instruction before the read, or from the loop's first, to the other's first, us.  At
// reads sysmon is in its fast mode each time, for it took the P a moment ago, and there is an idle M to give it to.
// ops: reads, or loops.
#include "report.h"

#include <unistd.h>

#include <atomic>

using clock_type = std::chrono::steady_clock;

namespace {

// What one goroutine holds its P with, and another ends.
struct pipe_read {
    int fd[2];
    pipe_read() {
        if (pipe(fd) != 0)
            report::fail("pipe: %s", std::strerror(errno));
    }
    void hold() {
        char byte;
        if (read(fd[0], &byte, 1) != 1)
            report::fail("read: %s", std::strerror(errno));
    }
    void end() {
        if (write(fd[1], "", 1) != 1)
            report::fail("write: %s", std::strerror(errno));
    }
};
struct loop {
    std::atomic<int> turns{0};
    int turn = 0;
    void hold() {
        while (turns.load(std::memory_order_relaxed) == turn) {}
        turn++;
    }
    void end() { turns++; }
};

// Nanoseconds until the other ran.
template <class H>
std::int64_t once(H& how) {
    rt0::wait_group wg;
    clock_type::time_point begin;
    std::int64_t ns = 0;
    wg.go([&] {
        wg.go([&] {
            ns = std::chrono::nanoseconds(clock_type::now() - begin).count();
            how.end();
        });
        begin = clock_type::now();
        how.hold();
    });
    wg.wait();
    return ns;
}

template <class H>
void measure(const char* name, std::int64_t n) {
    H how;
    std::vector<std::int64_t> took;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n + 2; ++i) {  // the first two wait for an M to be made
        const std::int64_t ns = once(how);
        if (i >= 2)
            took.push_back(ns);
    }
    report::line(name, n, clock.stop(),
                 {{"p50_us", report::percentile(took, 0.50) / 1e3},
                  {"p90_us", report::percentile(took, 0.90) / 1e3},
                  {"p99_us", report::percentile(took, 0.99) / 1e3},
                  {"max_us", report::percentile(took, 1.0) / 1e3}});
}

}  // namespace

void main_main() {
    const auto argv = rt0::args();
    const bool loops = argv.size() == 4 && std::strcmp(argv[3], "loop") == 0;
    const std::int64_t n = report::args({"times"}, argv.first(argv.size() - loops))[0];
    if (loops)
        measure<loop>("takeover-loop", n);
    else
        measure<pipe_read>("takeover", n);
}
