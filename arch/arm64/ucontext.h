// What the kernel saved of a thread that took a signal, arm64.
#pragma once
#include <ucontext.h>

#include <cstdint>

namespace rt0::arch {

inline std::uintptr_t context_pc(const void* uc) { return static_cast<const ucontext_t*>(uc)->uc_mcontext.pc; }
inline std::uintptr_t context_sp(const void* uc) { return static_cast<const ucontext_t*>(uc)->uc_mcontext.sp; }

// After a call to an address that holds no code: makes the context that of the call, for an
// unwinder.
inline void context_undo_call(void* uc) {
    auto& c = static_cast<ucontext_t*>(uc)->uc_mcontext;
    c.pc = c.regs[30] - 4;
}

}  // namespace rt0::arch
