// skynet: a tree of goroutines with fan-out 10; leaves send their number up, inner
// nodes send the sum of their children.  ops: leaves.
#include "report.h"

static void skynet(rt0::chan<std::int64_t> up, std::int64_t num, std::int64_t size) {
    if (size == 1) {
        up.send(num);
        return;
    }
    rt0::chan<std::int64_t> down(0);
    const std::int64_t sub = size / 10;
    for (std::int64_t i = 0; i < 10; ++i)
        rt0::go(skynet, down, num + i * sub, sub);
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i)
        sum += *down.recv();
    up.send(sum);
}

void main_main() {
    const std::int64_t n = report::args({"leaves-power-of-ten"})[0];
    report::check_leaves(n);
    report::stopwatch clock;
    rt0::chan<std::int64_t> up(0);
    rt0::go(skynet, up, 0, n);
    const std::int64_t sum = *up.recv();
    const auto span = clock.stop();
    if (sum != n * (n - 1) / 2)
        report::fail("sum %ld, not %ld", sum, n * (n - 1) / 2);
    report::line("skynet", n, span, {{"peak_kib", static_cast<double>(report::peak_kib())}});
}
