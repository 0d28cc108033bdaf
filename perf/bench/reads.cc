// readsN: N goroutines in a plain read(2) of one pipe, each in a thread in the end; then N bytes.
// block_ms: until all of them block; wake_ms: from the first byte until all are done;
// threads: while all block (bounded by set_max_threads: the rest waits for a thread);
// threads_after: 7 s later, when those too many have ended.
// ops: goroutines.
#include "report.h"

#include <unistd.h>

#include <atomic>

void main_main() {
    const std::int64_t n = report::args({"goroutines"})[0];
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    std::atomic<std::int64_t> reading{0}, sum{0};
    rt0::wait_group wg;
    wg.add(n);
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        rt0::go([&] {
            unsigned char byte = 0;
            reading++;
            if (read(fd[0], &byte, 1) != 1)
                report::fail("read: %s", std::strerror(errno));
            sum += byte;
            wg.done();
        });
    // At the limit of threads the last of them hold the Ps, and the main goroutine, too.
    while (reading < n && rt0::num_thread() < 9990)
        rt0::this_goroutine::sleep_for(std::chrono::milliseconds(1));
    const auto block = clock.stop();
    const int threads = rt0::num_thread();
    report::stopwatch waking;
    const std::vector<unsigned char> bytes(n, 1);
    for (std::int64_t done = 0; done < n;) {
        const auto r = write(fd[1], bytes.data() + done, n - done);
        if (r < 0)
            report::fail("write: %s", std::strerror(errno));
        done += r;
    }
    wg.wait();
    const auto wake = waking.stop();
    if (sum != n)
        report::fail("%ld bytes read, not %ld", sum.load(), n);
    rt0::this_goroutine::sleep_for(std::chrono::seconds(7));
    report::line("reads" + report::brief(n), n, block + wake,
                 {{"block_ms", block.wall * 1e3},
                  {"wake_ms", wake.wall * 1e3},
                  {"threads", threads},
                  {"threads_after", rt0::num_thread()}});
}
