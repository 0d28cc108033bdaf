// Chance; CS1-CS3 in chaos.h.
#include "base/chaos.h"

#include "arch/arch.h"
#include "base/mix.h"
#include "kernel_if/clock.h"

namespace rt0::runtime {

constinit atomic<std::uint64_t> chaos_state{0};
constinit atomic<std::uint64_t> chaos_seen{0};

namespace {

// Of this thread: its stream, and how often it came to each window and, the last, drew for its scheduler (CS1).
constexpr unsigned windows = static_cast<unsigned>(window::count);
__thread std::uint32_t stream __attribute__((tls_model("initial-exec"), visibility("hidden"))) = 0;
__thread std::uint32_t visits[windows + 1] __attribute__((tls_model("initial-exec"), visibility("hidden"))) = {};

// Not inlined: the address of a thread's word must not be kept over a switch.
[[gnu::noinline]] std::uint64_t draw(unsigned at) {
    const std::uint64_t n = ++visits[at];
    return mix64(mix64(chaos_seed() ^ mix64(stream)) ^ mix64((std::uint64_t{at} << 32) + n * golden64));
}

// CS3: of 1024 visits so many sleep; twice as many yield, and twice as many spin.
std::uint32_t share(window w) {
    const std::uint64_t z = mix64(chaos_seed() + (static_cast<std::uint64_t>(w) + 1) * golden64) & 7;
    const std::uint32_t fond = z == 0 ? 128 : z < 4 ? 16 : 64;
    return w < first_debug_window ? fond : fond / 16;
}

void seen(window w) {
    const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(w);
    // relaxed, both: for tests, which look when all is done.
    if (!(chaos_seen.load(memory_order_relaxed) & bit)) chaos_seen.fetch_or(bit, memory_order_relaxed);
}

}  // namespace

void chaos_stream(std::int64_t id) {
    stream = static_cast<std::uint32_t>(id) + 1;
    for (std::uint32_t& n : visits) n = 0;
}

std::uint64_t chaos_draw() { return draw(windows); }

chaos_step chaos_decide(window w) {
    const std::uint64_t z = draw(static_cast<unsigned>(w));
    const std::uint32_t of1024 = z & 1023, sleeps = share(w);
    if (of1024 < sleeps) return {delay::sleep, static_cast<std::uint32_t>(z >> 10 & 127)};
    if (of1024 < 3 * sleeps) return {delay::yield, 0};
    if (of1024 < 5 * sleeps) return {delay::spin, static_cast<std::uint32_t>(z >> 10 & 1023)};
    return {delay::none, 0};
}

void chaos_pause_slow(window w) {
    seen(w);
    const chaos_step step = chaos_decide(w);
    switch (step.how) {
    case delay::none: return;
    case delay::sleep: return kernel::usleep(step.n);
    case delay::yield: return kernel::osyield();
    case delay::spin:
        for (std::uint32_t i = step.n; i > 0; i--) arch::cpu_relax();
    }
}

}  // namespace rt0::runtime
