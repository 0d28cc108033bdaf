// Ping-pong: pairs of goroutines hand a counter to and fro over two unbuffered
// channels; each side checks that it sees every second number and nothing else.
//
//   pingpong [ROUNDS [PAIRS]]   (100,000 rounds, 1 and then 8 pairs)
#include <rt0/rt0.h>

#include <cstdlib>

static void play(int rounds) {
    rt0::chan<int> ping(0), pong(0);
    auto partner = rt0::spawn([=]() mutable {
        int expect = 0;
        for (int n : ping) {
            if (n != expect) rt0::panic("pingpong: the partner missed a ball");
            expect += 2;
            pong.send(n + 1);
        }
        return expect / 2;
    });
    for (int i = 0; i < rounds; i++) {
        ping.send(2 * i);
        if (pong.recv() != 2 * i + 1) rt0::panic("pingpong: wrong ball came back");
    }
    ping.close();
    if (partner.join() != rounds) rt0::panic("pingpong: wrong number of rounds");
}

static void tournament(int pairs, int rounds) {
    rt0::wait_group wg;
    for (int i = 0; i < pairs; i++) wg.go([=] { play(rounds); });
    wg.wait();
    rt0::println("pingpong:", pairs, "pairs,", rounds, "rounds each ok");
}

void main_main() {
    auto argv = rt0::args();
    int rounds = argv.size() > 1 ? std::atoi(argv[1]) : 100'000;
    int pairs = argv.size() > 2 ? std::atoi(argv[2]) : 8;
    tournament(1, rounds);
    tournament(pairs, rounds / pairs);
}
