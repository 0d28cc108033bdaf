// mcache and mcentral.  Invariants: cache.h.
#include "mem/cache.h"

#include "base/throw.h"
#include "mem/heap.h"
#include "mem/stack.h"

namespace rt0::runtime {

constinit mcentral mcentrals[num_span_classes];

namespace {

// relaxed: sweepgen changes only while the world is stopped.
std::uint32_t heap_sweepgen() { return heap.sweepgen.load(memory_order_relaxed); }

}  // namespace

// ---- mcentral

// True if s may be used now: swept, or cached by somebody who will see to it.  A span that
// needs sweeping is swept.  The lock is held.
bool mcentral::sweep_if_needed(mspan* s, std::uint32_t sg) {
    // ORDER(sweepgen): acquire; pairs with the release at the end of mspan::sweep.
    std::uint32_t gen = s->sweepgen.load(memory_order_acquire);
    if (gen == sg - 1) return false;  // a sweeper has it
    if (gen != sg - 2) return true;
    // relaxed on failure: the loser does not look at the span.
    // ORDER(sweepgen): acquire; pairs with the release at the end of mspan::sweep.
    if (!s->sweepgen.compare_exchange_strong(gen, sg - 1, memory_order_acquire, memory_order_relaxed)) return false;
    s->sweep(sg);
    return true;
}

// A span with a free object, still on its list.  Swept spans are at the front of partial_
// and at the back of full_, so each loop ends at the first span that needs no sweeping.
mspan* mcentral::with_space() {
    std::uint32_t sg = heap_sweepgen();
    for (mspan* s = partial_.first; s; s = s->next)
        if (sweep_if_needed(s, sg)) return s;
    while (mspan* s = full_.first) {
        // relaxed: generations of uncached spans change under this lock, or to sg-1 and sg.
        if (s->sweepgen.load(memory_order_relaxed) != sg - 2 || !sweep_if_needed(s, sg)) break;
        full_.remove(s);
        relist(s);
        if (s->list == &partial_) return s;
    }
    mspan* s = heap_alloc_small(cls_, collected_);
    if (s) partial_.push_front(s);
    return s;
}

// Puts an uncached span where MC4 wants it, or gives it back to the heap when it is empty
// and not the last with space.
void mcentral::relist(mspan* s) {
    if (s->list) s->list->remove(s);
    if (s->nfree == 0) full_.push_back(s);
    else if (s->nfree == s->nelems && !partial_.empty()) heap_free(s);
    else partial_.push_front(s);
}

mspan* mcentral::cacheSpan(objcache* freed) {
    guard g(lock_);
    mspan* s = with_space();
    if (!s) return nullptr;
    partial_.remove(s);
    s->cached = true;
    // Keeps sweepers away in the next phase; prepareForSweep sees to the span (SP4).
    // relaxed: the lock publishes it.
    s->sweepgen.store(heap_sweepgen() + 3, memory_order_relaxed);
    freed->head = s->manualFreeList;
    freed->n = s->nmanual;
    s->manualFreeList = nullptr;
    s->nmanual = 0;
    return s;
}

void mcentral::uncacheSpan(mspan* s) {
    guard g(lock_);
    std::uint32_t sg = heap_sweepgen();
    std::uint32_t gen = s->sweepgen.load(memory_order_relaxed);  // relaxed: a cached span's generation is its holder's
    bool stale = gen == sg + 1;                                  // cached before this sweep phase began
    if (!s->cached || (!stale && gen != sg + 3)) runtime_throw("uncacheSpan: span was not cached");
    s->cached = false;
    // relaxed: the lock publishes it.
    s->sweepgen.store(stale ? sg - 1 : sg, memory_order_relaxed);
    s->nfree = s->countFree();
    if (stale) s->sweep(sg);
    relist(s);
}

void* mcentral::alloc_one() {
    guard g(lock_);
    mspan* s = with_space();
    if (!s) return nullptr;
    void* p = s->manualFreeList;
    if (p) {
        s->manualFreeList = s->manualFreeList->next;
        s->nmanual--;
    } else {
        p = reinterpret_cast<void*>(s->object(s->nextFreeIndex()));
    }
    if (--s->nfree == 0) relist(s);
    return p;
}

void mcentral::free_list(object_link* o, std::uint32_t n) {
    guard g(lock_);
    std::uint32_t sg = heap_sweepgen();
    for (; n > 0; n--) {
        object_link* next = o->next;
        auto addr = reinterpret_cast<std::uintptr_t>(o);
        mspan* s = span_of(addr);
        if (!s || s->sizeclass != cls_ || s->elemsize == 0 || (addr - s->start) % s->elemsize != 0)
            runtime_throw("freert: not an object");
        if (!s->cached) sweep_if_needed(s, sg);
        o->next = s->manualFreeList;
        s->manualFreeList = o;
        s->nmanual++;
        if (!s->cached && (++s->nfree == 1 || s->nfree == s->nelems)) relist(s);
        o = next;
    }
}

bool mcentral::sweep_one() {
    guard g(lock_);
    std::uint32_t sg = heap_sweepgen();
    for (mspan* s : {partial_.last, full_.first}) {
        // relaxed: generations of uncached spans change under this lock.
        if (!s || s->sweepgen.load(memory_order_relaxed) != sg - 2 || !sweep_if_needed(s, sg)) continue;
        relist(s);
        return true;
    }
    return false;
}

bool sweepone() {
    for (unsigned cls = 1; cls < num_span_classes; cls++)
        if (mcentrals[cls].sweep_one()) return true;
    return false;
}

bool mcentral::is_valid() {
    guard g(lock_);
    for (spanlist* l : {&partial_, &full_})
        for (mspan* s = l->first; s; s = s->next)
            if (s->cached || s->list != l || s->sizeclass != cls_ || !s->is_valid() || (s->nfree == 0) != (l == &full_))
                return false;
    return true;
}

// ---- mcache

bool mcache::refill(unsigned cls) {
    objcache& f = freed[cls];
    if (f.spare) {
        f.head = f.spare;
        f.n = f.nspare;
        f.spare = nullptr;
        return true;
    }
    // The cached span, if any, has no object left but those that other Ps gave back.
    if (alloc[cls]) mcentrals[cls].uncacheSpan(alloc[cls]);
    // Sweeping on refill, where a collector's sweep is paid for: with_space sweeps what it hands out.
    alloc[cls] = mcentrals[cls].cacheSpan(&f);
    return alloc[cls] != nullptr;
}

void mcache::spill(unsigned cls) {
    objcache& f = freed[cls];
    if (f.spare) mcentrals[cls].free_list(f.spare, f.nspare);
    f.spare = f.head;
    f.nspare = f.n;
    f.head = nullptr;
    f.n = 0;
}

void mcache::releaseAll() {
    for (unsigned cls = 1; cls < num_span_classes; cls++) {
        if (freed[cls].head) spill(cls);
        if (freed[cls].spare) mcentrals[cls].free_list(freed[cls].spare, freed[cls].nspare);
        freed[cls] = {};
        if (alloc[cls]) mcentrals[cls].uncacheSpan(alloc[cls]);
        alloc[cls] = nullptr;
    }
}

void mcache::prepareForSweep() {
    std::uint32_t sg = heap_sweepgen();
    std::uint32_t gen = flushGen.load(memory_order_relaxed);  // relaxed: written by this mcache's holders only
    if (gen == sg) return;
    if (gen != sg - 2) {
        warn(textbuf() << "bad flushGen " << gen << " in prepareForSweep; sweepgen " << sg);
        runtime_throw("bad flushGen");
    }
    releaseAll();
    stackcache_clear(this);
    flushGen.store(sg, memory_order_relaxed);  // relaxed: travels with the mcache, which a P's hand-over orders
}

}  // namespace rt0::runtime
