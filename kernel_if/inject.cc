// The rules of injected faults.  inject.h says how they are read and counted.
#include "kernel_if/inject.h"

namespace rt0::kernel {

namespace {

struct rule {
    std::atomic<std::uint32_t> calls{0};  // made since the rule stands
    std::atomic<std::uint32_t> hits{0};
    std::uint32_t nth = 0;
    std::int32_t count = 0;
    int err = 0;
};

rule rules[static_cast<unsigned>(inject::calls)];
static_assert(static_cast<unsigned>(inject::calls) <= 64, "one bit each in inject_armed");

std::uint64_t bit(inject call) { return std::uint64_t{1} << static_cast<unsigned>(call); }

}  // namespace

std::atomic<std::uint64_t> detail::inject_armed{0};

void inject_fail(inject call, std::uint32_t nth, int err, std::int32_t count) {
    rule& r = rules[static_cast<unsigned>(call)];
    // relaxed: no reader looks at the rule before the bit is set below.
    detail::inject_armed.fetch_and(~bit(call), std::memory_order_relaxed);
    r.calls.store(0, std::memory_order_relaxed);
    r.hits.store(0, std::memory_order_relaxed);
    r.nth = nth;
    r.count = count;
    r.err = err;
    // ORDER(inject): release; pairs with the acquire in inject_slow (IJ1).
    detail::inject_armed.fetch_or(bit(call), std::memory_order_release);
}

// relaxed: a call that still sees the bit finds its rule intact.
void inject_off() { detail::inject_armed.store(0, std::memory_order_relaxed); }

namespace {
constinit std::atomic<std::atomic<std::uint32_t>*> also_here{nullptr};
}
// relaxed: set before the first rule.
void inject_count_in(std::atomic<std::uint32_t>* word) { also_here.store(word, std::memory_order_relaxed); }

std::uint32_t inject_hits(inject call) {
    // relaxed: a count; the test joined or stopped what it counts.
    return rules[static_cast<unsigned>(call)].hits.load(std::memory_order_relaxed);
}

int detail::inject_slow(inject call) {
    // ORDER(inject): acquire; pairs with the release in inject_fail (IJ1).
    if (!(inject_armed.load(std::memory_order_acquire) & bit(call))) return 0;
    rule& r = rules[static_cast<unsigned>(call)];
    // relaxed: only the number matters; the read-modify-write makes it unique (IJ2).
    std::uint32_t n = r.calls.fetch_add(1, std::memory_order_relaxed) + 1;
    if (n < r.nth) return 0;
    if (r.count >= 0 && n - r.nth >= static_cast<std::uint32_t>(r.count)) return 0;
    // relaxed: counts.
    r.hits.fetch_add(1, std::memory_order_relaxed);
    if (auto* word = also_here.load(std::memory_order_relaxed)) word->fetch_add(1, std::memory_order_relaxed);
    return -r.err;
}

}  // namespace rt0::kernel
