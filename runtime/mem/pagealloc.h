// pagealloc: hands out runs of pages and takes them back.  There are two, each with its
// own arenas: one for objects and one for stacks, since stack arenas are never of huge pages
// and contain guards.
//
//   PA1  the pages of an arena are covered by spans without gap or overlap; the arena's table
//        knows every page of a span in use, and the first and last page of a free one.
//   PA2  two free spans of one arena are never neighbours (a span being scavenged is not free).
//   PA3  every free span is in the treap, ordered by (pages, start), so that the smallest that
//        fits, and of those the lowest, is found in O(log n); and on `dirty` if it has
//        pages the kernel could have back.
//   PA4  an arena's `released` bit is set for pages never touched or given back: they read as
//        zero.  It is 0 for each page of a span in use.
//   PA5  an arena's `guards` bit (stacks only) is set for a page in a free span, or in one that
//        stackspan_alloc is taking, that still starts with a guard; its `mapped` bit for each page that starts with a
//        guard, in use or not, that takes mappings.
// All of it is under heap.lock.  Nothing here calls malloc; headers, tables and bitmaps come
// from persistentalloc.  The treap is Go's choice of 1.12 (mgclarge.go), its priorities a
// hash of the address, so that runs repeat.  Rejected: a radix tree of summaries (Go since
// 1.14), whose gain is lock-free allocation for hundreds of Ps.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/config.h"
#include "mem/span.h"

namespace rt0::runtime {

struct arena {
    std::uintptr_t base = 0;         // [const]
    std::size_t npages = 0;          // [const]
    std::size_t bytes = 0;           // npages in bytes [const]
    unsigned page_shift = 0;         // [const]
    bool huge = false;               // made of huge pages where whole ones are in use [const]
    arena* chain = nullptr;          // next arena in the same granule of the address map [const]
    arena* link = nullptr;           // next arena of the page allocator [const]
    mspan** spans = nullptr;         // page -> span [lock:heap], read without it by the owner of an address
    std::uint64_t* released GUARDED_BY(lock_of_heap()) = nullptr;  // PA4 [lock:heap]
    std::uint64_t* guards GUARDED_BY(lock_of_heap()) = nullptr;    // PA5 [lock:heap]
    std::uint64_t* mapped GUARDED_BY(lock_of_heap()) = nullptr;    // PA5 [lock:heap]

    std::size_t page_of(std::uintptr_t p) const { return (p - base) >> page_shift; }
    bool contains(std::uintptr_t p) const { return p - base < bytes; }
};

class pagealloc {
public:
    constexpr pagealloc(std::size_t page_size, bool for_stacks)
        : shift_(static_cast<unsigned>(std::countr_zero(page_size))), stacks_(for_stacks) {}

    // A span of npages starting at a multiple of align_pages (a power of two), in state
    // `in_use` or `manual`; null when the kernel gives no more.
    mspan* alloc(std::size_t npages, std::size_t align_pages, span_state state) REQUIRES(lock_of_heap());
    // Takes a span back.  Pages marked with set_released count as the kernel's.
    void free(mspan* s) REQUIRES(lock_of_heap());
    // The coldest dirty free span, taken out so that pages can be given back without the
    // lock; null if there is none.  To be ended with scavenge_end.
    mspan* scavenge_begin() REQUIRES(lock_of_heap());
    void scavenge_end(mspan* s) REQUIRES(lock_of_heap()) { free(s); }

    // Marks pages as given back to the kernel.  For spans that are in the caller's hands.
    void set_released(mspan* s, std::size_t first, std::size_t n) REQUIRES(lock_of_heap());

    unsigned page_shift() const { return shift_; }
    std::size_t page_size() const { return std::size_t{1} << shift_; }
    std::size_t bytes(const mspan* s) const { return s->npages << shift_; }

    // In pages.
    std::size_t reserved() const REQUIRES(lock_of_heap()) { return reserved_; }
    std::size_t free_pages() const REQUIRES(lock_of_heap()) { return free_pages_; }
    std::size_t free_released() const REQUIRES(lock_of_heap()) { return free_released_; }
    std::size_t dirty_hint() const { return dirty_hint_.load(memory_order_relaxed); }  // relaxed: a hint

    // Checks PA1 to PA4 page by page.
    bool is_valid() const REQUIRES(lock_of_heap());
    // Arena sizes tried, from the largest; tests make it small.
    void set_arena_size(std::size_t n) { arena_size_ = n; }

private:
    // The first by pages and address from there on; null: none.
    mspan* best_fit(std::size_t npages, std::uintptr_t start = 0) const REQUIRES(lock_of_heap());
    mspan* carve(mspan* s, std::uintptr_t start, std::size_t npages, span_state state) REQUIRES(lock_of_heap());
    bool grow(std::size_t npages, std::size_t align_pages) REQUIRES(lock_of_heap());
    bool add_arena(void* p, std::size_t n, bool huge_ok) REQUIRES(lock_of_heap());
    void insert(mspan* s) REQUIRES(lock_of_heap());
    void erase(mspan* s) REQUIRES(lock_of_heap());
    void merge(mspan* s, mspan* neighbour) REQUIRES(lock_of_heap());
    std::size_t count_released(const mspan* s) const REQUIRES(lock_of_heap());
    void note_dirty() REQUIRES(lock_of_heap());

    unsigned shift_;                                             // [const]
    bool stacks_;                                                // [const]
    mspan* root_ GUARDED_BY(lock_of_heap()) = nullptr;           // of the treap [lock:heap]
    spanlist dirty_ GUARDED_BY(lock_of_heap());                  // PA3, coldest last [lock:heap]
    arena* arenas_ GUARDED_BY(lock_of_heap()) = nullptr;         // [lock:heap]
    std::size_t arena_size_ = cfg::arena_size;                   // [const] but for tests
    std::size_t reserved_ GUARDED_BY(lock_of_heap()) = 0;        // pages [lock:heap]
    std::size_t free_pages_ GUARDED_BY(lock_of_heap()) = 0;      // [lock:heap]
    std::size_t free_released_ GUARDED_BY(lock_of_heap()) = 0;   // of those, the kernel's [lock:heap]
    atomic<std::size_t> dirty_hint_{0};                          // written under heap.lock [atomic]
};

}  // namespace rt0::runtime
