// What rt0 knows of the amd64 processor: the TLS read of g, the pause instruction,
// the first frame of a goroutine.
#pragma once
#include <atomic>
#include <cstdint>

namespace rt0::arch {

inline constexpr std::uintptr_t stack_align = 16;

// One iteration of a busy-wait loop (PAUSE: 40-140 cycles, lets the sibling run).
inline void pause_instruction() { asm volatile("pause" ::: "memory"); }

// A compare-and-exchange without the lock prefix: one instruction, so whole towards interrupts, hence
// towards whoever runs a membarrier, but not towards other processors.  A quarter of the cost.
// One that fails writes what it read.  True: `seen` was there, and `to` is.
inline constexpr bool has_local_cas = true;
inline bool local_cas(std::atomic<std::uint32_t>* word, std::uint32_t& seen, std::uint32_t to) {
    bool equal;
    asm volatile("cmpxchgl %3, %0" : "+m"(*word), "+a"(seen), "=@ccz"(equal) : "r"(to) : "memory");
    return equal;
}

inline constexpr int switch_frame_words = 7;  // r15 r14 r13 r12 rbx rbp, resume address

// Writes the switch frame from which rt0_switch or rt0_gogo enters fn(arg) through
// rt0_goentry.  `top` is the first byte above the usable stack, aligned to 16.
// Returns the value for gobuf.sp.
template <class Entry>
inline std::uintptr_t make_context(std::uintptr_t top, Entry* entry, void (*fn)(void*), void* arg) {
    auto* w = reinterpret_cast<std::uintptr_t*>(top);
    *--w = 0;                                         // rt0_goentry's sp: 16-aligned, above it
    *--w = 0;                                         // two words that unwinders may read
    *--w = reinterpret_cast<std::uintptr_t>(entry);   // resume address
    *--w = 0;                                         // rbp: frame chain ends
    *--w = reinterpret_cast<std::uintptr_t>(fn);      // rbx
    *--w = reinterpret_cast<std::uintptr_t>(arg);     // r12
    *--w = 0;                                         // r13
    *--w = 0;                                         // r14
    *--w = 0;                                         // r15
    return reinterpret_cast<std::uintptr_t>(w);
}

// Reads an initial-exec thread-local pointer.  An asm volatile is read anew at each
// call, whatever thread the code has moved to since the last (a plain C++ read of a
// thread_local may be cached over a switch).
#define RT0_READ_TLS(symbol, out)                               \
    asm volatile("movq " #symbol "@gottpoff(%%rip), %0\n\t"     \
                 "movq %%fs:(%0), %0"                           \
                 : "=r"(out))
#define RT0_WRITE_TLS(symbol, value)                            \
    do {                                                        \
        void* rt0_tls_offset;                                   \
        asm volatile("movq " #symbol "@gottpoff(%%rip), %0\n\t" \
                     "movq %1, %%fs:(%0)"                       \
                     : "=&r"(rt0_tls_offset)                    \
                     : "r"(value)                               \
                     : "memory");                               \
    } while (0)

}  // namespace rt0::arch
