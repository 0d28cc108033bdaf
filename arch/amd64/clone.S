/* Thread creation, amd64 System V.

   long rt0_clone(unsigned long flags, uintptr_t sp, int32_t* tid, void* tls,
                  void (*fn)(void*), void* arg)
   clone(2) whose child calls fn(arg) on a stack of its own.  `tid` serves as both
   parent_tid and child_tid, as far as the flags use them.
   needs:   flags with CLONE_VM; sp aligned to 16, the first byte above the child's
            stack; fn never returns.
   parent:  returns the child's tid or -errno; keeps what any call keeps.
   child:   starts with signals and everything else as in the parent, on this frame:

       sp - 32   0     stands where a return address would: unwinding ends here
       sp - 24   fn    even between the system call and the first own instruction
       sp - 16   arg
       sp -  8   0     (unwinders may read this far above the first frame)

   rsp is sp - 32 in fn's caller.  CFI is right at every instruction on both sides.  */

#include <asm/unistd.h>

#include "arch/asm.h"

        .text

FUNC(rt0_clone)
        movq $0, -32(%rsi)
        movq %r8, -24(%rsi)
        movq %r9, -16(%rsi)
        movq $0, -8(%rsi)
        subq $32, %rsi
        movq %rdx, %r10                 /* child_tid */
        movq %rcx, %r8                  /* tls */
        movl $__NR_clone, %eax
        syscall
        testq %rax, %rax
        jz .Lchild
        ret
.Lchild:
        .cfi_undefined rip
        xorl %ebp, %ebp
        movq 16(%rsp), %rdi
        call *8(%rsp)
        ud2
END(rt0_clone)

        .section .note.GNU-stack, "", %progbits
