// What the kernel saved of a thread that took a signal, amd64.
#pragma once
#include <ucontext.h>

#include <cstdint>

namespace rt0::arch {

inline std::uintptr_t context_pc(const void* uc) {
    return static_cast<std::uintptr_t>(static_cast<const ucontext_t*>(uc)->uc_mcontext.gregs[REG_RIP]);
}
inline std::uintptr_t context_sp(const void* uc) {
    return static_cast<std::uintptr_t>(static_cast<const ucontext_t*>(uc)->uc_mcontext.gregs[REG_RSP]);
}

// After a call to an address that holds no code: makes the context that of the call, for an
// unwinder.  The words at sp must be readable.
inline void context_undo_call(void* uc) {
    auto& r = static_cast<ucontext_t*>(uc)->uc_mcontext.gregs;
    r[REG_RIP] = *reinterpret_cast<const greg_t*>(r[REG_RSP]) - 1;
    r[REG_RSP] += 8;
}

}  // namespace rt0::arch
