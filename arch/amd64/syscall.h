// The system call instruction, amd64.  kernel_if is the only user: it knows the
// numbers and what the results mean.
//
// Kept by the kernel: every register but rax (result: value or -errno), rcx and r11.
// Unlike libc's syscall() this touches neither errno nor the cancellation state, so
// the runtime may use it between two statements of user code.
#pragma once

namespace rt0::arch {

inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long ret;
    asm volatile("syscall"
                 : "=a"(ret)
                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return ret;
}

}  // namespace rt0::arch
