// What a load may see: for each atomic its last stores, with who has seen them by when.
//
//   MM1  The stores to one atomic are ordered as they were executed; memory itself holds the last.  A
//        read-modify-write reads the last one (so does a failed compare-and-exchange, as on every processor
//        that takes the line for it).
//   MM2  A load sees the last store or an older one, but none older than
//          - a store that happened before it, or that was read by a load that happened before it (coherence);
//          - for a seq_cst load: the last seq_cst store;
//          - what a fence puts before it (MM5);
//          - any store that was there at the last membarrier, or so long ago that store buffers have drained:
//            cfg::drain_pause and find.cc's WK6 count on that, and without it a spinning load might never end.
//   MM3  Happens-before is by vector clocks: an acquire load joins the clock of the release store it reads,
//        or of the one that headed the chain of read-modify-writes it reads from (C++20's release sequences).
//   MM4  Stale loads are all the weakness there is: loads and stores are not executed out of program
//        order, so what needs a load to be delayed past a later store (load buffering) does not come up.
//   MM5  Fences: seq_cst ones are ordered as they were executed.  What was stored, or seen, before one is not older than
//        what is seen after a later one; nothing happens before anything by it.  The product's stand around a change of
//        scheduling class (FO5 in sched/retake.cc and fork.cc), which no scenario runs: these are tried by
//        engine_test.cc alone.  It has no acquire or release fences, and the machine has none.
//
// Sources: Vyukov's Relacy (history of stores with times of first sight), Norris and Demsky, "CDSChecker" (2013).
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "arch/model.h"

namespace model {

constexpr int max_threads = 8;

struct clock_vector {
    std::array<std::uint32_t, max_threads> at{};
    void join(const clock_vector& o) {
        for (int i = 0; i < max_threads; i++)
            if (o.at[i] > at[i]) at[i] = o.at[i];
    }
};

// When a plain variable was accessed last, for var<T> (engine.h).
struct plain_access {
    std::uint32_t run = 0;  // of which run the rest is
    int writer = -1;
    std::uint32_t written = 0;
    clock_vector read;
};

class memory {
public:
    using word = rt0::arch::model_machine::word;
    using order = std::memory_order;

    void reset();
    void created(const void* at) { index_.erase(at); }
    // How many stores a load may choose from, the last one first.
    unsigned choices(int t, const void* at, word last, order o);
    // The load of the k-th of them; its value.
    word load(int t, const void* at, unsigned k, order o);
    void store(int t, const void* at, word last, word value, order o);
    void modify(int t, const void* at, word last, word value, order o);
    void missed(int t, const void* at, word last, order o) { choices(t, at, last, o), load(t, at, 0, o); }
    void membarrier();
    void fence(int t);
    void drain(std::uint64_t ns) { drained_ += ns; }

    // False: a race.
    bool plain_read(int t, plain_access& a);
    bool plain_write(int t, plain_access& a);

private:
    struct record {
        word value;
        std::uint64_t drained;                         // drained_ when it was stored
        std::array<std::uint32_t, max_threads> seen;   // each thread's time of first sight, 0: never
        clock_vector release;                          // what an acquire of it joins
        bool releases, seq_cst;
    };
    struct location {
        static constexpr unsigned kept = 8;  // records; older ones are forgotten, which only makes fewer choices
        record r[kept];
        unsigned n;
        const record& back(unsigned k) const { return r[n - 1 - k]; }
        record& back(unsigned k) { return r[n - 1 - k]; }
    };
    location& find(const void* at, word last);
    record& append(location& l, int t, word value, order o);
    bool must_see(int t, const record& r, order o) const;
    std::uint32_t tick(int t) { return ++clocks_[t].at[t]; }

    clock_vector clocks_[max_threads];
    clock_vector fenced_[max_threads], fences_;  // what had been seen by each thread's last fence, and before it; by all
    std::unordered_map<const void*, unsigned> index_;
    std::vector<location> pool_;
    unsigned used_ = 0;
    std::uint64_t drained_ = 0;
    std::uint32_t run_ = 0;
};

}  // namespace model
