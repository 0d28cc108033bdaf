// The checks of a start: what the code relies on and no compiler can verify.
#pragma once
#include <cstddef>

namespace rt0::runtime {

// On m0 with g set.
void check(std::size_t page_size);

}  // namespace rt0::runtime
