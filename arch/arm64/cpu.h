// What rt0 knows of the arm64 processor: the TLS read of g, the pause instruction,
// the first frame of a goroutine.
#pragma once
#include <atomic>
#include <cstdint>

namespace rt0::arch {

inline constexpr std::uintptr_t stack_align = 16;

// One iteration of a busy-wait loop.  ISB (some 30 cycles); YIELD takes none on most cores.
inline void pause_instruction() { asm volatile("isb" ::: "memory"); }

// amd64's compare-and-exchange without lock: here a load and a store exclusive would do the same, at the
// price of the locked form.
inline constexpr bool has_local_cas = false;
inline bool local_cas(std::atomic<std::uint32_t>* word, std::uint32_t& seen, std::uint32_t to) {
    return word->compare_exchange_strong(seen, to);
}

inline constexpr int switch_frame_words = 20;  // x29 x30, x19-x28, d8-d15

// Writes the switch frame from which rt0_switch or rt0_gogo enters fn(arg) through
// rt0_goentry.  `top` is the first byte above the usable stack, aligned to 16.
// Returns the value for gobuf.sp.
template <class Entry>
inline std::uintptr_t make_context(std::uintptr_t top, Entry* entry, void (*fn)(void*), void* arg) {
    auto* w = reinterpret_cast<std::uintptr_t*>(top);
    *--w = 0;                                         // two words that unwinders may read
    *--w = 0;                                         // rt0_goentry's sp: 16-aligned, here
    w -= switch_frame_words;
    for (int i = 0; i < switch_frame_words; i++) w[i] = 0;  // x29: frame chain ends
    w[1] = reinterpret_cast<std::uintptr_t>(entry);   // x30, resume address
    w[2] = reinterpret_cast<std::uintptr_t>(fn);      // x19
    w[3] = reinterpret_cast<std::uintptr_t>(arg);     // x20
    return reinterpret_cast<std::uintptr_t>(w);
}

// Reads an initial-exec thread-local pointer.  An asm volatile is read anew at each
// call, whatever thread the code has moved to since the last (a plain C++ read of a
// thread_local may be cached over a switch).
#define RT0_READ_TLS(symbol, out)                                             \
    do {                                                                      \
        void* rt0_tls_offset;                                                 \
        asm volatile("adrp %1, :gottprel:" #symbol "\n\t"                     \
                     "ldr %1, [%1, #:gottprel_lo12:" #symbol "]\n\t"          \
                     "mrs %0, tpidr_el0\n\t"                                  \
                     "ldr %0, [%0, %1]"                                       \
                     : "=&r"(out), "=&r"(rt0_tls_offset));                    \
    } while (0)
#define RT0_WRITE_TLS(symbol, value)                                          \
    do {                                                                      \
        void *rt0_tls_offset, *rt0_tls_pointer;                               \
        asm volatile("adrp %0, :gottprel:" #symbol "\n\t"                     \
                     "ldr %0, [%0, #:gottprel_lo12:" #symbol "]\n\t"          \
                     "mrs %1, tpidr_el0\n\t"                                  \
                     "str %2, [%1, %0]"                                       \
                     : "=&r"(rt0_tls_offset), "=&r"(rt0_tls_pointer)          \
                     : "r"(value)                                             \
                     : "memory");                                             \
    } while (0)

}  // namespace rt0::arch
