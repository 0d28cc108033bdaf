// The stack of a goroutine that runs on another thread: its thread is asked for it by a
// signal, walks itself inside the handler and goes on.
//
//   RM1  One request at a time, of the thread that reports.  state says whose the slot is:
//        free and done: the asker's; asked: the first of the two to change it has it (the
//        thread that begins, or the asker who waited long enough); filling: the thread's.
//   RM2  A thread that blocks the signal is not waited for.  One that sleeps where the kernel
//        does not wake it costs cfg::stack_wait; all such together at most cfg::stack_wait_all.
//   RM3  Threads are not held while the report is written: one may have a lock of the
//        loader's that symbolising needs.
#include "base/config.h"
#include "base/upcall.h"
#include "debug/report.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/thread.h"

namespace rt0::runtime {

namespace {

enum : std::uint32_t { slot_free, slot_asked, slot_filling, slot_done };

constinit atomic<std::uint32_t> state{slot_free};  // futex word
constinit atomic<std::int32_t> asked_of{0};        // thread
running_stack slot;
std::int64_t waited = 0;  // RM2, ns
bool lost = false;        // a thread stays in the slot for good: no more requests

// Waits for the answer; false when there is none.
bool answered(std::int64_t limit) {
    std::int64_t start = kernel::nanotime(), deadline = start + limit;
    std::uint32_t s;
    // ORDER(remote): acquire; pairs with the release in upcall_signal_stack.
    while ((s = state.load(memory_order_acquire)) != slot_done) {
        if (kernel::nanotime() < deadline) {
            kernel::futex_wait_until(&state, s, deadline);
            continue;
        }
        waited += limit;
        // relaxed: nothing was written into the slot.
        if (s == slot_asked && state.compare_exchange_strong(s, slot_free, memory_order_relaxed)) return false;
        if (s == slot_done) return true;
        if (lost) return false;
        lost = true;  // it is at it: once more the same time
        frames_done.fetch_add(1, memory_order_relaxed);  // relaxed: the watchdog looks for change
        deadline += limit;
    }
    lost = false;
    return true;
}

}  // namespace

void upcall_signal_stack(const signal_context& c) {
    std::uint32_t s = slot_asked;
    // relaxed: the compare-exchange below decides.
    if (asked_of.load(memory_order_relaxed) != kernel::gettid()) return;
    // ORDER(remote): acquire; pairs with the release in remote_stack: the slot is ours.
    if (!state.compare_exchange_strong(s, slot_filling, memory_order_acquire, memory_order_relaxed)) return;
    collect_interrupted(c, &slot);
    // ORDER(remote): release; pairs with the acquire in answered.
    state.store(slot_done, memory_order_release);
    kernel::futex_wake(&state, 1);
}

remote remote_stack(const g* gp, pc_list* out) {
    m* mp = gp->mp;
    if (!mp) return remote::moved;
    frames_done.fetch_add(1, memory_order_relaxed);  // relaxed: the watchdog looks for change
    if (lost || mp->tid == kernel::gettid()) return remote::silent;
    std::int64_t limit = cfg::stack_wait_all - waited;
    if (limit > cfg::stack_wait) limit = cfg::stack_wait;
    if (limit <= 0) return remote::silent;
    asked_of.store(mp->tid, memory_order_relaxed);  // relaxed: published by the next store
    // ORDER(remote): release; pairs with the acquire in upcall_signal_stack.
    state.store(slot_asked, memory_order_release);
    if (!request_stack(mp) || !answered(limit)) return remote::silent;
    if (slot.gp != gp) return remote::moved;
    *out = slot.user;
    return remote::have;
}

}  // namespace rt0::runtime
