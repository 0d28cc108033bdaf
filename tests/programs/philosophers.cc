// Dining philosophers (Dijkstra): N at a round table, a chopstick between any two
// neighbours.  Each takes the one with the lower number first, so no circle of waiting
// can close.  Checked: none is ever in two hands, and every meal is eaten.
//
//   philosophers [N [MEALS]]   (5 philosophers, 2,000 meals each)
#include <rt0/rt0.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

struct chopstick {
    rt0::mutex in_hand;
    int holder = -1;  // who holds it; written and read only with in_hand locked
    long uses = 0;
};

static void dine(std::vector<chopstick>& forks, int self, int meals) {
    int n = static_cast<int>(forks.size());
    chopstick& first = forks[std::min(self, (self + 1) % n)];
    chopstick& second = forks[std::max(self, (self + 1) % n)];
    for (int i = 0; i < meals; i++) {
        std::unique_lock<rt0::mutex> a(first.in_hand);
        if (first.holder != -1) rt0::panic("philosophers: one in two hands");
        first.holder = self;
        if (i % 3 == 0) rt0::this_goroutine::yield();
        std::unique_lock<rt0::mutex> b(second.in_hand);
        if (second.holder != -1) rt0::panic("philosophers: one in two hands");
        second.holder = self;
        if (i % 5 == 0) rt0::this_goroutine::yield();
        if (first.holder != self || second.holder != self) rt0::panic("philosophers: one was stolen");
        first.uses++, second.uses++;
        first.holder = second.holder = -1;
    }
}

void main_main() {
    auto argv = rt0::args();
    int n = argv.size() > 1 ? std::atoi(argv[1]) : 5;
    int meals = argv.size() > 2 ? std::atoi(argv[2]) : 2000;
    std::vector<chopstick> forks(static_cast<std::size_t>(n));
    rt0::wait_group table;
    for (int i = 0; i < n; i++) table.go([&, i] { dine(forks, i, meals); });
    table.wait();
    for (chopstick& f : forks)
        if (f.uses != 2L * meals) rt0::panic("philosophers: a meal was lost");
    rt0::println("philosophers:", n, "ate", n * meals, "meals ok");
}
