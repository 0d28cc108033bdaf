// RT0DEBUG=chaos=SEED: pauses at the windows of the lock-free protocols, so that interleavings
// that a quiet machine shows once a year come up in seconds.  The seed decides which windows
// pause and for how long; which thread gets there first the kernel decides all the same.
#pragma once
#include <cstdint>

#include "arch/model.h"
#include "base/atomic.h"

namespace rt0::runtime {

extern atomic<std::uint64_t> chaos_state;  // 0: off
void chaos_pause_slow();

// Between two steps of a protocol.  Off: a load of a word that nobody writes, and a branch; not for
// fast paths.  Nothing under a model run, which has a schedule point at every access.
inline void chaos_pause() {
    if (arch::model()) return;
    // relaxed: a generator's state; whoever draws the same number twice pauses twice.
    if (chaos_state.load(memory_order_relaxed) != 0) [[unlikely]] chaos_pause_slow();
}

}  // namespace rt0::runtime
