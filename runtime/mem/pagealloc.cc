// Page allocator.  Invariants: pagealloc.h.
#include "mem/pagealloc.h"

#include <new>

#include "base/throw.h"
#include "kernel_if/memory.h"
#include "mem/asan.h"
#include "mem/heap.h"

namespace rt0::runtime {

namespace {

bool key_less(const mspan* a, const mspan* b) {
    return a->npages != b->npages ? a->npages < b->npages : a->start < b->start;
}

std::uint64_t hash(std::uintptr_t x) {  // splitmix64's finisher; Steele, Lea, Flood (2014)
    std::uint64_t z = x * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// Splits t into the spans before s and those behind it.
void treap_split(mspan* t, const mspan* s, mspan** before, mspan** behind) REQUIRES(heap.lock) {
    while (t) {
        if (key_less(t, s)) {
            *before = t;
            before = &t->right;
            t = t->right;
        } else {
            *behind = t;
            behind = &t->left;
            t = t->left;
        }
    }
    *before = *behind = nullptr;
}

void treap_insert(mspan** root, mspan* s) REQUIRES(heap.lock) {
    s->prio = hash(s->start);
    mspan** at = root;
    while (*at && (*at)->prio >= s->prio) at = key_less(*at, s) ? &(*at)->right : &(*at)->left;
    treap_split(*at, s, &s->left, &s->right);
    *at = s;
}

void treap_erase(mspan** root, mspan* s) REQUIRES(heap.lock) {
    mspan** at = root;
    while (*at != s) {
        if (!*at) runtime_throw("pagealloc: free span is not in the treap");
        at = key_less(*at, s) ? &(*at)->right : &(*at)->left;
    }
    mspan *a = s->left, *b = s->right;  // everything in a is before everything in b
    while (a && b) {
        if (a->prio >= b->prio) {
            *at = a;
            at = &a->right;
            a = a->right;
        } else {
            *at = b;
            at = &b->left;
            b = b->left;
        }
    }
    *at = a ? a : b;
}

// Applies f(word, mask) to the bits [first, first + n) of a bitmap.
template <class F>
void for_words(std::uint64_t* bits, std::size_t first, std::size_t n, F&& f) {
    while (n > 0) {
        std::size_t bit = first % 64, take = 64 - bit < n ? 64 - bit : n;
        std::uint64_t mask = (take == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << take) - 1) << bit;
        f(bits[first / 64], mask);
        first += take;
        n -= take;
    }
}

std::size_t count_bits(std::uint64_t* bits, std::size_t first, std::size_t n) {
    std::size_t sum = 0;
    for_words(bits, first, n,
              [&](std::uint64_t w, std::uint64_t mask) { sum += static_cast<std::size_t>(std::popcount(w & mask)); });
    return sum;
}

void set_table(mspan* s) {
    std::size_t first = s->ar->page_of(s->start);
    // relaxed: the state was written by this thread.
    if (s->state.load(memory_order_relaxed) == span_state::free) {
        s->ar->spans[first] = s->ar->spans[first + s->npages - 1] = s;
        return;
    }
    for (std::size_t i = 0; i < s->npages; i++) s->ar->spans[first + i] = s;
}

void set_state(mspan* s, span_state st) {
    s->state.store(st, memory_order_relaxed);  // relaxed: under heap.lock; readers without it only check
}

}  // namespace

std::size_t pagealloc::count_released(const mspan* s) const {
    return count_bits(s->ar->released, s->ar->page_of(s->start), s->npages);
}

void pagealloc::set_released(mspan* s, std::size_t first, std::size_t n) {
    for_words(s->ar->released, s->ar->page_of(s->start) + first, n, [](std::uint64_t& w, std::uint64_t m) { w |= m; });
}

void pagealloc::note_dirty() {
    dirty_hint_.store(free_pages_ - free_released_, memory_order_relaxed);  // relaxed: a hint
}

// Into the treap, and to the warm end of `dirty` if it has pages to give back.
void pagealloc::insert(mspan* s) {
    set_state(s, span_state::free);
    s->nreleased = count_released(s);
    set_table(s);
    treap_insert(&root_, s);
    if (s->nreleased < s->npages) dirty_.push_front(s);
    free_pages_ += s->npages;
    free_released_ += s->nreleased;
    note_dirty();
}

void pagealloc::erase(mspan* s) {
    treap_erase(&root_, s);
    if (s->list) dirty_.remove(s);
    free_pages_ -= s->npages;
    free_released_ -= s->nreleased;
    note_dirty();
}

mspan* pagealloc::best_fit(std::size_t npages, std::uintptr_t start) const {
    mspan* best = nullptr;
    for (mspan* t = root_; t;) {
        if (t->npages > npages || (t->npages == npages && t->start >= start)) {
            best = t;
            t = t->left;
        } else {
            t = t->right;
        }
    }
    return best;
}

mspan* pagealloc::alloc(std::size_t npages, std::size_t align_pages, span_state state) {
    const std::uintptr_t align = align_pages << shift_;
    // Where an aligned run lies in s; 0: nowhere.
    auto run_in = [&](const mspan* s) {
        std::uintptr_t start = (s->start + align - 1) & ~(align - 1);
        return start + (npages << shift_) <= s->start + (s->npages << shift_) ? start : 0;
    };
    for (int attempt = 0; attempt < 2; attempt++) {
        // First the tightest span, if it happens to be aligned; then one in which an aligned run must be.
        for (std::size_t want : {npages, npages + align_pages - 1}) {
            mspan* s = best_fit(want);
            if (!s) break;
            if (std::uintptr_t start = run_in(s)) return carve(s, start, npages, state);
        }
        // Before the kernel is asked, those between the two.
        for (mspan* s = best_fit(npages); s; s = best_fit(s->npages, s->start + 1))
            if (std::uintptr_t start = run_in(s)) return carve(s, start, npages, state);
        if (!grow(npages, align_pages)) return nullptr;
    }
    return nullptr;
}

// Takes [start, +npages) out of the free span s; what is left over stays free.
mspan* pagealloc::carve(mspan* s, std::uintptr_t start, std::size_t npages, span_state state) {
    std::size_t before = (start - s->start) >> shift_, behind = s->npages - before - npages;
    mspan *head = before ? spanheader_alloc() : nullptr, *tail = behind ? spanheader_alloc() : nullptr;
    if ((before && !head) || (behind && !tail)) {
        if (head) spanheader_free(head);
        if (tail) spanheader_free(tail);
        return nullptr;
    }
    erase(s);
    auto leave = [&](mspan* part, std::uintptr_t at, std::size_t n) REQUIRES(heap.lock) {
        part->ar = s->ar;
        part->start = at;
        part->npages = n;
        insert(part);
    };
    if (head) leave(head, s->start, before);
    if (tail) leave(tail, start + (npages << shift_), behind);
    arena* a = s->ar;
    new (s) mspan;
    s->ar = a;
    s->start = start;
    s->npages = npages;
    s->needzero = count_released(s) < npages;
    for_words(a->released, a->page_of(start), npages, [](std::uint64_t& w, std::uint64_t m) { w &= ~m; });
    set_state(s, state);
    set_table(s);
    return s;
}

void pagealloc::merge(mspan* s, mspan* neighbour) {
    erase(neighbour);
    if (neighbour->start < s->start) s->start = neighbour->start;
    s->npages += neighbour->npages;
    spanheader_free(neighbour);
}

void pagealloc::free(mspan* s) {
    arena* a = s->ar;
    std::size_t first = a->page_of(s->start), end = first + s->npages;
    if (s->list || first >= a->npages || a->spans[first] != s) runtime_throw("pagealloc: bad span freed");
    // relaxed: states change under heap.lock, which is held.
    auto is_free = [](mspan* n) { return n->state.load(memory_order_relaxed) == span_state::free; };
    mspan* before = first > 0 ? a->spans[first - 1] : nullptr;
    mspan* behind = end < a->npages ? a->spans[end] : nullptr;
    if (before && is_free(before)) merge(s, before);
    if (behind && is_free(behind)) merge(s, behind);
    insert(s);
}

mspan* pagealloc::scavenge_begin() {
    mspan* s = dirty_.last;
    if (!s) return nullptr;
    erase(s);
    set_state(s, span_state::scavenging);
    return s;
}

// Reserves an arena in which npages fit; smaller and smaller ones when the kernel refuses.
// From a granule up an arena is made of whole granules; below, it lies within one (HP3).
bool pagealloc::grow(std::size_t npages, std::size_t align_pages) {
    std::size_t need = npages << shift_, align = align_pages << shift_;
    bool first = reserved_ == 0;
    std::size_t want = first && !stacks_ && arena_size_ > cfg::arena_first ? cfg::arena_first : arena_size_;
    if (want < need) want = need;
    for (;;) {
        bool small = want < cfg::arena_granule;
        std::size_t unit = small ? page_size() : cfg::arena_granule;
        std::size_t n = (want + unit - 1) & ~(unit - 1), own = small ? std::bit_ceil(n) : cfg::arena_granule;
        void* p = kernel::sys_reserve(n, own > align ? own : align);
        if (p && add_arena(p, n, !first)) return true;  // its books may be what there is no memory for
        if (want == need) return false;
        want = want / 2 > need ? want / 2 : need;
    }
}

bool pagealloc::add_arena(void* p, std::size_t n, bool huge_ok) {
    std::size_t npages = n >> shift_, words = (npages + 63) / 64;
    std::size_t table = npages * sizeof(mspan*), bitmap = words * sizeof(std::uint64_t);
    mspan* s = map_prepare(reinterpret_cast<std::uintptr_t>(p), n) ? spanheader_alloc() : nullptr;
    auto* books = static_cast<char*>(s ? persistentalloc(sizeof(arena) + table + 3 * bitmap, 64) : nullptr);
    if (!books) {
        if (s) spanheader_free(s);
        kernel::sys_free(p, n);
        return false;
    }
    arena* a = new (books) arena;
    a->base = reinterpret_cast<std::uintptr_t>(p);
    a->npages = npages;
    a->bytes = n;
    a->page_shift = shift_;
    a->spans = reinterpret_cast<mspan**>(books + sizeof(arena));
    a->released = reinterpret_cast<std::uint64_t*>(books + sizeof(arena) + table);
    a->guards = a->released + words;
    a->mapped = a->guards + words;
    map_arena(a);
    std::size_t huge = heap.physHugePageSize;
    if (!stacks_ && huge_ok && huge != 0 && n % huge == 0 && a->base % huge == 0) a->huge = kernel::sys_hugepage(p, n) == 0;
    else kernel::sys_nohugepage(p, n);  // or they come where the kernel is set to `always`; refused without any: just as good
    kernel::sys_name(p, n, stacks_ ? "rt0-stacks" : "rt0-heap");
    if (!stacks_) lsan_add_roots(p, n);  // stacks contain guards: they are named to it when it looks
    s->ar = a;
    s->start = a->base;
    s->npages = npages;
    set_released(s, 0, npages);
    a->link = arenas_;
    arenas_ = a;
    reserved_ += npages;
    insert(s);
    return true;
}

bool pagealloc::is_valid() const {
    std::size_t nfree = 0, nreleased = 0, in_arenas = 0;
    for (arena* a = arenas_; a; a = a->link) {
        in_arenas += a->npages;
        bool was_free = false;
        for (std::size_t i = 0; i < a->npages;) {
            mspan* s = a->spans[i];
            if (!s || s->ar != a || a->page_of(s->start) != i || i + s->npages > a->npages) return false;
            if (a->spans[i + s->npages - 1] != s) return false;
            span_state st = s->state.load(memory_order_relaxed);  // relaxed: under heap.lock
            std::size_t released = count_released(s);
            bool is_free = st == span_state::free;
            if (is_free) {
                if (was_free || released != s->nreleased) return false;
                if ((s->list == &dirty_) != (released < s->npages)) return false;
                nfree += s->npages;
                nreleased += released;
            } else if (st != span_state::scavenging) {
                for (std::size_t k = 0; k < s->npages; k++)
                    if (a->spans[i + k] != s) return false;
                if (released != 0) return false;
            }
            was_free = is_free;
            i += s->npages;
        }
    }
    return in_arenas == reserved_ && nfree == free_pages_ && nreleased == free_released_;
}

}  // namespace rt0::runtime
