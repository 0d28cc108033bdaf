// sieve: the first N primes through a chain of filter goroutines over unbuffered
// channels.  ops: primes.
#include "report.h"

using ints = rt0::chan<std::int64_t>;

static void generate(ints out) {
    for (std::int64_t i = 2;; ++i)
        out.send(i);
}

static void filter(ints in, ints out, std::int64_t prime) {
    for (;;)
        if (const std::int64_t v = *in.recv(); v % prime != 0)
            out.send(v);
}

void main_main() {
    const std::size_t n = report::args({"primes"})[0];
    std::vector<std::int64_t> primes;
    primes.reserve(n);
    report::stopwatch clock;
    ints ch(0);
    rt0::go(generate, ch);
    while (primes.size() < n) {
        const std::int64_t prime = *ch.recv();
        primes.push_back(prime);
        ints next(0);
        rt0::go(filter, ch, next, prime);
        ch = next;
    }
    const auto span = clock.stop();
    report::check_primes(primes);
    report::line("sieve", static_cast<std::int64_t>(n), span);
}
