// RT0DEBUG=chaos=SEED: pauses at the windows of the lock-free protocols, and a scheduler that decides by chance
// (sched/choose.h), so that interleavings that a quiet machine shows once a year come up in seconds.
//
//   CS1  Each thread of the runtime has a stream of its own, made of the seed and the number of its M, and a place in it: the
//        n-th decision of an M is the same in every run.  Threads that are no M's share stream 0's beginning.
//   CS2  Which thread gets where first the kernel decides all the same.
#pragma once
#include <cstdint>

#include "arch/model.h"
#include "base/atomic.h"

namespace rt0::runtime {

extern atomic<std::uint64_t> chaos_state;  // the seed, 0: off
void chaos_pause_slow();

inline std::uint64_t chaos_seed() {
    return chaos_state.load(memory_order_relaxed);  // relaxed: written at the boot, by tests in between
}

// Between two steps of a protocol.  Off: a load of a word that nobody writes, and a branch; not for
// fast paths.  Nothing under a model run, which has a schedule point at every access.
inline void chaos_pause() {
    if (arch::model()) return;
    if (chaos_seed() != 0) [[unlikely]] chaos_pause_slow();
}

// The calling thread is M number `id` from now on (CS1).
void chaos_stream(std::int64_t id);
std::uint64_t chaos_draw();

}  // namespace rt0::runtime
