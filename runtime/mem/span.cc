// Spans: lists of them, and the objects in them.  Invariants: span.h.
#include "mem/span.h"

#include "base/throw.h"

namespace rt0::runtime {

void spanlist::push_front(mspan* s) {
    if (s->list) runtime_throw("spanlist: span is on a list already");
    s->list = this;
    s->prev = nullptr;
    s->next = first;
    (first ? first->prev : last) = s;
    first = s;
}

void spanlist::push_back(mspan* s) {
    if (s->list) runtime_throw("spanlist: span is on a list already");
    s->list = this;
    s->next = nullptr;
    s->prev = last;
    (last ? last->next : first) = s;
    last = s;
}

void spanlist::remove(mspan* s) {
    if (s->list != this) runtime_throw("spanlist: span is not on this list");
    (s->prev ? s->prev->next : first) = s->next;
    (s->next ? s->next->prev : last) = s->prev;
    s->list = nullptr;
    s->next = s->prev = nullptr;
}

void mspan::initHeap(unsigned cls, std::uint64_t* bits, bool zero, bool collect, std::uint32_t sg) {
    const size_class& k = size_classes[cls];
    std::uint32_t words = bitmap_words(k.nelems);
    manualFreeList = nullptr;
    allocBits = bits;
    markBits = bits + words;
    for (std::uint32_t i = 0; i < 2 * words; i++) bits[i] = 0;
    allocCache = ~std::uint64_t{0};
    freeindex = 0;
    nelems = k.nelems;
    elemsize = k.size;
    nmanual = 0;
    nfree = k.nelems;
    sizeclass = static_cast<std::uint8_t>(cls);
    needzero = zero;
    collected = collect;
    cached = false;
    sweepgen.store(sg, memory_order_relaxed);  // relaxed: nobody else knows the span yet
}

// allocCache is the complement of the bitmap word that freeindex lies in, shifted so that
// its lowest bit is freeindex; at a word's end the next word is fetched.
std::uint32_t mspan::nextFreeIndex() {
    std::uint32_t i = freeindex;
    while (i < nelems) {
        if (allocCache == 0) {  // nothing more in this word
            i = (i | 63) + 1;
            if (i >= nelems) break;
            refillAllocCache(i / 64);
            continue;
        }
        int skip = std::countr_zero(allocCache);
        std::uint32_t found = i + static_cast<std::uint32_t>(skip);
        if (found >= nelems) break;
        freeindex = found + 1;
        allocCache = skip == 63 ? 0 : allocCache >> (skip + 1);
        if (freeindex % 64 == 0 && freeindex < nelems) refillAllocCache(freeindex / 64);
        return found;
    }
    freeindex = nelems;
    return nelems;
}

bool mspan::isFree(std::uint32_t i) const {
    return i >= freeindex && (allocBits[i / 64] >> (i % 64) & 1) == 0;
}

std::uint32_t mspan::countFree() const {
    std::uint32_t n = nmanual;
    for (std::uint32_t i = freeindex; i < nelems;) {
        std::uint32_t bit = i % 64, in_word = 64 - bit < nelems - i ? 64 - bit : nelems - i;
        std::uint64_t mask = in_word == 64 ? ~std::uint64_t{0} : ((std::uint64_t{1} << in_word) - 1) << bit;
        n += static_cast<std::uint32_t>(std::popcount(~allocBits[i / 64] & mask));
        i += in_word;
    }
    return n;
}

void mspan::sweep(std::uint32_t sg) {
    // relaxed: the caller made it sg-1 itself, and nobody else changes a span being swept.
    if (sweepgen.load(memory_order_relaxed) != sg - 1) runtime_throw("mspan.sweep: bad span state");
    if (collected) {
        std::uint64_t* swept = allocBits;
        allocBits = markBits;
        markBits = swept;
        for (std::uint32_t i = 0; i < bitmap_words(nelems); i++) markBits[i] = 0;
        manualFreeList = nullptr;  // unmarked, so the bits have them
        nmanual = 0;
        freeindex = 0;
        needzero = true;
        refillAllocCache(0);
        nfree = countFree();
    }
    // ORDER(sweepgen): release, so that who sees sg sees the bits; pairs with the acquire in
    // mcentral::sweep_if_needed.
    sweepgen.store(sg, memory_order_release);
}

bool mspan::is_valid() const {
    std::uint32_t n = 0;
    for (object_link* o = manualFreeList; o; o = o->next, n++) {
        auto off = reinterpret_cast<std::uintptr_t>(o) - start;
        if (n >= nmanual || off % elemsize != 0 || off / elemsize >= nelems) return false;
        if (isFree(static_cast<std::uint32_t>(off / elemsize))) return false;  // free twice
    }
    return n == nmanual && freeindex <= nelems && countFree() <= nelems && (cached || nfree == countFree());
}

}  // namespace rt0::runtime
