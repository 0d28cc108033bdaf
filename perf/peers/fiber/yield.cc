// yieldN: N fibers that do nothing but yield.  ops: yields.
#include "peer.h"

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"fibers", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    peer::workers threads(report::procs);
    report::turn_counts counts(n);
    std::vector<boost::fibers::fiber> fibers;
    boost::fibers::barrier start(n + 1);
    for (std::int64_t i = 0; i < n; ++i)
        fibers.push_back(peer::go([&, i] {
            start.wait();
            counts.take(i, each, [] { boost::this_fiber::yield(); });
        }));
    start.wait();
    report::stopwatch clock;
    for (auto& f : fibers)
        f.join();
    const auto span = clock.stop();
    counts.check(each);
    report::line("yield" + report::brief(n), n * each, span);
}
