// gobuf: the saved context of a goroutine that is not running.
//
// A switch pushes the callee-saved registers on the stack that is being left and
// keeps the stack pointer here; everything else lies on the stack, in the frame
// that arch/<cpu>/switch.S draws.  The struct is shared with assembler by offset.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::arch {

struct gobuf {
    std::uintptr_t sp = 0;  // of the switch frame; 0 while the goroutine runs
};

static_assert(offsetof(gobuf, sp) == 0, "switch.S stores through the gobuf pointer itself");

}  // namespace rt0::arch
