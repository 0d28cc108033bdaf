// Size classes: monotone, aligned, bounded waste; the index finds the tightest class.
#include <gtest/gtest.h>

#include "mem/sizeclass.h"

namespace rt0::runtime {

TEST(SizeClass, TightestClassForEverySize) {
    for (std::size_t n = 0; n <= cfg::small_max; n++) {
        unsigned cls = size_to_class(n);
        ASSERT_GE(cls, 1u);
        ASSERT_LT(cls, static_cast<unsigned>(num_size_classes));
        ASSERT_GE(size_classes[cls].size, n) << n;
        if (cls > 1) {
            ASSERT_LT(size_classes[cls - 1].size, n) << "a smaller class would do for " << n;
        }
    }
}

TEST(SizeClass, WasteOfAnObjectIsAnEighthOrLessThanItsAlignment) {
    for (std::size_t n = 1; n <= cfg::small_max; n++) {
        std::size_t size = size_classes[size_to_class(n)].size, waste = size - n;
        ASSERT_TRUE(waste * 8 <= size || waste < object_align(size)) << n << " in " << size;
    }
}

TEST(SizeClass, SizesGrowAndKeepTheirAlignment) {
    for (int c = 2; c < num_size_classes; c++) {
        ASSERT_GT(size_classes[c].size, size_classes[c - 1].size);
        ASSERT_EQ(size_classes[c].size % object_align(size_classes[c].size), 0u);
    }
    EXPECT_EQ(object_align(63), 16u);
    EXPECT_EQ(object_align(64), 64u);
}

TEST(SizeClass, SpansWasteAnEighthAtMostAndHoldEight) {
    for (int c = 1; c < num_span_classes; c++) {
        const size_class& k = size_classes[c];
        std::size_t bytes = k.npages * cfg::heap_page;
        ASSERT_GE(k.nelems, 8u);
        ASSERT_LE(k.nelems, max_span_objects);
        ASSERT_LE((bytes - std::size_t{k.nelems} * k.size) * 8, bytes) << "class " << c;
        ASSERT_GE(k.cache, 2u);
    }
}

}  // namespace rt0::runtime
