/* Context switches, arm64 AAPCS64.

   A context at rest is its stack pointer (gobuf.sp); at it lies the switch frame:

       sp + 144  d14 d15
       sp + 128  d12 d13
       sp + 112  d10 d11
       sp +  96  d8  d9
       sp +  80  x27 x28
       sp +  64  x25 x26
       sp +  48  x23 x24
       sp +  32  x21 x22
       sp +  16  x19 x20
       sp +   0  x29, resume address (x30)

   Kept over a switch: x19-x29, sp, the low halves of v8-v15.  Not kept: everything the
   ABI lets a call destroy.  fpcr and fpsr belong to the thread: a goroutine that
   changes them must put them back before it parks.
   The way back is `ret`: the context that comes back mostly parked in the very function
   that leaves now, so the return predictor is right, and stays in step for the returns
   of its callers.  With an indirect jump it is off by one from there on: every return
   up to user code is mispredicted (amd64: 64 ns a yield instead of 32).  */

#include "arch/asm.h"

        .text

        .macro save_frame
        sub sp, sp, #160
        .cfi_adjust_cfa_offset 160
        store_pair(x29, x30, 0)
        store_pair(x19, x20, 16)
        store_pair(x21, x22, 32)
        store_pair(x23, x24, 48)
        store_pair(x25, x26, 64)
        store_pair(x27, x28, 80)
        store_pair(d8, d9, 96)
        store_pair(d10, d11, 112)
        store_pair(d12, d13, 128)
        store_pair(d14, d15, 144)
        .endm

        .macro leave_to_saved           /* sp: at a switch frame */
        load_pair(d14, d15, 144)
        load_pair(d12, d13, 128)
        load_pair(d10, d11, 112)
        load_pair(d8, d9, 96)
        load_pair(x27, x28, 80)
        load_pair(x25, x26, 64)
        load_pair(x23, x24, 48)
        load_pair(x21, x22, 32)
        load_pair(x19, x20, 16)
        load_pair(x29, x30, 0)
        add sp, sp, #160
        .cfi_adjust_cfa_offset -160
        ret
        .endm

/* void rt0_switch(gobuf* save, const gobuf* to)
   needs: `to` at rest.  Returns when somebody switches to `save`. */
FUNC(rt0_switch)
        save_frame
        mov x9, sp
        str x9, [x0]
        ldr x9, [x1]
        mov sp, x9
        leave_to_saved
END(rt0_switch)

/* void rt0_gogo(const gobuf* to), does not return: the stack it runs on is given up. */
FUNC(rt0_gogo)
        .cfi_undefined x30
        ldr x9, [x0]
        mov sp, x9
        ldp d14, d15, [sp, #144]
        ldp d12, d13, [sp, #128]
        ldp d10, d11, [sp, #112]
        ldp d8, d9, [sp, #96]
        ldp x27, x28, [sp, #80]
        ldp x25, x26, [sp, #64]
        ldp x23, x24, [sp, #48]
        ldp x21, x22, [sp, #32]
        ldp x19, x20, [sp, #16]
        ldp x29, x30, [sp, #0]
        add sp, sp, #160
        br x30
END(rt0_gogo)

/* void rt0_mcall(gobuf* save, uintptr_t sp, void (*fn)(void*), void* arg)
   Save the context, then run fn(arg) from a fresh frame at sp (16-byte aligned) on
   another stack.  fn does not return.  rt0_mcall returns when somebody switches to
   `save`.  Unwinding from fn ends here. */
FUNC(rt0_mcall)
        save_frame
        mov x9, sp
        str x9, [x0]
        mov sp, x1
        .cfi_undefined x30
        mov x29, xzr
        mov x0, x3
        blr x2
        brk #1
END(rt0_mcall)

/* void rt0_oncall(uintptr_t sp, void (*fn)(void*), void* arg)
   Run fn(arg) from a fresh frame at sp on another stack and come back.  An unwinder
   walks through to the caller's stack. */
FUNC(rt0_oncall)
        sub sp, sp, #16
        .cfi_adjust_cfa_offset 16
        store_pair(x29, x30, 0)
        mov x29, sp
        .cfi_def_cfa_register x29
        mov sp, x0
        mov x0, x2
        blr x1
        mov sp, x29
        .cfi_def_cfa_register sp
        load_pair(x29, x30, 0)
        add sp, sp, #16
        .cfi_adjust_cfa_offset -16
        ret
END(rt0_oncall)

/* First instruction of every goroutine.  x19: function, x20: its argument (placed in
   the first switch frame by arch::make_context).  CFI and frame pointers end here. */
FUNC(rt0_goentry)
        .cfi_undefined x30
        mov x29, xzr
        mov x0, x20
        blr x19
        brk #1
END(rt0_goentry)

/* int rt0_unwind_saved(uintptr_t sp, int (*fn)(void*), void* arg)
   Call fn(arg) from a frame whose caller, for an unwinder, is the context at rest at
   sp: _Unwind_Backtrace inside fn walks on into that goroutine's frames.  The CFI is
   that of save_frame with x19 in the place of sp.  Returns fn's result. */
FUNC(rt0_unwind_saved)
        sub sp, sp, #16
        .cfi_adjust_cfa_offset 16
        store_pair(x19, x30, 0)
        mov x19, x0
        mov x0, x2
        .cfi_remember_state
        .cfi_def_cfa x19, 160
        .cfi_offset x29, -160
        .cfi_offset x30, -152
        .cfi_offset x19, -144
        .cfi_offset x20, -136
        .cfi_offset x21, -128
        .cfi_offset x22, -120
        .cfi_offset x23, -112
        .cfi_offset x24, -104
        .cfi_offset x25, -96
        .cfi_offset x26, -88
        .cfi_offset x27, -80
        .cfi_offset x28, -72
        .cfi_offset d8, -64
        .cfi_offset d9, -56
        .cfi_offset d10, -48
        .cfi_offset d11, -40
        .cfi_offset d12, -32
        .cfi_offset d13, -24
        .cfi_offset d14, -16
        .cfi_offset d15, -8
        blr x1
        .cfi_restore_state
        load_pair(x19, x30, 0)
        add sp, sp, #16
        .cfi_adjust_cfa_offset -16
        ret
END(rt0_unwind_saved)

        .section .note.GNU-stack, "", %progbits
