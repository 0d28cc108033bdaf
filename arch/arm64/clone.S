/* Thread creation, arm64 AAPCS64.

   long rt0_clone(unsigned long flags, uintptr_t sp, int32_t* tid, void* tls,
                  void (*fn)(void*), void* arg)
   clone(2) whose child calls fn(arg) on a stack of its own.  `tid` serves as both
   parent_tid and child_tid, as far as the flags use them.
   needs:   flags with CLONE_VM; sp aligned to 16, the first byte above the child's
            stack; fn never returns.
   parent:  returns the child's tid or -errno; keeps what any call keeps.
   child:   starts with signals and everything else as in the parent, on this frame:

       sp - 32   0     stands where the parent saved x30: unwinding ends here
       sp - 24   fn    even between the system call and the first own instruction
       sp - 16   arg
       sp -  8   0     (unwinders may read this far above the first frame)

   sp is sp - 32 in fn's caller.  CFI is right at every instruction on both sides.  */

#include <asm/unistd.h>

#include "arch/asm.h"

        .text

FUNC(rt0_clone)
        sub sp, sp, #16
        .cfi_adjust_cfa_offset 16
        str x30, [sp]
        .cfi_rel_offset x30, 0
        stp xzr, x4, [x1, #-32]!
        stp x5, xzr, [x1, #16]
        mov x4, x2                      /* child_tid; x2: parent_tid, x3: tls */
        mov x8, #__NR_clone
        svc #0
        cbz x0, .Lchild
        .cfi_remember_state
        ldr x30, [sp]
        .cfi_restore x30
        add sp, sp, #16
        .cfi_adjust_cfa_offset -16
        ret
        .cfi_restore_state
.Lchild:
        .cfi_undefined x30
        mov x29, xzr
        ldr x9, [sp, #8]
        ldr x0, [sp, #16]
        blr x9
        brk #1
END(rt0_clone)

        .section .note.GNU-stack, "", %progbits
