// Skynet (A. Temerev, 2016): each goroutine starts ten more until there are N leaves;
// every leaf sends its number up, every inner node the sum of its ten.
//
//   skynet [N]   N is a power of ten (1,000,000); the root must receive N(N-1)/2.
#include <rt0/rt0.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

static void skynet(rt0::chan<std::int64_t> up, std::int64_t first, std::int64_t size) {
    if (size == 1) {
        up.send(first);
        return;
    }
    rt0::chan<std::int64_t> sums(0);
    for (int i = 0; i < 10; i++) rt0::go(skynet, sums, first + i * (size / 10), size / 10);
    std::int64_t sum = 0;
    for (int i = 0; i < 10; i++) sum += *sums.recv();
    up.send(sum);
}

void main_main() {
    auto argv = rt0::args();
    std::int64_t leaves = argv.size() > 1 ? std::atoll(argv[1]) : 1'000'000;
    std::int64_t power = 1;
    while (power < leaves) power *= 10;
    if (power != leaves) {
        std::fprintf(stderr, "usage: skynet [N], N a power of ten\n");
        rt0::exit(2);
    }
    rt0::chan<std::int64_t> root(0);
    rt0::go(skynet, root, std::int64_t{0}, leaves);
    std::int64_t sum = *root.recv();
    if (sum != leaves * (leaves - 1) / 2) rt0::panic("skynet: wrong sum");
    rt0::println("skynet:", leaves, "leaves,", sum, "ok");
}
