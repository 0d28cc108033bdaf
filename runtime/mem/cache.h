// mcache: the memory that travels with a P.  mcentral: what all Ps share of one size class.
//
//   MC1  an mcache is used by one thread at a time: the M that holds its P.
//   MC2  an object freed on a P goes to that P's objcache of its class, whatever span it
//        comes from; it counts as allocated until it is flushed.  An objcache is a pair of
//        lists (Bonwick's magazines, 2001): a full one is set aside, and given away whole
//        when the next is full, so nothing is walked and alloc/free at the edge lock nothing.
//   MC3  flushed objects go back to their spans under the mcentral's lock: on the span's
//        manualFreeList, even while another P caches the span (that P takes the list over
//        when its own are used up).  So frees from any P are right, and P-local ones lock nothing.
//   MC4  an uncached span is on `partial` if it has a free object, else on `full`; a cached
//        one is on neither.
//   MC5  flushGen is heap.sweepgen at the last flush; an mcache that is two behind must be
//        flushed before use, one further behind was forgotten: throw.
// Names and shape are Go's (mcache.go, mcentral.go); the lists of freed objects are
// ours, since rt0's own objects are freed by hand.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/lock.h"
#include "mem/span.h"

namespace rt0::runtime {

inline constexpr int stack_orders = std::countr_zero(cfg::stack_large) - std::countr_zero(cfg::stack_min);
inline constexpr std::size_t stack_cache_slots = cfg::stack_cache / cfg::stack_min;  // of the smallest order

constexpr std::size_t order_size(int order) { return cfg::stack_min << order; }
constexpr std::uint32_t order_cap(int order) { return static_cast<std::uint32_t>(stack_cache_slots >> order); }

struct objcache {
    object_link* head = nullptr;   // last in, first out
    object_link* spare = nullptr;  // null, or a full list set aside
    std::uint32_t n = 0;           // objects on head
    std::uint32_t nspare = 0;
};

struct stackcache {
    std::uint32_t n = 0;
    std::uintptr_t slot[stack_cache_slots];  // last in, first out
};

struct alignas(64) mcache {
    objcache freed[num_span_classes] = {};   // MC2 [own:P]
    mspan* alloc[num_span_classes] = {};     // span to take the next object from, or null [own:P]
    stackcache stacks[stack_orders];         // [own:P]
    atomic<std::uint32_t> flushGen{0};       // MC5 [atomic]
    mcache* link GUARDED_BY(lock_of_heap()) = nullptr;  // free mcaches [lock:heap]

    void prepareForSweep();
    void releaseAll();
    // Gets objects of a class: into `freed`, or a span with free ones into `alloc`. False: no memory.
    bool refill(unsigned cls);
    // `freed` of the class is full: sets it aside, and gives away what was set aside before.
    void spill(unsigned cls);
};

class alignas(64) mcentral {
public:
    constexpr mcentral() = default;
    void init(unsigned cls, bool collected) { cls_ = cls; collected_ = collected; }

    // A span with at least one free object, for an mcache, whose list *freed is empty: the
    // span's manualFreeList is moved there.  Null: no memory.
    mspan* cacheSpan(objcache* freed);
    void uncacheSpan(mspan* s);
    // For callers without an mcache.
    void* alloc_one();
    void free_one(object_link* o) { free_list(o, 1); }
    // n objects, linked; any spans of this class.
    void free_list(object_link* o, std::uint32_t n);
    // Brings one span that no mcache holds up to date; false when none is left.
    bool sweep_one();

    bool is_valid();

private:
    friend struct mcentral_test;
    mspan* with_space() REQUIRES(lock_);
    bool sweep_if_needed(mspan* s, std::uint32_t sg) REQUIRES(lock_);
    void relist(mspan* s) REQUIRES(lock_);

    mutex lock_{lock_rank::mcentral};
    unsigned cls_ = 0;                    // [const]
    bool collected_ = false;              // [const]
    spanlist partial_ GUARDED_BY(lock_);  // MC4 [lock:mcentral]
    spanlist full_ GUARDED_BY(lock_);     // MC4 [lock:mcentral]
};

extern mcentral mcentrals[num_span_classes];

}  // namespace rt0::runtime
