/* Context switches, amd64 System V.

   A context at rest is its stack pointer (gobuf.sp); under it lies the switch frame:

       sp + 48   resume address
       sp + 40   rbp
       sp + 32   rbx
       sp + 24   r12
       sp + 16   r13
       sp +  8   r14
       sp +  0   r15

   Kept over a switch: rbx, rbp, r12-r15, rsp.  Not kept: everything the ABI lets a
   call destroy.  mxcsr and the x87 control word belong to the thread: a goroutine
   that changes them must put them back before it parks.
   The way back is `ret`: the context that comes back mostly parked in the very function
   that leaves now, so the return predictor is right, and stays in step for the returns
   of its callers.  With an indirect jump it is off by one from there on: every return
   up to user code is mispredicted (amd64: 64 ns a yield instead of 32).  */

#include "arch/asm.h"

        .text

        .macro save_frame
        push_reg(rbp)
        push_reg(rbx)
        push_reg(r12)
        push_reg(r13)
        push_reg(r14)
        push_reg(r15)
        .endm

        .macro leave_to_saved           /* rsp: at a switch frame */
        pop_reg(r15)
        pop_reg(r14)
        pop_reg(r13)
        pop_reg(r12)
        pop_reg(rbx)
        pop_reg(rbp)
        ret
        .endm

/* void rt0_switch(gobuf* save, const gobuf* to)
   needs: `to` at rest.  Returns when somebody switches to `save`. */
FUNC(rt0_switch)
        save_frame
        movq %rsp, (%rdi)
        movq (%rsi), %rsp
        leave_to_saved
END(rt0_switch)

/* void rt0_gogo(const gobuf* to), does not return: the stack it runs on is given up. */
FUNC(rt0_gogo)
        .cfi_undefined rip
        movq (%rdi), %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        popq %rcx
        jmp *%rcx
END(rt0_gogo)

/* void rt0_mcall(gobuf* save, uintptr_t sp, void (*fn)(void*), void* arg)
   Save the context, then run fn(arg) from a fresh frame at sp (16-byte aligned) on
   another stack.  fn does not return.  rt0_mcall returns when somebody switches to
   `save`.  Unwinding from fn ends here. */
FUNC(rt0_mcall)
        save_frame
        movq %rsp, (%rdi)
        movq %rsi, %rsp
        .cfi_undefined rip
        xorl %ebp, %ebp
        movq %rcx, %rdi
        call *%rdx
        ud2
END(rt0_mcall)

/* void rt0_oncall(uintptr_t sp, void (*fn)(void*), void* arg)
   Run fn(arg) from a fresh frame at sp on another stack and come back.  An unwinder
   walks through to the caller's stack. */
FUNC(rt0_oncall)
        push_reg(rbp)
        movq %rsp, %rbp
        .cfi_def_cfa_register rbp
        movq %rdi, %rsp
        movq %rdx, %rdi
        call *%rsi
        movq %rbp, %rsp
        .cfi_def_cfa_register rsp
        pop_reg(rbp)
        ret
END(rt0_oncall)

/* First instruction of every goroutine.  rbx: function, r12: its argument (placed in
   the first switch frame by arch::make_context).  CFI and frame pointers end here. */
FUNC(rt0_goentry)
        .cfi_undefined rip
        xorl %ebp, %ebp
        movq %r12, %rdi
        call *%rbx
        ud2
END(rt0_goentry)

/* int rt0_unwind_saved(uintptr_t sp, int (*fn)(void*), void* arg)
   Call fn(arg) from a frame whose caller, for an unwinder, is the context at rest at
   sp: _Unwind_Backtrace inside fn walks on into that goroutine's frames.  The CFI is
   that of save_frame with rbx in the place of rsp.  Returns fn's result. */
FUNC(rt0_unwind_saved)
        pushq %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        movq %rdi, %rbx
        movq %rdx, %rdi
        .cfi_remember_state
        .cfi_def_cfa rbx, 56
        .cfi_offset rbp, -16
        .cfi_offset rbx, -24
        .cfi_offset r12, -32
        .cfi_offset r13, -40
        .cfi_offset r14, -48
        .cfi_offset r15, -56
        call *%rsi
        .cfi_restore_state
        popq %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        ret
END(rt0_unwind_saved)

        .section .note.GNU-stack, "", %progbits
