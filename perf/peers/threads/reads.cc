// readsN: N threads in read(2) of one pipe; then N bytes.
// block_ms: until all of them block; wake_ms: from the first byte until all are done.
// ops: threads.
#include "peer.h"

#include <unistd.h>

#include <atomic>
#include <latch>

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"threads"})[0];
    int fd[2];
    if (pipe(fd) != 0)
        report::fail("pipe: %s", std::strerror(errno));
    std::atomic<std::int64_t> reading{0}, sum{0};
    std::latch done(n);
    std::vector<std::thread> threads;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&] {
            unsigned char byte = 0;
            reading++;
            if (read(fd[0], &byte, 1) != 1)
                report::fail("read: %s", std::strerror(errno));
            sum += byte;
            done.count_down();
        });
    while (reading < n)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto block = clock.stop();
    report::stopwatch waking;
    const std::vector<unsigned char> bytes(n, 1);
    for (std::int64_t sent = 0; sent < n;) {
        const auto r = write(fd[1], bytes.data() + sent, n - sent);
        if (r < 0)
            report::fail("write: %s", std::strerror(errno));
        sent += r;
    }
    done.wait();
    const auto wake = waking.stop();
    peer::join(threads);
    if (sum != n)
        report::fail("%ld bytes read, not %ld", sum.load(), n);
    report::line("reads" + report::brief(n), n, block + wake,
                 {{"block_ms", block.wall * 1e3}, {"wake_ms", wake.wall * 1e3}});
}
