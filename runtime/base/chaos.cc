// Chance; CS1, CS2 in chaos.h.
#include "base/chaos.h"

#include "arch/arch.h"
#include "base/mix.h"
#include "kernel_if/clock.h"

namespace rt0::runtime {

constinit atomic<std::uint64_t> chaos_state{0};

namespace {

__thread std::uint64_t stream __attribute__((tls_model("initial-exec"), visibility("hidden"))) = 0;  // CS1
__thread std::uint64_t place __attribute__((tls_model("initial-exec"), visibility("hidden"))) = 0;   // in it

}  // namespace

void chaos_stream(std::int64_t id) {
    stream = static_cast<std::uint64_t>(id) + 1;
    place = 0;
}

// Not inlined: the address of a thread's word must not be kept over a switch.
[[gnu::noinline]] std::uint64_t chaos_draw() {
    return mix64(mix64(chaos_seed() ^ mix64(stream)) + ++place * golden64);
}

void chaos_pause_slow() {
    std::uint64_t z = chaos_draw();
    switch (z & 15) {
        case 0: return kernel::usleep(z >> 8 & 127);
        case 1: case 2: return kernel::osyield();
        case 3: case 4:
            for (std::uint64_t i = z >> 8 & 1023; i > 0; i--) arch::cpu_relax();
    }
}

}  // namespace rt0::runtime
