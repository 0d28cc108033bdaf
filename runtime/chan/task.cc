// oneshot: how a task's goroutine tells whoever joins it that it has ended.
//
//   OS1  The word goes 0 -> g -> happened or 0 -> happened.  Who finds a g there readies it.
//   OS2  set() does not touch the object after its exchange: a waiter that finds
//        `happened` frees it at once.
#include "chan/waitq.h"

#include <rt0/go.h>

namespace rt0::detail {

void oneshot::set() {
    // ORDER(oneshot): acq_rel, the result for the waiter, the waiter's g for us; pairs with
    // the acquires in is_set() and wait_slow().
    std::uintptr_t was = word_.exchange(happened, std::memory_order_acq_rel);
    if (!was) return;
    runtime::runtime_call rc;
    runtime::goready(reinterpret_cast<runtime::g*>(was));
}

void oneshot::wait_slow() {
    runtime::runtime_call rc;
    runtime::gopark(
        [](runtime::g* gp, void* word) {
            std::uintptr_t none = 0;
            // ORDER(oneshot): acq_rel; pairs with the exchange in set().  False: it has happened.
            return static_cast<detail::atomic<std::uintptr_t>*>(word)->compare_exchange_strong(
                none, reinterpret_cast<std::uintptr_t>(gp), std::memory_order_acq_rel, std::memory_order_acquire);
        },
        &word_, runtime::wait_reason::waitgroup_wait);
}

}  // namespace rt0::detail
