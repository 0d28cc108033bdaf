// The processor, behind one header: context switches and the few instructions the
// runtime needs by name.  Knows saved contexts; knows nothing of G, M or P.
#pragma once
#include "arch/gobuf.h"
#include "arch/model.h"

#if defined(__x86_64__)
#include "arch/amd64/cpu.h"
#elif defined(__aarch64__)
#include "arch/arm64/cpu.h"
#else
#error "rt0 has no port to this processor (amd64 and arm64 exist)"
#endif

namespace rt0::arch {

// One iteration of a busy-wait loop.
inline void cpu_relax() {
    if (model_machine* m = model()) return m->cpu_relax();
    pause_instruction();
}

}  // namespace rt0::arch

extern "C" {
// Contracts stand in arch/<cpu>/switch.S.
void rt0_switch(rt0::arch::gobuf* save, const rt0::arch::gobuf* to);
[[noreturn]] void rt0_gogo(const rt0::arch::gobuf* to);
void rt0_mcall(rt0::arch::gobuf* save, std::uintptr_t sp, void (*fn)(void*), void* arg);
void rt0_oncall(std::uintptr_t sp, void (*fn)(void*), void* arg);
void rt0_goentry();  // never called from C++: the resume address of a new context
int rt0_unwind_saved(std::uintptr_t sp, int (*fn)(void*), void* arg);

// Contract in arch/<cpu>/clone.S.
long rt0_clone(unsigned long flags, std::uintptr_t sp, void* tid, void* tls, void (*fn)(void*), void* arg);
}
