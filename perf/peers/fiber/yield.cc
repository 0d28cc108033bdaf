// yieldN: N fibers that do nothing but yield.  ops: yields.
#include "peer.h"

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"fibers", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    peer::workers threads(report::procs);
    std::vector<std::int64_t> counts(n);
    std::vector<boost::fibers::fiber> fibers;
    boost::fibers::barrier start(n + 1);
    for (std::int64_t i = 0; i < n; ++i)
        fibers.push_back(peer::go([&, i] {
            start.wait();
            for (std::int64_t k = 0; k < each; ++k) {
                boost::this_fiber::yield();
                ++counts[i];
            }
        }));
    start.wait();
    report::stopwatch clock;
    for (auto& f : fibers)
        f.join();
    const auto span = clock.stop();
    for (std::int64_t i = 0; i < n; ++i)
        if (counts[i] != each)
            report::fail("fiber %ld yielded %ld times, not %ld", i, counts[i], each);
    report::line("yield" + report::brief(n), n * each, span);
}
