// heap: the lock, the two page allocators, the address map, and memory for the allocator's
// own books.
//
//   HP1  the map (address -> arena) only grows; an arena is published whole and never
//        unmapped, so a lookup needs no lock.
//   HP2  span headers are recycled but never unmapped: reading a stale one is harmless, and
//        its state says that it is stale.
//   HP3  an arena of a granule or more is made of whole granules; a smaller one (taken when
//        the kernel refuses more) lies within one and shares it with others, chained.
// The map is two tables of 8192 over a 48-bit address space, in granules of 4 MiB.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/lock.h"
#include "mem/mem.h"
#include "mem/pagealloc.h"

namespace rt0::runtime {

struct mcache;

struct mheap {
    mutex lock{lock_rank::heap};
    pagealloc objects{cfg::heap_page, false};                   // says itself what of it is under lock
    pagealloc stacks{cfg::stack_min, true};                     // and this
    atomic<std::uint32_t> sweepgen{2};                          // SP4; += 2 with the world stopped [stw]
    std::size_t physHugePageSize = 0;                           // [const] after mallocinit
    std::size_t memory_max = 0;                                 // bytes of memory and swap in the machine [const] after mallocinit
    std::size_t guards_max = 0;                                 // guards there may be where they take mappings [const]
    atomic<std::size_t> guards{0};                              // such, in place [atomic; written under lock]
    std::size_t metadata GUARDED_BY(lock) = 0;                  // bytes reserved for books [lock:heap]
    std::size_t object_pages GUARDED_BY(lock) = 0;              // in spans of objects [lock:heap]
};
extern mheap heap;
mutex& lock_of_heap() LOCK_RETURNED(heap.lock);

// ---- memory for books: never freed.  Zeroed; null when the kernel refuses.  [lock:heap]
void* persistentalloc(std::size_t n, std::size_t align) REQUIRES(heap.lock);
mspan* spanheader_alloc() REQUIRES(heap.lock);
void spanheader_free(mspan* s) REQUIRES(heap.lock);
// Words of bitmap, recycled by power of two.
std::uint64_t* bits_alloc(std::uint32_t words) REQUIRES(heap.lock);
void bits_free(std::uint64_t* b, std::uint32_t words) REQUIRES(heap.lock);

// ---- address map
inline constexpr unsigned granule_shift = 22;
inline constexpr std::size_t map_fan = 8192;  // of either level
inline constexpr unsigned leaf_shift = granule_shift + 13;
inline constexpr std::uintptr_t map_limit = std::uintptr_t{map_fan} << leaf_shift;
static_assert(cfg::arena_granule == std::size_t{1} << granule_shift && map_fan == 1 << 13);
static_assert(map_limit == std::uintptr_t{1} << 48);

struct map_leaf {
    atomic<arena*> granule[map_fan];
};
extern atomic<map_leaf*> arena_map[map_fan];

bool map_prepare(std::uintptr_t base, std::size_t n) REQUIRES(heap.lock);  // false when out of memory
void map_arena(arena* a) REQUIRES(heap.lock);                              // the range is prepared

inline arena* arena_of(std::uintptr_t p) {
    if (p >= map_limit) return nullptr;
    // ORDER(arenamap): acquire on both levels, so that a leaf and an arena are seen whole;
    // pairs with the releases in map_prepare and map_arena.
    map_leaf* leaf = arena_map[p >> leaf_shift].load(memory_order_acquire);
    if (!leaf) return nullptr;
    arena* a = leaf->granule[(p >> granule_shift) & (map_fan - 1)].load(memory_order_acquire);
    while (a && !a->contains(p)) a = a->chain;
    return a;
}

// The span that p lies in, or null.  p must be in memory the caller owns, else the
// answer may be out of date.
inline mspan* span_of(std::uintptr_t p) {
    arena* a = arena_of(p);
    return a ? a->spans[a->page_of(p)] : nullptr;
}

// ---- spans of objects
mspan* heap_alloc_small(unsigned cls, bool collected);  // one class; takes heap.lock
mspan* heap_alloc_large(std::size_t n);                 // one object of n bytes
void heap_free(mspan* s);

}  // namespace rt0::runtime
