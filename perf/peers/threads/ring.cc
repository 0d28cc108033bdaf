// ring: 503 threads in a ring of queues of capacity 1 pass one token.  ops: hops.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t members = 503;
    const std::int64_t n = peer::args(argc, argv, {"hops"})[0];
    std::vector<peer::queue<std::int64_t>> link(members);
    std::vector<std::thread> threads;
    peer::queue<std::int64_t> done;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < members; ++i)
        threads.emplace_back([&, i, &in = link[i], &out = link[(i + 1) % members]] {
            while (const auto left = in.pop())
                if (*left == 0)
                    done.push(i);
                else
                    out.push(*left - 1);
        });
    link[0].push(n);
    const std::int64_t last = *done.pop();
    const auto span = clock.stop();
    for (auto& l : link)
        l.close();
    peer::join(threads);
    if (last != n % members)
        report::fail("the token stopped at %ld, not %ld", last, n % members);
    report::line("ring", n, span);
}
