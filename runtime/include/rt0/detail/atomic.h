// The atomics of the types in this folder: std's, but in the library's own model builds, which put
// their machine under them (runtime/base/atomic.h, included first by the compiler's command line).
#pragma once
#include <atomic>

namespace rt0::detail {

#ifdef RT_MODEL
using runtime::atomic;
#else
using std::atomic;
#endif

}  // namespace rt0::detail
