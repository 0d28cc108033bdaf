// The system call instruction, arm64.  kernel_if is the only user: it knows the
// numbers and what the results mean.
//
// Kept by the kernel: every register but x0 (result: value or -errno).
// Unlike libc's syscall() this touches neither errno nor the cancellation state, so
// the runtime may use it between two statements of user code.
#pragma once

namespace rt0::arch {

inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
    register long x8 asm("x8") = nr;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    register long x5 asm("x5") = f;
    asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

}  // namespace rt0::arch
