// wake: a fiber of an otherwise idle process, woken every 2 ms by a thread that is no
// worker and sends on a channel.  ops: wake-ups; what counts is p50_us and p99_us, from
// before the send until the receiver runs.
#include "peer.h"

using clock_type = std::chrono::steady_clock;

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"wake-ups"})[0];
    peer::workers threads(report::procs);
    boost::fibers::unbuffered_channel<clock_type::time_point> ch;
    std::vector<std::int64_t> late;
    late.reserve(n);
    report::stopwatch clock;
    std::thread waker([&] {
        for (std::int64_t i = 0; i < n; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            ch.push(clock_type::now());
        }
        ch.close();
    });
    clock_type::time_point last;
    for (auto t : ch) {
        late.push_back((clock_type::now() - t).count());
        if (std::exchange(last, t) >= t)
            report::fail("the same wake-up twice");
    }
    const auto span = clock.stop();
    waker.join();
    report::wake_line(n, late, span);
}
