// The pauses of chaos.h.
#include "base/chaos.h"

#include "arch/arch.h"
#include "kernel_if/clock.h"

namespace rt0::runtime {

constinit atomic<std::uint64_t> chaos_state{0};

// splitmix64; Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
void chaos_pause_slow() {
    // relaxed: see chaos_pause.
    std::uint64_t z = chaos_state.fetch_add(0x9E3779B97F4A7C15ull, memory_order_relaxed);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    switch (z & 15) {
        case 0: return kernel::usleep(z >> 8 & 127);
        case 1: case 2: return kernel::osyield();
        case 3: case 4:
            for (std::uint64_t i = z >> 8 & 1023; i > 0; i--) arch::cpu_relax();
    }
}

}  // namespace rt0::runtime
