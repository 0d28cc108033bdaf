// yieldN: N threads that do nothing but yield.  ops: yields.
#include "peer.h"

#include <barrier>

int main(int argc, char** argv) {
    const auto args = peer::args(argc, argv, {"threads", "yields-each"});
    const std::int64_t n = args[0], each = args[1];
    report::turn_counts counts(n);
    std::vector<std::thread> threads;
    std::barrier start(n + 1);
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            counts.take(i, each, [] { std::this_thread::yield(); });
        });
    report::stopwatch clock;  // no thread is past the barrier before main is there
    start.arrive_and_wait();
    peer::join(threads);
    const auto span = clock.stop();
    counts.check(each, 0.01);  // sched_yield(2) may find nobody who has run less
    report::line("yield" + report::brief(n), n * each, span);
}
