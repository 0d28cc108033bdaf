// yieldN: N threads that do nothing but yield.  ops: yields.
#include "peer.h"

#include <barrier>

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"threads", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    std::vector<std::int64_t> counts(n);
    std::vector<std::thread> threads;
    std::barrier start(n + 1);
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            for (std::int64_t k = 0; k < each; ++k) {
                std::this_thread::yield();
                ++counts[i];
            }
        });
    report::stopwatch clock;  // no thread is past the barrier before main is there
    start.arrive_and_wait();
    peer::join(threads);
    const auto span = clock.stop();
    for (std::int64_t i = 0; i < n; ++i)
        if (counts[i] != each)
            report::fail("thread %ld yielded %ld times, not %ld", i, counts[i], each);
    report::line("yield" + report::brief(n), n * each, span);
}
