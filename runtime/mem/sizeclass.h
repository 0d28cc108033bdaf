// Size classes: which sizes small objects are rounded up to, and how many pages a span
// of each class has.  Computed at compile time from two rules and asserted:
//   SZ1  class sizes grow by an eighth of the power of two below them, so at most 12.5 %
//        of an object is padding - or less than its alignment, where that is more: 16
//        below 64 bytes, 64 from there on (a cache line is never shared by two objects).
//   SZ2  a span holds eight objects or more, so the tail that fits no object is less than
//        an eighth of the span; and at most 1024, so a bitmap is at most 16 words.
// Class 0 is no class: an object larger than cfg::small_max, with a span of its own.  The last class is for what is never freed
// (kept_class): each of a few such objects among those that come and go would hold a span of them for good.
// The idea of a table by bounded waste is Go's (mksizeclasses.go); the table is not.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/config.h"

namespace rt0::runtime {

inline constexpr std::size_t min_object = 16;         // bytes: a link and room to poison behind it
inline constexpr std::uint32_t max_span_objects = 1024;

constexpr std::size_t object_align(std::size_t size) { return size < 64 ? 16 : 64; }

constexpr std::size_t next_class_size(std::size_t size) {
    std::size_t step = std::bit_floor(size) / 8;
    std::size_t align = object_align(size);
    return size + (step > align ? step : align);
}

constexpr int count_size_classes() {
    int n = 1;
    for (std::size_t s = min_object; s <= cfg::small_max; s = next_class_size(s)) n++;
    return n;
}
inline constexpr int num_size_classes = count_size_classes();        // that size_to_class chooses from
inline constexpr int num_span_classes = num_size_classes + 1;       // and the one of objects that are kept
inline constexpr unsigned kept_class = num_size_classes;

struct size_class {
    std::uint32_t size;    // bytes of an object
    std::uint32_t npages;  // of a span, in cfg::heap_page
    std::uint32_t nelems;  // objects in a span
    std::uint32_t cache;   // freed objects in one of the two lists a P keeps
};

constexpr size_class make_size_class(std::size_t size) {
    std::size_t want = 8 * size > cfg::object_span ? 8 * size : cfg::object_span;
    if (want > max_span_objects * size) want = max_span_objects * size;
    std::size_t npages = (want + cfg::heap_page - 1) / cfg::heap_page;
    std::size_t nelems = npages * cfg::heap_page / size;
    if (nelems > max_span_objects) nelems = max_span_objects;
    std::size_t cache = cfg::object_cache / 2 / size;
    cache = cache < 2 ? 2 : cache > 64 ? 64 : cache;
    return {static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(npages), static_cast<std::uint32_t>(nelems),
            static_cast<std::uint32_t>(cache)};
}

constexpr auto make_size_classes() {
    std::array<size_class, num_span_classes> t{};
    int i = 1;
    for (std::size_t s = min_object; s <= cfg::small_max; s = next_class_size(s)) t[i++] = make_size_class(s);
    t[kept_class] = make_size_class(cfg::kept_object);
    return t;
}
inline constexpr auto size_classes = make_size_classes();
static_assert(num_span_classes < 256, "a class number is kept in a byte");
static_assert(size_classes[num_size_classes - 1].size == cfg::small_max, "the last class is the largest small object");

// Two tables, as sizes up to fine_max need steps of 16 and all others are multiples of 128.
inline constexpr std::size_t fine_max = 1024, fine_step = 16, coarse_step = 128;

template <std::size_t N>
constexpr auto make_class_index(std::size_t step) {
    std::array<std::uint8_t, N> t{};
    int c = 1;
    for (std::size_t i = 0; i < N; i++) {
        while (c < num_size_classes - 1 && size_classes[c].size < i * step) c++;
        t[i] = static_cast<std::uint8_t>(c);
    }
    return t;
}
inline constexpr auto class_fine = make_class_index<fine_max / fine_step + 1>(fine_step);
inline constexpr auto class_coarse = make_class_index<cfg::small_max / coarse_step + 1>(coarse_step);

// The class of an object of n bytes, n <= cfg::small_max; n == 0 counts as 1.
constexpr unsigned size_to_class(std::size_t n) {
    if (n <= fine_max) return class_fine[(n + fine_step - 1) / fine_step];
    return class_coarse[(n + coarse_step - 1) / coarse_step];
}

constexpr bool size_classes_hold() {
    std::size_t prev = 0;
    for (int c = 1; c < num_size_classes; c++) {
        const size_class& k = size_classes[c];
        std::size_t span = k.npages * cfg::heap_page, waste = k.size - (prev + 1);
        if (k.size <= prev || k.size % object_align(k.size) != 0) return false;
        if (waste * 8 > k.size && waste >= object_align(k.size)) return false;                    // SZ1
        if (k.nelems < 8 || (span - std::size_t{k.nelems} * k.size) * 8 > span) return false;     // SZ2
        if (size_to_class(prev + 1) != static_cast<unsigned>(c) || size_to_class(k.size) != static_cast<unsigned>(c))
            return false;
        prev = k.size;
    }
    return true;
}
static_assert(size_classes_hold(), "SZ1, SZ2 and the index tables");

}  // namespace rt0::runtime
