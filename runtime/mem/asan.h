// AddressSanitizer's view of memory that never saw malloc: what is idle is poisoned, and
// where rt0's objects lie the leak checker looks for pointers.  Nothing in other builds.
#pragma once
#include <cstddef>

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

}  // namespace rt0::runtime
