// Macros for the assembler files: functions with size and type, and CFI that
// follows each push and pop.
#pragma once

#define FUNC(name)          \
    .globl name;            \
    .hidden name;           \
    .type name, %function;  \
    .p2align 4;             \
    name:                   \
    .cfi_startproc

#define END(name)           \
    .cfi_endproc;           \
    .size name, . - name

#if defined(__x86_64__)
/* push and pop a callee-saved register; the CFA moves by one word and an unwinder
   that stops at the next instruction finds the register in its slot. */
#define push_reg(reg)            \
    pushq %reg;                  \
    .cfi_adjust_cfa_offset 8;    \
    .cfi_rel_offset reg, 0
#define pop_reg(reg)             \
    popq %reg;                   \
    .cfi_adjust_cfa_offset -8;   \
    .cfi_restore reg
#elif defined(__aarch64__)
/* Store and load a pair of callee-saved registers at [sp + at]; an unwinder that stops
   at the next instruction finds both there, or in themselves again. */
#define store_pair(a, b, at)      \
    stp a, b, [sp, at];           \
    .cfi_rel_offset a, at;        \
    .cfi_rel_offset b, at + 8
#define load_pair(a, b, at)       \
    ldp a, b, [sp, at];           \
    .cfi_restore a;               \
    .cfi_restore b
#endif
