// The heap's books: persistent memory, span headers, bitmaps, the address map, spans of
// objects.  Invariants: heap.h.
#include "mem/heap.h"

#include <new>

#include "base/throw.h"
#include "kernel_if/memory.h"
#include "mem/asan.h"

namespace rt0::runtime {

constinit mheap heap;
constinit atomic<map_leaf*> arena_map[map_fan] = {};

namespace {

struct {
    std::uintptr_t at = 0, end = 0;
} chunk GUARDED_BY(heap.lock);                                     // [lock:heap]
constinit mspan* free_headers GUARDED_BY(heap.lock) = nullptr;     // linked through next [lock:heap]
constinit std::uint64_t* free_bits[8] GUARDED_BY(heap.lock) = {};  // by log2 of words; linked through the first word [lock:heap]

unsigned log2_up(std::size_t n) { return static_cast<unsigned>(std::bit_width(n - 1)); }

}  // namespace

void* persistentalloc(std::size_t n, std::size_t align) {
    std::uintptr_t p = (chunk.at + align - 1) & ~(align - 1);
    if (chunk.at == 0 || p + n > chunk.end) {
        constexpr std::size_t page = 64 << 10;  // a multiple of every kernel's page
        std::size_t least = (n + page - 1) & ~(page - 1);
        std::size_t size = least > cfg::metadata_chunk ? least : cfg::metadata_chunk;
        void* m = kernel::sys_reserve(size, page);
        if (!m && size > least) m = kernel::sys_reserve(size = least, page);
        if (!m) return nullptr;
        kernel::sys_name(m, size, "rt0-heap-books");
        heap.metadata += size;
        p = reinterpret_cast<std::uintptr_t>(m);
        // A chunk that was nearly full stays unused at its end: it was never touched.
        if (chunk.end - chunk.at < size - n) chunk = {p + n, p + size};
        return m;
    }
    chunk.at = p + n;
    return reinterpret_cast<void*>(p);
}

mspan* spanheader_alloc() {
    void* m = free_headers;
    if (m) free_headers = free_headers->next;
    else m = persistentalloc(sizeof(mspan), alignof(std::max_align_t));
    return m ? new (m) mspan : nullptr;
}

void spanheader_free(mspan* s) {
    s->state.store(span_state::dead, memory_order_relaxed);  // relaxed: checks only
    s->next = free_headers;
    free_headers = s;
}

std::uint64_t* bits_alloc(std::uint32_t words) {
    unsigned k = log2_up(words);
    if (std::uint64_t* b = free_bits[k]) {
        free_bits[k] = reinterpret_cast<std::uint64_t*>(b[0]);
        return b;
    }
    return static_cast<std::uint64_t*>(persistentalloc(sizeof(std::uint64_t) << k, sizeof(std::uint64_t)));
}

void bits_free(std::uint64_t* b, std::uint32_t words) {
    unsigned k = log2_up(words);
    b[0] = reinterpret_cast<std::uint64_t>(free_bits[k]);
    free_bits[k] = b;
}
static_assert(2 * bitmap_words(max_span_objects) < (1u << 8), "free_bits has a list for the longest pair of bitmaps");

bool map_prepare(std::uintptr_t base, std::size_t n) {
    if (base + n > map_limit) return false;
    for (std::uintptr_t i = base >> leaf_shift; i <= (base + n - 1) >> leaf_shift; i++) {
        if (arena_map[i].load(memory_order_relaxed)) continue;  // relaxed: written under heap.lock, which is held
        void* m = persistentalloc(sizeof(map_leaf), alignof(map_leaf));
        if (!m) return false;
        // ORDER(arenamap): release; pairs with the acquire in arena_of.
        arena_map[i].store(new (m) map_leaf, memory_order_release);
    }
    return true;
}

void map_arena(arena* a) {
    std::uintptr_t end = a->base + a->bytes;
    for (std::uintptr_t p = a->base; p < end; p = (p | (cfg::arena_granule - 1)) + 1) {
        map_leaf* leaf = arena_map[p >> leaf_shift].load(memory_order_relaxed);  // relaxed: heap.lock is held
        atomic<arena*>& g = leaf->granule[(p >> granule_shift) & (map_fan - 1)];
        if (arena* old = g.load(memory_order_relaxed)) a->chain = old;           // relaxed: heap.lock is held
        // ORDER(arenamap): release; pairs with the acquire in arena_of.
        g.store(a, memory_order_release);
    }
}

mspan* heap_alloc_small(unsigned cls, bool collected) {
    const size_class& k = size_classes[cls];
    std::uint32_t words = 2 * bitmap_words(k.nelems);
    guard g(heap.lock);
    std::uint64_t* bits = bits_alloc(words);
    if (!bits) return nullptr;
    mspan* s = heap.objects.alloc(k.npages, 1, span_state::in_use);
    if (!s) {
        bits_free(bits, words);
        return nullptr;
    }
    heap.object_pages += s->npages;
    // relaxed: sweepgen changes only while the world is stopped.
    s->initHeap(cls, bits, s->needzero, collected, heap.sweepgen.load(memory_order_relaxed));
    return s;
}

mspan* heap_alloc_large(std::size_t n) {
    std::size_t npages = (n + cfg::heap_page - 1) / cfg::heap_page;
    guard g(heap.lock);
    mspan* s = heap.objects.alloc(npages, 1, span_state::in_use);
    if (!s) return nullptr;
    heap.object_pages += s->npages;
    s->sizeclass = 0;
    s->nelems = 1;
    s->freeindex = 1;
    // relaxed: sweepgen changes only while the world is stopped.
    s->sweepgen.store(heap.sweepgen.load(memory_order_relaxed), memory_order_relaxed);
    return s;
}

void heap_free(mspan* s) {
    std::size_t n = s->npages * cfg::heap_page;
    asan_unpoison(reinterpret_cast<void*>(s->start), n);  // the next use has other bounds
    // What is as large as an arena goes back at once: clearing it for its next use would take longer.
    bool returned = n >= cfg::arena_size && kernel::sys_unused(reinterpret_cast<void*>(s->start), n) == 0;
    guard g(heap.lock);
    if (returned) heap.objects.set_released(s, 0, s->npages);
    heap.object_pages -= s->npages;
    if (s->allocBits) {
        std::uint64_t* bits = s->allocBits < s->markBits ? s->allocBits : s->markBits;  // a sweep swaps the two
        bits_free(bits, 2 * bitmap_words(s->nelems));
    }
    heap.objects.free(s);
}

}  // namespace rt0::runtime
