// mutexN: N threads take one mutex for a tiny section.  ops: sections.
#include "peer.h"

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"threads", "sections-each"});
    const std::int64_t n = args[0], each = args[1];
    std::mutex mu;
    std::vector<std::thread> threads;
    std::int64_t counter = 0;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&] {
            for (std::int64_t k = 0; k < each; ++k) {
                const std::lock_guard hold(mu);
                ++counter;
            }
        });
    peer::join(threads);
    const auto span = clock.stop();
    {
        const std::lock_guard hold(mu);
        const std::int64_t mine = counter;
        threads.emplace_back([&] {
            const std::lock_guard too(mu);
            ++counter;
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (counter != mine)
            report::fail("two in one section");
    }
    peer::join(threads);
    if (--counter != n * each)
        report::fail("counted %ld, not %ld", counter, n * each);
    report::line("mutex" + report::brief(n), n * each, span);
}
