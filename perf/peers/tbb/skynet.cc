// skynet: a tree of tasks with fan-out 10; each leaves its number, or the sum of its
// children, in its parent's array.  ops: leaves.
#include "peer.h"

#include <array>
#include <numeric>

static std::int64_t skynet(std::int64_t num, std::int64_t size) {
    if (size == 1)
        return num;
    std::array<std::int64_t, 10> part;
    const std::int64_t sub = size / 10;
    tbb::task_group group;
    for (std::int64_t i = 0; i < 10; ++i)
        group.run([&slot = part[i], first = num + i * sub, sub] { slot = skynet(first, sub); });
    group.wait();
    return std::accumulate(part.begin(), part.end(), std::int64_t{0});
}

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"leaves-power-of-ten"})[0];
    report::check_leaves(n);
    std::int64_t sum = 0;
    report::span span;
    peer::run(report::procs, [&] {
        report::stopwatch clock;
        sum = skynet(0, n);
        span = clock.stop();
    });
    if (sum != report::sum_below(n))
        report::fail("sum %ld, not %ld", sum, report::sum_below(n));
    report::line("skynet", n, span, {{"peak_kib", static_cast<double>(report::peak_kib())}});
}
