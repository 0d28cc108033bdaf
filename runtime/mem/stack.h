// Stacks: slots of a power of two, guard at the low end, from pools by order.
//
//   SK1  a slot lies at a multiple of its size, so a stack's slot is found from any address in it.
//   SK2  a slot has its guard before it is handed out for the first time, and keeps it in
//        every cache and pool; only when pages are cut anew is a misplaced guard removed.
//   SK3  nothing is ever written into an idle slot: which are free, guarded or without
//        resident pages stands in three words of the span (mspan::slot_*).
//   SK4  a small slot belongs to a span of 64 slots at most; a span all of whose slots are
//        free goes back to the heap unless it is the pool's only one with space.
// Small stacks (below cfg::stack_large): the mcache of the P, by order, last in first out,
// then the order's stackpool under its lock, half a cache at a time.  Large: stacklarge by
// size, then the heap.  Go's stack.go in outline; guards, bitmaps and the rest are ours.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/lock.h"
#include "mem/cache.h"
#include "mem/mem.h"
#include "mem/span.h"

namespace rt0::runtime {

struct alignas(64) stackpool_order {
    mutex lock{lock_rank::stackpool};
    spanlist warm GUARDED_BY(lock);          // spans with a free slot that may be resident, newest first [lock:stackpool]
    spanlist cold GUARDED_BY(lock);          // spans whose free slots are all clean [lock:stackpool]
    std::size_t nfree GUARDED_BY(lock) = 0;  // slots [lock:stackpool]
    atomic<std::size_t> ndirty{0};           // free slots that may have resident pages; written under lock [atomic]
};
extern stackpool_order stackpool[stack_orders];

inline constexpr int large_orders = std::countr_zero(cfg::stack_max) - std::countr_zero(cfg::stack_large) + 1;

struct stacklarge_pool {
    mutex lock{lock_rank::stacklarge};
    spanlist free[large_orders] GUARDED_BY(lock);  // by log2 of size [lock:stacklarge]
    atomic<std::size_t> bytes{0};                  // on the lists; written under lock [atomic]
};
extern stacklarge_pool stacklarge;

// Gives every stack in c back to the pools.
void stackcache_clear(mcache* c);

// A span of nslots slots, in no pool yet; guards of an earlier use that fit are kept, others
// removed.  Null when the kernel gives no more.
mspan* stackspan_alloc(std::size_t slot_size, std::size_t nslots);
// All slots free.  Slots in slot_clean count as given back to the kernel.
void stackspan_free(mspan* s);

// Gives up to `limit` bytes of idle slots of the pool's coldest span back to the kernel; 0 when there are none.
std::size_t stackpool_scavenge(int order, std::size_t limit);
// Moves the coldest of the largest cached stacks to the heap, where pages are given back
// piece by piece; false when none is cached.
bool stacklarge_retire();

}  // namespace rt0::runtime
