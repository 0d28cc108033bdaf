// Prime sieve: a generator and one filter goroutine per prime found, in a chain of
// unbuffered channels.  The program of Hoare's CSP paper (1978) and of Go's tour.
//
//   sieve [N]   finds the first N primes (1000) and checks them by trial division.
#include <rt0/rt0.h>

#include <cstdlib>
#include <string>
#include <vector>

static void filter(rt0::receiver<int> in, rt0::sender<int> out, int prime) {
    for (;;) {
        int n = *in.recv();
        if (n % prime != 0) out.send(n);
    }
}

static bool is_prime(int n) {
    for (int d = 2; d * d <= n; d++)
        if (n % d == 0) return false;
    return n > 1;
}

void main_main() {
    auto argv = rt0::args();
    int want = argv.size() > 1 ? std::atoi(argv[1]) : 1000;
    rt0::chan<int> ch(0);
    rt0::go([ch]() mutable {
        for (int n = 2;; n++) ch.send(n);
    });
    std::vector<int> primes;
    while (static_cast<int>(primes.size()) < want) {
        int prime = *ch.recv();
        primes.push_back(prime);
        rt0::chan<int> next(0);
        rt0::go(filter, rt0::receiver<int>(ch), rt0::sender<int>(next), prime);
        ch = next;
    }
    std::size_t i = 0;
    for (int n = 2; i < primes.size(); n++) {
        if (!is_prime(n)) continue;
        if (primes[i] != n) rt0::panic("sieve: found " + std::to_string(primes[i]) + " for " + std::to_string(n));
        i++;
    }
    rt0::println("sieve:", want, "primes, the last", primes.empty() ? 0 : primes.back(), "ok");
}
