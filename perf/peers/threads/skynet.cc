// skynet: a tree of threads with fan-out 10; leaves send their number up, inner nodes
// send the sum of their children.  ops: leaves.
#include "peer.h"

static void skynet(peer::queue<std::int64_t>& up, std::int64_t num, std::int64_t size) {
    if (size == 1) {
        up.push(num);
        return;
    }
    peer::queue<std::int64_t> down;
    std::vector<std::thread> children;
    const std::int64_t sub = size / 10;
    for (std::int64_t i = 0; i < 10; ++i)
        children.emplace_back(skynet, std::ref(down), num + i * sub, sub);
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i)
        sum += *down.pop();
    peer::join(children);
    up.push(sum);
}

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"leaves-power-of-ten"})[0];
    report::check_leaves(n);
    report::stopwatch clock;
    peer::queue<std::int64_t> up;
    std::thread root(skynet, std::ref(up), 0, n);
    const std::int64_t sum = *up.pop();
    const auto span = clock.stop();
    root.join();
    if (sum != report::sum_below(n))
        report::fail("sum %ld, not %ld", sum, report::sum_below(n));
    report::line("skynet", n, span);
}
