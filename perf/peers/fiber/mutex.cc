// mutexN: N fibers take one mutex for a tiny section.  ops: sections.
#include "peer.h"

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"fibers", "sections-each"});
    const std::int64_t n = args[0], each = args[1];
    peer::workers threads(report::procs);
    boost::fibers::mutex mu;
    std::vector<boost::fibers::fiber> fibers;
    std::int64_t counter = 0;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        fibers.push_back(peer::go([&] {
            for (std::int64_t k = 0; k < each; ++k) {
                const std::lock_guard hold(mu);
                ++counter;
            }
        }));
    for (auto& f : fibers)
        f.join();
    const auto span = clock.stop();
    boost::fibers::fiber another;
    {
        const std::lock_guard hold(mu);
        const std::int64_t mine = counter;
        another = peer::go([&] {
            const std::lock_guard too(mu);
            ++counter;
        });
        for (int k = 0; k < 3; ++k)
            boost::this_fiber::yield();
        if (counter != mine)
            report::fail("two in one section");
    }
    another.join();
    if (--counter != n * each)
        report::fail("counted %ld, not %ld", counter, n * each);
    report::line("mutex" + report::brief(n), n * each, span);
}
