// mallocinit, and the memory of rt0's own objects.
//
//   MA1  mallocinit may come from a static constructor, from several threads at once, and
//        again: everything it fills in is constant-initialised, and one thread does it.
//   MA2  what mallocrt returns is zero: fresh pages are, and anything used before is cleared.
//        Memory comes untouched from the kernel, which reserves any amount: an object larger
//        than the machine's memory is refused here, before books are kept for its pages.
//   MA3  with an mcache neither mallocrt nor freert locks until a list of it is empty or full.
// Under AddressSanitizer a free object is poisoned but for its link, so use after free and a
// second free are found.
#include <cstring>
#include <new>

#include "base/throw.h"
#include "kernel_if/cpu.h"
#include "kernel_if/memory.h"
#include "kernel_if/sys.h"
#include "mem/asan.h"
#include "mem/cache.h"
#include "mem/heap.h"
#include "mem/mem.h"
#include "mem/stack.h"

namespace rt0::runtime {

constinit bool on_valgrind = false;

namespace {

constinit atomic<bool> initialised{false};
constinit mcache* free_mcaches GUARDED_BY(heap.lock) = nullptr;  // [lock:heap]

// How many guards there may be where they take mappings: each splits one in two places.
std::size_t guard_limit() {
    char text[32];
    std::size_t maps = 0;
    if (kernel::read_small_file("/proc/sys/vm/max_map_count", text, sizeof text) <= 0) maps = 65530;
    else for (const char* t = text; *t >= '0' && *t <= '9'; t++) maps = maps * 10 + static_cast<std::size_t>(*t - '0');
    return maps > 2 * cfg::spare_mappings ? (maps - cfg::spare_mappings) / 2 : maps / 4;
}

void* cleared(void* p, std::size_t n, unsigned cls) {
    asan_unpoison(p, size_classes[cls].size);
    return std::memset(p, 0, n);
}

[[gnu::noinline]] void* malloc_large(std::size_t n) {
    if (n > heap.memory_max || n > ~std::size_t{0} / 2) return nullptr;
    mspan* s = heap_alloc_large(n);
    if (!s) return nullptr;
    void* p = reinterpret_cast<void*>(s->start);
    return s->needzero ? std::memset(p, 0, n) : p;
}

// The objcache is empty: from the span, else from wherever refill finds some.
[[gnu::noinline]] void* malloc_slow(mcache* c, std::size_t n, unsigned cls) {
    mallocinit();
    if (!c) {
        void* p = mcentrals[cls].alloc_one();
        return p ? cleared(p, n, cls) : nullptr;
    }
    for (int attempt = 0; attempt < 3; attempt++) {
        if (mspan* s = c->alloc[cls]) {
            std::uint32_t i = s->nextFreeIndex();
            if (i < s->nelems) {
                void* p = reinterpret_cast<void*>(s->object(i));
                return s->needzero ? cleared(p, n, cls) : p;
            }
        }
        if (!c->refill(cls)) return nullptr;
        objcache& f = c->freed[cls];
        if (object_link* o = f.head) {
            asan_unpoison(o, size_classes[cls].size);
            f.head = o->next;
            f.n--;
            return cleared(o, n, cls);
        }
    }
    runtime_throw("mallocrt: refill brought a span without a free object");
}

[[gnu::always_inline]] inline void* malloc_small(mcache* c, std::size_t n, unsigned cls) {
    object_link* o;
    if (!c || !(o = c->freed[cls].head)) [[unlikely]] return malloc_slow(c, n, cls);
    asan_unpoison(o, size_classes[cls].size);
    c->freed[cls].head = o->next;
    c->freed[cls].n--;
    return std::memset(o, 0, n);
}

}  // namespace

void mallocinit() {
    // ORDER(mallocinit): acquire; pairs with the release below.
    if (initialised.load(memory_order_acquire)) [[likely]]
        return;
    // Outside the lock what asks the kernel; two threads that both do find the same.
    if (kernel::read_auxv(nullptr).page_size > cfg::stack_guard)
        die("pages of the processor larger than 16 KiB are not supported");
    std::size_t huge = kernel::getHugePageSize(), guards = guard_limit(), memory = kernel::sys_memory();
    guard g(heap.lock);
    if (initialised.load(memory_order_relaxed)) return;  // relaxed: the lock orders it
    heap.physHugePageSize = huge;
    heap.guards_max = guards;
    heap.memory_max = memory;
    on_valgrind = kernel::under_valgrind();
    for (unsigned cls = 1; cls < num_span_classes; cls++) mcentrals[cls].init(cls, false);
    // ORDER(mallocinit): release; pairs with the acquire above.
    initialised.store(true, memory_order_release);
}

mcache* allocmcache() {
    mallocinit();
    guard g(heap.lock);
    void* m = free_mcaches;
    if (m) free_mcaches = free_mcaches->link;
    else m = persistentalloc(sizeof(mcache), alignof(mcache));
    if (!m) return nullptr;
    auto* c = new (m) mcache;
    // relaxed: sweepgen changes only while the world is stopped; nobody else knows c.
    c->flushGen.store(heap.sweepgen.load(memory_order_relaxed), memory_order_relaxed);
    return c;
}

void freemcache(mcache* c) {
    c->releaseAll();
    stackcache_clear(c);
    guard g(heap.lock);
    c->link = free_mcaches;
    free_mcaches = c;
}

void mcache_prepare_for_sweep(mcache* c) { c->prepareForSweep(); }

void* mallocrt(mcache* c, std::size_t n) {
    if (n > cfg::small_max) [[unlikely]] {
        mallocinit();
        return malloc_large(n);
    }
    return malloc_small(c, n, size_to_class(n));
}

void* mallockept(mcache* c) { return malloc_small(c, cfg::kept_object, kept_class); }

void freert(mcache* c, void* p) {
    if (!p) return;
    mspan* s = span_of(reinterpret_cast<std::uintptr_t>(p));
    // relaxed: whoever owns the object keeps the span in this state.
    if (!s || s->state.load(memory_order_relaxed) != span_state::in_use) [[unlikely]]
        runtime_throw("freert: not an object");
    unsigned cls = s->sizeclass;
    if (cls == 0) [[unlikely]] {
        if (reinterpret_cast<std::uintptr_t>(p) != s->start) runtime_throw("freert: not an object");
        return heap_free(s);
    }
    auto* o = static_cast<object_link*>(p);
    if (asan_is_poisoned(o + 1)) runtime_throw("freert: object is free already");
    asan_poison(o + 1, s->elemsize - sizeof *o);
    if (!c) return mcentrals[cls].free_one(o);
    objcache& f = c->freed[cls];
    o->next = f.head;
    f.head = o;
    if (++f.n >= size_classes[cls].cache) [[unlikely]] c->spill(cls);
}

}  // namespace rt0::runtime
