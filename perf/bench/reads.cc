// readsN: N goroutines in a plain read(2) of one pipe, each in a thread in the end; then N bytes, from a thread of the
// program's own, for at the limit of threads the last reads hold the Ps.
// block_ms: until all of them block, or no more begin (bounded by set_max_threads: the rest waits for a thread);
// wake_ms: from the first byte until the main goroutine has heard of all; threads: of the process, while they block;
// threads_after: of rt0, 7 s later, when those too many have ended.
// ops: goroutines.
#include "report.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <tuple>

namespace {

using clock_type = std::chrono::steady_clock;

// Waits until n are reading, or for so long no more began; how many, and when the last began.
std::pair<std::int64_t, clock_type::time_point> until_all_read(const std::atomic<std::int64_t>& reading, std::int64_t n,
                                                               std::chrono::milliseconds patience) {
    auto last = clock_type::now();
    std::int64_t seen = 0;
    while (seen < n && clock_type::now() - last < patience) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (const std::int64_t now = reading; now != seen) {
            seen = now;
            last = clock_type::now();
        }
    }
    return {seen, last};
}

std::int64_t threads_now() {
    std::int64_t n = 0;
    for ([[maybe_unused]] auto& task : std::filesystem::directory_iterator("/proc/self/task")) n++;
    return n;
}

}  // namespace

void main_main() {
    const std::int64_t n = report::args({"goroutines"})[0];
    const int thread_limit = rt0::set_max_threads(10'000);  // no other call tells it
    rt0::set_max_threads(thread_limit);
    const bool may_all = n <= thread_limit / 2;  // there is a thread for each
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    std::atomic<std::int64_t> reading{0}, sum{0};
    rt0::wait_group wg;
    wg.add(n);
    report::stopwatch clock;
    const auto begin = clock_type::now();
    clock_type::time_point last_began, first_byte;
    std::int64_t began = 0, threads = 0;
    std::thread ender([&] {
        std::tie(began, last_began) = until_all_read(reading, n, std::chrono::milliseconds(may_all ? 10'000 : 200));
        threads = threads_now() - 1;  // this one
        const std::vector<unsigned char> bytes(n, 1);
        first_byte = clock_type::now();
        for (std::int64_t done = 0; done < n;) {
            const auto r = write(fd[1], bytes.data() + done, n - done);
            if (r < 0)
                report::fail("write: %s", std::strerror(errno));
            done += r;
        }
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
    const auto end = clock_type::now();
    const auto span = clock.stop();
    rt0::blocking([&] { ender.join(); });
    if (sum != n)
        report::fail("%ld bytes read, not %ld", sum.load(), n);
    if (began < n && may_all)
        report::fail("%ld blocked, not %ld", began, n);
    const auto ms = [](clock_type::duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
    rt0::this_goroutine::sleep_for(std::chrono::seconds(7));
    report::line("reads" + report::brief(n), n, span,
                 {{"block_ms", ms(last_began - begin)},
                  {"wake_ms", ms(end - first_byte)},
                  {"threads", static_cast<double>(threads)},
                  {"threads_after", rt0::num_thread()}});
}
