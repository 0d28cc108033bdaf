// valgrind's client requests: what memcheck must be told of stacks that it has not seen made.
//
// In every build on a machine that has the header (Debian's valgrind), so that a user's program needs no other library;
// elsewhere nothing.  A request is a few instructions that do nothing outside of valgrind, and all but the first stand
// behind its answer.  Not in builds for sanitizers, which valgrind cannot run, nor for the models.
#pragma once
#include <cstddef>

#if __has_include(<valgrind/memcheck.h>) && !defined(RT0_ASAN) && !defined(RT0_TSAN) && !defined(RT_MODEL)
#include <valgrind/memcheck.h>

namespace rt0::kernel {

inline bool under_valgrind() { return RUNNING_ON_VALGRIND != 0; }
// [lo, lo + n) is a stack of its own: a stack pointer that comes from elsewhere into it was switched.  The number it has.
inline unsigned vg_stack_register(void* lo, std::size_t n) { return VALGRIND_STACK_REGISTER(lo, static_cast<char*>(lo) + n - 1); }
inline void vg_stack_deregister(unsigned id) { VALGRIND_STACK_DEREGISTER(id); }
// May be written to, and read after that; may be read.
inline void vg_undefined(void* p, std::size_t n) { (void)VALGRIND_MAKE_MEM_UNDEFINED(p, n); }
inline void vg_defined(void* p, std::size_t n) { (void)VALGRIND_MAKE_MEM_DEFINED(p, n); }

}  // namespace rt0::kernel
#else
namespace rt0::kernel {
inline constexpr bool under_valgrind() { return false; }
inline unsigned vg_stack_register(void*, std::size_t) { return 0; }
inline void vg_stack_deregister(unsigned) {}
inline void vg_undefined(void*, std::size_t) {}
inline void vg_defined(void*, std::size_t) {}
}  // namespace rt0::kernel
#endif
