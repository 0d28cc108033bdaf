// skynet: a tree of fibers with fan-out 10; leaves send their number up, inner nodes send
// the sum of their children.  Channels of capacity 16 and detached fibers, as in Boost's
// own version.  ops: leaves.
#include "peer.h"

using ints = boost::fibers::buffered_channel<std::int64_t>;

static void skynet(ints& up, std::int64_t num, std::int64_t size) {
    if (size == 1) {
        up.push(num);
        return;
    }
    ints down(16);
    const std::int64_t sub = size / 10;
    for (std::int64_t i = 0; i < 10; ++i)
        peer::go([&down, first = num + i * sub, sub] { skynet(down, first, sub); }).detach();
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i)
        sum += down.value_pop();
    up.push(sum);
}

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"leaves-power-of-ten"})[0];
    report::check_leaves(n);
    peer::workers threads(report::procs);
    report::stopwatch clock;
    ints up(2);
    peer::go([&] { skynet(up, 0, n); }).detach();
    const std::int64_t sum = up.value_pop();
    const auto span = clock.stop();
    if (sum != report::sum_below(n))
        report::fail("sum %ld, not %ld", sum, report::sum_below(n));
    report::line("skynet", n, span, {{"peak_kib", static_cast<double>(report::peak_kib())}});
}
