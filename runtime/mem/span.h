// mspan: a run of pages with one purpose.  Free in a page allocator, cut into objects of
// one size class, one large object, or cut into stacks of one order.
//
//   SP1  a span is on at most one list, and `list` says which.
//   SP2  an object is free iff it is on manualFreeList, or its index is >= freeindex and
//        its alloc bit is 0.  Objects in the caches of Ps count as allocated.
//   SP3  while an mcache holds the span only that mcache moves freeindex and allocCache;
//        everything else is under the lock of the span's mcentral.
//   SP4  sweepgen, against heap.sweepgen sg (Go's meaning, runtime/mheap.go):
//          sg-2  in need of sweeping          sg+1  cached before the sweep began: whoever
//          sg-1  being swept                        uncaches it must sweep it
//          sg    swept, ready for use         sg+3  swept, then cached, still cached
// A sweep gives back what a collector left unmarked.  Spans whose objects are freed by hand
// (`collected` false: all of rt0's own) lose nothing in a sweep, only their generation moves.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/lock.h"
#include "mem/sizeclass.h"

namespace rt0::runtime {

struct arena;
struct mspan;

mutex& lock_of_heap();  // heap.lock, for GUARDED_BY where heap.h is not included yet (guarded.h)

enum class span_state : std::uint8_t {
    dead,        // a span header without pages, on the free list of headers
    free,        // in a page allocator
    in_use,      // objects
    manual,      // stacks
    scavenging,  // free, but out of its page allocator while pages go back to the kernel
};

struct spanlist {
    mspan* first = nullptr;
    mspan* last = nullptr;

    bool empty() const { return first == nullptr; }
    void push_front(mspan* s);
    void push_back(mspan* s);
    void remove(mspan* s);
};

struct object_link {  // what lies in a free object
    object_link* next;
};

struct mspan {
    mspan* next = nullptr;             // [lock:of list]
    mspan* prev = nullptr;             // [lock:of list]
    spanlist* list = nullptr;          // [lock:of list]
    arena* ar = nullptr;               // [const] while not dead
    std::uintptr_t start = 0;          // [const] while in use
    std::size_t npages = 0;            // in pages of its arena [const] while in use

    // In a page allocator: a node of its treap.
    mspan* left GUARDED_BY(lock_of_heap()) = nullptr;      // [lock:heap]
    mspan* right GUARDED_BY(lock_of_heap()) = nullptr;     // [lock:heap]
    std::uint64_t prio GUARDED_BY(lock_of_heap()) = 0;     // [lock:heap]
    std::size_t nreleased GUARDED_BY(lock_of_heap()) = 0;  // pages the kernel has (never touched or returned) [lock:heap]

    // Objects.  The mcentral is that of its class; a span that it does not know, yet or any more, is its owner's.
    object_link* manualFreeList = nullptr;  // freed while another P, or none, cached the span [lock:mcentral]
    std::uint64_t* allocBits = nullptr;     // as of the last sweep [lock:mcentral]
    std::uint64_t* markBits = nullptr;      // what the collector found alive; becomes allocBits [stw]
    std::uint64_t allocCache = 0;           // complement of allocBits from freeindex on [own:P]
    std::uint32_t freeindex = 0;            // next object to look at [own:P]
    std::uint32_t nelems = 0;               // [const]
    std::uint32_t elemsize = 0;             // bytes; 0 in a span of one large object [const]
    std::uint32_t nmanual = 0;              // length of manualFreeList [lock:mcentral]
    std::uint32_t nfree = 0;                // countFree(), kept while uncached [lock:mcentral]
    atomic<std::uint32_t> sweepgen{0};      // SP4 [atomic]
    atomic<span_state> state{span_state::dead};  // written under heap.lock, read by checks [atomic]
    std::uint8_t sizeclass = 0;             // [const]
    bool needzero = false;                  // pages may hold old bytes [const]
    bool collected = false;                 // a collector frees its objects [const]
    bool cached = false;                    // an mcache holds it [lock:mcentral]

    // Stacks: one bit per slot.  A span in no pool, made or given up or of one large stack, is its owner's or stacklarge's.
    std::uint64_t slot_free = 0;            // in the pool [lock:stackpool]
    std::uint64_t slot_guarded = 0;         // a guard is in place (or promised by who has the slot) [lock:stackpool]
    std::uint64_t slot_clean = 0;           // no page of it resident [lock:stackpool]
    std::uint8_t order = 0;                 // log2 of slot size / stack_min [const]
    std::uint8_t nslots = 0;                // 1 to 64 [const]

    std::uintptr_t object(std::uint32_t i) const { return start + std::uintptr_t{i} * elemsize; }

    void initHeap(unsigned cls, std::uint64_t* bits, bool zero, bool collect, std::uint32_t sg);
    // Index of the next free object by the bits, freeindex moved past it; nelems if none.
    std::uint32_t nextFreeIndex();
    // Objects that SP2 calls free, counted; for an uncached span.
    std::uint32_t countFree() const;
    bool isFree(std::uint32_t i) const;  // by the bits alone
    // sweepgen is sg-1; sg afterwards.
    void sweep(std::uint32_t sg);
    // Throws unless the fields agree with each other.
    bool is_valid() const;

private:
    void refillAllocCache(std::uint32_t word) { allocCache = ~allocBits[word]; }
};

constexpr std::uint32_t bitmap_words(std::uint32_t nelems) { return (nelems + 63) / 64; }

}  // namespace rt0::runtime
