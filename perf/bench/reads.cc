// readsN: N goroutines in a plain read(2) of one pipe, each in a thread in the end; then N bytes, from a thread of the
// program's own, for at the limit of threads the last reads hold the Ps.
// block_ms: until all of them block, or no more begin (bounded by set_max_threads: the rest waits for a thread);
// wake_ms: from the first byte until all are done; threads: of the process, while they block;
// threads_after: of rt0, 7 s later, when those too many have ended.
// ops: goroutines.
#include "report.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace {

using clock_type = std::chrono::steady_clock;

// Waits until n are reading, or for 200 ms no more began; when the last began.
clock_type::time_point until_all_read(const std::atomic<std::int64_t>& reading, std::int64_t n) {
    auto last = clock_type::now();
    std::int64_t seen = 0;
    while (seen < n && clock_type::now() - last < std::chrono::milliseconds(200)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (const std::int64_t now = reading; now != seen) {
            seen = now;
            last = clock_type::now();
        }
    }
    return last;
}

std::int64_t threads_now() {
    std::int64_t n = 0;
    for ([[maybe_unused]] auto& task : std::filesystem::directory_iterator("/proc/self/task")) n++;
    return n;
}

}  // namespace

void main_main() {
    const std::int64_t n = report::args({"goroutines"})[0];
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    std::atomic<std::int64_t> reading{0}, sum{0};
    rt0::wait_group wg;
    wg.add(n);
    report::stopwatch clock;
    const auto begin = clock_type::now();
    std::chrono::duration<double> blocked{}, woken{};
    std::int64_t threads = 0;
    std::thread ender([&] {
        blocked = until_all_read(reading, n) - begin;
        threads = threads_now() - 1;  // this one
        const std::vector<unsigned char> bytes(n, 1);
        const auto first = clock_type::now();
        for (std::int64_t done = 0; done < n;) {
            const auto r = write(fd[1], bytes.data() + done, n - done);
            if (r < 0)
                report::fail("write: %s", std::strerror(errno));
            done += r;
        }
        while (sum < n)
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        woken = clock_type::now() - first;
    });
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            unsigned char byte = 0;
            reading++;
            if (read(fd[0], &byte, 1) != 1)
                report::fail("read: %s", std::strerror(errno));
            sum += byte;
            wg.done();
        });
    wg.wait();
    const auto span = clock.stop();
    rt0::blocking([&] { ender.join(); });
    if (sum != n)
        report::fail("%ld bytes read, not %ld", sum.load(), n);
    rt0::this_goroutine::sleep_for(std::chrono::seconds(7));
    report::line("reads" + report::brief(n), n, span,
                 {{"block_ms", blocked.count() * 1e3},
                  {"wake_ms", woken.count() * 1e3},
                  {"threads", static_cast<double>(threads)},
                  {"threads_after", rt0::num_thread()}});
}
