// What the scheduler asks of memory: stacks by order, small objects by size class,
// both through the mcache that travels with a P.
//
// Callers pass the mcache of the P they hold; null means "no P here" and takes the
// locks of the central lists instead.  No function here parks, calls user code or malloc.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::runtime {

struct mcache;  // mem/cache.h

struct stack {
    std::uintptr_t lo = 0;     // lowest usable byte; the guard lies right below
    std::uintptr_t hi = 0;     // first byte above
    std::uintptr_t slot = 0;   // start of the slot, guard included; 0: no stack
    std::size_t size = 0;      // of the slot, a power of two
};

// Boot: size classes, arena hints, page heap, stack pools.  Safe to call again, and
// from a static constructor before main: the first object of any kind triggers it.
void mallocinit();

mcache* allocmcache();
void freemcache(mcache* c);               // gives everything back to the central lists
void mcache_prepare_for_sweep(mcache* c);  // acquirep's hook: flush when a new sweep phase began

// bgsweep's step: brings one span that no P caches up to the current sweep phase.  False
// when none is behind (always, before a collector begins a phase).
bool sweepone();

// Zeroed memory for rt0's own objects, aligned to 16 (to 64 from 64 bytes up).  Null
// when the kernel gives no more.
void* mallocrt(mcache* c, std::size_t n);
// The same, cfg::kept_object bytes, for what stays until the process ends, as a rule: in spans of their own.
void* mallockept(mcache* c);
void freert(mcache* c, void* p);

// n: slot size in bytes, rounded up to a power of two.  slot == 0 in the result when the kernel refuses.
stack stackalloc(mcache* c, std::size_t n);
void stackfree(mcache* c, stack s);

// Returns idle memory to the kernel, at most `limit` bytes; how many bytes it returned.
std::size_t scavenge(std::size_t limit);
// Bytes of idle stack memory that scavenge() could return now; a hint.
std::size_t scavengeable();

struct memstats {
    std::size_t reserved, stack_inuse, stack_idle, heap_inuse, heap_idle, released;  // bytes
};
memstats read_memstats();

}  // namespace rt0::runtime
