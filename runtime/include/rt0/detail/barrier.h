// What a barrier is without its completion function, for <rt0/sync.h>.
#pragma once
#include <atomic>
#include <cstdint>

#include <rt0/detail/atomic.h>
#include <rt0/detail/waitq.h>

namespace rt0 {

namespace detail {

struct no_completion {
    void operator()() noexcept {}
};

// What a barrier is without its completion function.  The word: bit 0 somebody waits,
// bits 1-31 arrivals missing in this phase, bits 32-63 number of the phase.  Nothing
// missing: the last one to arrive is running the completion function.
class barrier_base {
public:
    constexpr explicit barrier_base(std::uint64_t n) : g_{n << 1, {}}, expected_(n) {}

    // Counts n arrivals; true when the phase is complete and the caller must end it.
    bool arrive(std::uint64_t n, std::uint64_t* phase) {
        std::uint64_t s = g_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        do {
            if (n == 0 || n > missing(s)) throw_invalid("barrier: more arrivals than expected");
            // ORDER(barrier): acq_rel, of all who arrive; pairs with each other and the acquire in wait().
        } while (!cas(g_.word, s, s - (n << 1), std::memory_order_acq_rel));
        *phase = s >> 32;
        return missing(s) == n;
    }
    void end_phase(std::uint64_t phase) {
        // relaxed: who drops out does so before it arrives.
        std::uint64_t next = expected_.load(std::memory_order_relaxed) << 1 | ((phase + 1) << 32);
        // Bit 0 aside nobody changes the word while nothing is missing.
        gate_open(g_, phase << 32, next);
    }
    void wait(std::uint64_t phase) const {
        // ORDER(barrier): acquire; pairs with the release in gate_open() (by end_phase).
        if (g_.word.load(std::memory_order_acquire) >> 32 == phase)
            gate_wait(g_, [](std::uint64_t w, std::uint64_t ph) { return w >> 32 == ph; }, phase);
    }
    // Before an arrival.  One that must be refused is so here, where nothing is changed yet: the phase may end meanwhile.
    void drop() {
        // relaxed: whose arrival is missing keeps the phase from ending.
        if (missing(g_.word.load(std::memory_order_relaxed)) == 0) throw_invalid("barrier: more arrivals than expected");
        expected_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: the arrival publishes it to whoever ends the phase
    }
    void undrop() { expected_.fetch_add(1, std::memory_order_relaxed); }  // relaxed: as in drop

private:
    static std::uint64_t missing(std::uint64_t s) { return (s & 0xffffffff) >> 1; }

    mutable gate g_;
    atomic<std::uint64_t> expected_;
};

}  // namespace detail

}  // namespace rt0
