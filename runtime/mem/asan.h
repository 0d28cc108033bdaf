// AddressSanitizer's view of memory that never saw malloc: what is idle is poisoned, and
// where rt0's objects lie the leak checker looks for pointers.  Nothing in other builds.
// And memcheck's, of stacks alone.
#pragma once
#include <cstddef>

#include "kernel_if/valgrind.h"
#include "mem/mem.h"

#ifdef RT0_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace rt0::runtime {

#ifdef RT0_ASAN
inline void asan_poison(void* p, std::size_t n) { ASAN_POISON_MEMORY_REGION(p, n); }
inline void asan_unpoison(void* p, std::size_t n) { ASAN_UNPOISON_MEMORY_REGION(p, n); }
inline bool asan_is_poisoned(void* p) { return __asan_address_is_poisoned(p); }
inline void lsan_add_roots(void* p, std::size_t n) { __lsan_register_root_region(p, n); }
#else
inline void asan_poison(void*, std::size_t) {}
inline void asan_unpoison(void*, std::size_t) {}
inline bool asan_is_poisoned(void*) { return false; }
inline void lsan_add_roots(void*, std::size_t) {}
#endif

extern bool on_valgrind;  // [const] after mallocinit

// s is about to be used afresh, by a goroutine or a thread: what its last user's frames left says nothing.
inline void fresh_stack(const stack& s) {
    asan_unpoison(reinterpret_cast<void*>(s.lo), s.hi - s.lo);
    if (on_valgrind) [[unlikely]]
        kernel::vg_undefined(reinterpret_cast<void*>(s.lo), s.hi - s.lo);
}

}  // namespace rt0::runtime
