// One well mixed word from another: random streams that are functions of a seed and a counter.
#pragma once
#include <cstdint>

namespace rt0::runtime {

// splitmix64; Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014): mix64 of a counter that
// steps by golden64.
inline constexpr std::uint64_t golden64 = 0x9E3779B97F4A7C15ull;
constexpr std::uint64_t mix64(std::uint64_t z) {
    z += golden64;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

}  // namespace rt0::runtime
