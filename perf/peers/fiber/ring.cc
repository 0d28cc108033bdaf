// ring: 503 fibers in a ring of unbuffered channels pass one token.  ops: hops.
#include "peer.h"

int main(int argc, char** argv) {
    constexpr std::int64_t members = 503;
    const std::int64_t n = peer::args(argc, argv, {"hops"})[0];
    peer::workers threads(report::procs);
    std::vector<boost::fibers::unbuffered_channel<std::int64_t>> link(members);
    std::vector<boost::fibers::fiber> fibers;
    boost::fibers::unbuffered_channel<std::int64_t> done;
    report::stopwatch clock;
    for (std::int64_t i = 0; i < members; ++i)
        fibers.push_back(peer::go([&, i, &in = link[i], &out = link[(i + 1) % members]] {
            for (std::int64_t left : in)
                if (left == 0)
                    done.push(i);
                else
                    out.push(left - 1);
        }));
    link[0].push(n);
    const std::int64_t last = done.value_pop();
    const auto span = clock.stop();
    for (auto& l : link)
        l.close();
    for (auto& f : fibers)
        f.join();
    if (last != n % members)
        report::fail("the token stopped at %ld, not %ld", last, n % members);
    report::line("ring", n, span);
}
