// What the acts of the storm share: the oracle, and what they send to each other.
// storm_prog.cc has the rules.
#pragma once
#include <rt0/rt0.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>

namespace {

using namespace std::chrono_literals;
using rng = std::mt19937_64;

std::uint64_t seed;
std::atomic<long> checks;

unsigned long long seed_ull() { return seed; }
int pick(rng& r, int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(r); }

void expect(const char* act, const char* what, long long got, long long want) {
    checks.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
    if (got == want) return;
    std::fflush(stdout);
    std::fprintf(stderr, "storm: %s: %s is %lld, not %lld (seed %llu)\n", act, what, got, want, seed_ull());
    rt0::panic("storm: oracle violated");
}

// What goes through channels: a value and its complement, so that a torn one shows.
struct parcel {
    long value = 0, inverse = ~0L;
    parcel() = default;
    explicit parcel(long v) : value(v), inverse(~v) {}
    bool whole() const { return value == ~inverse; }
};

struct ledger {  // of one act: what went in and what came out
    std::atomic<long> sent{0}, sent_sum{0}, got{0}, got_sum{0};

    void in(const parcel& p) { sent++, sent_sum += p.value; }
    void out(const char* act, const parcel& p) {
        if (!p.whole()) expect(act, "a parcel", p.inverse, ~p.value);
        got++, got_sum += p.value;
    }
    void settle(const char* act) {
        expect(act, "the number received", got, sent);
        expect(act, "the sum received", got_sum, sent_sum);
    }
};

}  // namespace
