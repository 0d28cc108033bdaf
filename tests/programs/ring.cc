// Thread ring (the Computer Language Benchmarks Game): 503 goroutines in a circle pass
// a token that counts down; the one that receives 0 says its number.
//
//   ring [N]   N hops (1,000,000); the answer is N mod 503 + 1.
#include <rt0/rt0.h>

#include <cstdlib>
#include <vector>

void main_main() {
    constexpr int members = 503;
    auto argv = rt0::args();
    int hops = argv.size() > 1 ? std::atoi(argv[1]) : 1'000'000;
    std::vector<rt0::chan<int>> link;
    for (int i = 0; i < members; i++) link.emplace_back(0u);
    rt0::chan<int> winner(0);
    for (int i = 0; i < members; i++)
        rt0::go([=, in = link[i], out = link[(i + 1) % members]]() mutable {
            for (;;) {
                int token = *in.recv();
                if (token == 0) winner.send(i + 1);
                out.send(token - 1);
            }
        });
    link[0].send(hops);
    int who = *winner.recv();
    if (who != hops % members + 1) rt0::panic("ring: the token ended at the wrong goroutine");
    rt0::println("ring:", hops, "hops, goroutine", who, "ok");
}
