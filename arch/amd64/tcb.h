// Where the ABI puts a thread's control block, amd64: TLS variant II.  The thread
// pointer is the address of the block, the block's head is read by compiled code
// (self pointer, stack protector) and by libc (pointer guard).
#pragma once
#include <cstddef>

namespace rt0::arch {

inline constexpr bool tcb_at_tp = true;                     // struct pthread starts at the thread pointer
inline constexpr std::size_t tcb_self[] = {0, 16};          // words that hold the block's own address
inline constexpr std::size_t tcb_inherited[] = {0x28, 0x30};  // stack protector, pointer guard: one value per process
inline constexpr std::size_t tcb_multiple_threads = 24;     // int

inline char* thread_pointer() {
    char* p;
    asm volatile("movq %%fs:0, %0" : "=r"(p));
    return p;
}

}  // namespace rt0::arch
