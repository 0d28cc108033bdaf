// wake: a thread of an otherwise idle process, woken every 2 ms by another through an
// atomic that it waits on (a futex).  ops: wake-ups; what counts is p50_us and p99_us, from
// before the store until the receiver runs.
#include "peer.h"

#include <atomic>

using clock_type = std::chrono::steady_clock;

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"wake-ups"})[0];
    std::atomic<int> sent{0};
    std::vector<clock_type::time_point> when(n);
    std::vector<std::int64_t> late(n);
    report::stopwatch clock;
    std::thread waker([&] {
        for (auto& t : when) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            t = clock_type::now();
            sent++;
            sent.notify_one();
        }
    });
    for (int i = 0; i < n; ++i) {
        sent.wait(i);
        late[i] = (clock_type::now() - when[i]).count();
    }
    const auto span = clock.stop();
    waker.join();
    if (sent != n)
        report::fail("%d wake-ups, not %ld", sent.load(), n);
    report::wake_line(n, late, span);
}
