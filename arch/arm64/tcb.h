// Where the ABI puts a thread's control block, arm64: TLS variant I.  The thread
// pointer stands right behind struct pthread; compiled code reads nothing of the block
// (the stack protector's value is a variable of the process).
#pragma once
#include <array>
#include <cstddef>

namespace rt0::arch {

inline constexpr bool tcb_at_tp = false;                     // struct pthread ends at the thread pointer
inline constexpr std::array<std::size_t, 0> tcb_self = {};   // words that hold the block's own address
inline constexpr std::array<std::size_t, 0> tcb_inherited = {};  // words that are one value per process
inline constexpr std::size_t tcb_multiple_threads = 0;       // int

inline char* thread_pointer() {
    char* p;
    asm volatile("mrs %0, tpidr_el0" : "=r"(p));
    return p;
}

}  // namespace rt0::arch
