// sieve: the first N primes through a chain of filter fibers over unbuffered channels.
// ops: primes.
#include "peer.h"

#include <memory>

using ints = boost::fibers::unbuffered_channel<std::int64_t>;
using ints_ptr = std::shared_ptr<ints>;

static void generate(ints_ptr out) {
    for (std::int64_t i = 2; out->push(i) == boost::fibers::channel_op_status::success; ++i) {}
}

// Ends when the channel after it is closed, and closes the one before it.
static void filter(ints_ptr in, ints_ptr out, std::int64_t prime) {
    for (std::int64_t v : *in)
        if (v % prime != 0 && out->push(v) != boost::fibers::channel_op_status::success)
            break;
    in->close();
}

int main(int argc, char** argv) {
    const std::size_t n = peer::args(argc, argv, {"primes"})[0];
    peer::workers threads(report::procs);
    std::vector<std::int64_t> primes;
    primes.reserve(n);
    std::vector<boost::fibers::fiber> fibers;
    report::stopwatch clock;
    auto ch = std::make_shared<ints>();
    fibers.push_back(peer::go([ch] { generate(ch); }));
    while (primes.size() < n) {
        const std::int64_t prime = ch->value_pop();
        primes.push_back(prime);
        auto next = std::make_shared<ints>();
        fibers.push_back(peer::go([ch, next, prime] { filter(ch, next, prime); }));
        ch = next;
    }
    const auto span = clock.stop();
    ch->close();
    for (auto& f : fibers)
        f.join();
    report::check_primes(primes);
    report::line("sieve", static_cast<std::int64_t>(n), span);
}
