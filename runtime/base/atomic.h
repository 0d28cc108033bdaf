// Atomics of the runtime.  One alias, so that a build for model checking can put its
// own scheduler under every access; the memory orders are std's, and every use says
// ORDER(label) and what it pairs with.
#pragma once
#include <atomic>

namespace rt0::runtime {

template <class T>
using atomic = std::atomic<T>;

using std::atomic_signal_fence;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

}  // namespace rt0::runtime
