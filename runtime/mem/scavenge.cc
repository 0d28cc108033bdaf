// Idle memory goes back to the kernel, coldest first: free spans of the two page heaps, idle
// stacks in the pools, large stacks kept for reuse.  Bytes are counted as the kernel was
// asked to take them; how many of them were resident it does not say.
//
//   SV1  pages are given back without a lock held: the span or the slots are taken out first,
//        so nobody can be handed them meanwhile, and put back as clean afterwards.
//   SV2  what Ps have in their caches is theirs: it is hot, and bounded.
//   SV3  where pages were given back the kernel makes no huge page of what is left: khugepaged would fill the holes up, and
//        the books would call free what is resident.  Where all of one is given back it may be huge again.  What the books
//        call the kernel's beside it came with the huge page, untouched or not, and goes back with it.
#include <algorithm>

#include "base/lock.h"
#include "kernel_if/memory.h"
#include "mem/heap.h"
#include "mem/mem.h"
#include "mem/stack.h"

namespace rt0::runtime {

namespace {

bool is_released(const mspan* s, std::size_t i) REQUIRES(heap.lock) {
    std::size_t page = s->ar->page_of(s->start) + i;
    return s->ar->released[page / 64] >> (page % 64) & 1;
}

// Pages i to i + n of s, and those beside them that lie in the same huge pages (SV3).
void* with_huge(const mspan* s, std::size_t i, std::size_t n, std::size_t* bytes) {
    const unsigned shift = s->ar->page_shift;
    const std::size_t end = s->start + (s->npages << shift), huge = s->ar->huge ? heap.physHugePageSize : 1;
    std::uintptr_t lo = s->start + (i << shift), hi = lo + (n << shift);
    lo = std::max(lo / huge * huge, s->start);
    hi = std::min((hi + huge - 1) / huge * huge, end);
    *bytes = hi - lo;
    return reinterpret_cast<void*>(lo);
}

// Do pages first to first + n of a, whole words of its bitmap, all belong to the kernel?
bool all_released(const arena* a, std::size_t first, std::size_t n) REQUIRES(heap.lock) {
    for (std::size_t w = first / 64; w < (first + n) / 64; w++)
        if (~a->released[w]) return false;
    return true;
}

// SV3, for the huge pages that pages first to first + n of a lie in.
void settle_huge(const arena* a, std::size_t first, std::size_t n) {
    const std::size_t size = heap.physHugePageSize, pages = size >> a->page_shift;
    if (!a->huge || pages % 64 != 0) return;
    for (std::size_t i = first / pages * pages; i < first + n; i += pages) {
        bool all;
        {
            guard g(heap.lock);
            all = all_released(a, i, pages);
        }
        // An error: memory is resident that need not be.
        (all ? kernel::sys_hugepage : kernel::sys_nohugepage)(reinterpret_cast<void*>(a->base + (i << a->page_shift)), size);
    }
}

// Gives back the runs of s that are not released yet, at most max_pages in all; pages given
// back, short of what there was if the kernel refuses (locked memory).  The bitmap words at the
// ends are shared with neighbours, so the lock is held but for the system call.
std::size_t release_runs(pagealloc* pa, mspan* s, std::size_t max_pages) {
    std::size_t done = 0;
    for (std::size_t i = 0; i < s->npages && done < max_pages;) {
        heap.lock.lock();
        while (i < s->npages && is_released(s, i)) i++;
        std::size_t n = 0;
        while (i + n < s->npages && done + n < max_pages && !is_released(s, i + n)) n++;
        heap.lock.unlock();
        if (n == 0) break;
        std::size_t bytes;
        void* p = with_huge(s, i, n, &bytes);
        if (kernel::sys_unused(p, bytes) != 0) break;
        {
            guard g(heap.lock);
            pa->set_released(s, i, n);
        }
        settle_huge(s->ar, s->ar->page_of(s->start) + i, n);
        done += n;
        i += n;
    }
    return done;
}

std::size_t heap_scavenge(pagealloc* pa, std::size_t limit) {
    std::size_t max_pages = limit >> pa->page_shift();
    if (max_pages == 0) return 0;
    // One that is refused goes to the warm end; behind it may be others that are not.
    for (int tries = 0; tries < cfg::scavenge_tries; tries++) {
        mspan* s;
        {
            guard g(heap.lock);
            s = pa->scavenge_begin();
        }
        if (!s) return 0;
        std::size_t n = release_runs(pa, s, max_pages);
        guard g(heap.lock);
        pa->scavenge_end(s);
        if (n != 0) return n << pa->page_shift();
    }
    return 0;
}

}  // namespace

std::size_t scavenge(std::size_t limit) {
    std::size_t done = 0;
    auto all_of = [&](auto&& step) {
        while (done < limit) {
            std::size_t n = step(limit - done);
            if (n == 0) break;
            done += n;
        }
    };
    all_of([](std::size_t n) { return heap_scavenge(&heap.stacks, n); });
    all_of([](std::size_t n) { return heap_scavenge(&heap.objects, n); });
    for (int order = 0; order < stack_orders; order++)
        all_of([&](std::size_t n) { return stackpool_scavenge(order, n); });
    while (done < limit && stacklarge_retire()) all_of([](std::size_t n) { return heap_scavenge(&heap.stacks, n); });
    return done;
}

std::size_t scavengeable() {
    std::size_t n = heap.stacks.dirty_hint() * cfg::stack_min + heap.objects.dirty_hint() * cfg::heap_page;
    for (int order = 0; order < stack_orders; order++)
        n += stackpool[order].ndirty.load(memory_order_relaxed) * order_size(order);  // relaxed: a hint
    return n + stacklarge.bytes.load(memory_order_relaxed);                           // relaxed: a hint
}

memstats read_memstats() {
    memstats m{};
    std::size_t pool_free = 0, pool_clean = 0;
    for (int order = 0; order < stack_orders; order++) {
        guard g(stackpool[order].lock);
        std::size_t dirty = stackpool[order].ndirty.load(memory_order_relaxed);  // relaxed: lock held
        pool_free += stackpool[order].nfree * order_size(order);
        pool_clean += (stackpool[order].nfree - dirty) * order_size(order);
    }
    // relaxed: the parts are read one after the other; the whole is no snapshot.
    std::size_t large_free = stacklarge.bytes.load(memory_order_relaxed);
    guard g(heap.lock);
    m.reserved = heap.stacks.reserved() * cfg::stack_min + heap.objects.reserved() * cfg::heap_page + heap.metadata;
    m.stack_idle = heap.stacks.free_pages() * cfg::stack_min + pool_free + large_free;
    m.stack_inuse = heap.stacks.reserved() * cfg::stack_min - m.stack_idle;
    m.heap_inuse = heap.object_pages * cfg::heap_page;
    m.heap_idle = heap.objects.free_pages() * cfg::heap_page;
    m.released = heap.stacks.free_released() * cfg::stack_min + heap.objects.free_released() * cfg::heap_page + pool_clean;
    return m;
}

}  // namespace rt0::runtime
