// The numbers and the clock of a seeded schedule; SS1-SS3 in seeded.h.
#include "base/seeded.h"

#include "base/config.h"
#include "base/mix.h"

namespace rt0::runtime {

constinit bool seeded_on = false;

namespace {

constexpr std::int64_t first_moment = 1'000'000'000;  // ns; 0 says "no timer"

constinit std::int64_t seed = 0;  // [const] once RT0DEBUG is read
// relaxed, all of them: who holds the P has them (SS1); a foreign thread's use is no more than whole.
constinit atomic<std::uint64_t> state{0};
constinit atomic<std::int64_t> now{first_moment}, skipped{0};

}  // namespace

void seeded_start(std::int64_t n) {
    seeded_on = true;
    seed = n;
    state.store(mix64(static_cast<std::uint64_t>(n)), memory_order_relaxed);  // relaxed: one thread so far
}

std::int64_t seeded_seed() { return seed; }

std::uint64_t seeded_draw() {
    return mix64(state.fetch_add(golden64, memory_order_relaxed));  // relaxed: SS1
}

std::uint32_t seeded_below(std::uint32_t n) {
    return static_cast<std::uint32_t>((seeded_draw() >> 32) * n >> 32);
}

// relaxed, below: SS1.
std::int64_t virtual_now() { return now.load(memory_order_relaxed); }
std::int64_t virtual_look() { return now.fetch_add(cfg::seed_look, memory_order_relaxed) + cfg::seed_look; }
void virtual_tick() { now.fetch_add(cfg::seed_tick, memory_order_relaxed); }
std::int64_t virtual_skipped() { return skipped.load(memory_order_relaxed); }

void virtual_skip(std::int64_t to) {
    std::int64_t from = virtual_now();
    if (to <= from) return;
    skipped.fetch_add(to - from, memory_order_relaxed);  // relaxed: SS1
    now.store(to, memory_order_relaxed);                 // relaxed: SS1
}

}  // namespace rt0::runtime
