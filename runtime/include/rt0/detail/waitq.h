// What the synchronisation primitives consist of: atomic words that the fast paths in
// <rt0/sync.h> work on, and an opaque queue of waiting goroutines for the slow paths,
// which live in the library (runtime/chan/).
//
//   WQ1  Everything here is constant-initialised, so a primitive may be a global and is
//        usable before the first dynamic initialiser runs.
//   WQ2  Nobody outside runtime/chan/ touches a waitq's members; the layout is fixed
//        there by assertions (24 bytes: lock word, its rank, first and last waiter).
//   WQ3  A word changes under the queue's lock wherever it says that somebody waits, so
//        "somebody waits" in the word and a non-empty queue agree under that lock; but for
//        wait_group's (GR1 in sync_group.cc) and condition_variable's (CV3 in sync_cond.cc).
//   WQ4  The last access to a primitive by whoever releases it is the atomic operation
//        that lets another goroutine through, or stands before it: that other one may
//        destroy the primitive at once.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <rt0/detail/atomic.h>

namespace rt0::runtime {
struct sudog;
}

namespace rt0::detail {

struct waitlist {
    runtime::sudog* head = nullptr;
    runtime::sudog* tail = nullptr;
};

struct waitq {
    atomic<std::uint32_t> key{0};
    unsigned char rank = 4;  // lock_rank::waitq, asserted in waitq.cc
    waitlist list;
};

// ---- the lock word of mutex and shared_mutex
inline constexpr std::uint32_t lk_locked = 1;  // somebody holds it exclusively
inline constexpr std::uint32_t lk_queued = 2;  // somebody is in the queue
inline constexpr std::uint32_t lk_woken = 4;   // a waiter was woken, and will take the lock or queue again
inline constexpr std::uint32_t lk_reader = 8;  // one shared holder; the bits from here up count them

// Of a mutex's word: it is held, and to release it takes nobody to be woken.
constexpr bool mutex_quiet(std::uint32_t s) {
    return (s & lk_locked) && (!(s & lk_queued) || (s & lk_woken));
}

struct lock_state {
    atomic<std::uint32_t> word{0};
    waitq q;
};

// Was the calling goroutine asked to yield, or did it lose its processor?  For fast paths that do not enter
// the runtime, so that a loop over them is no endless one.  False on other threads.
bool asked_to_yield();
// Yields if so.
void yield_if_asked();

// Each of these waits or wakes; `ns` < 0 waits without limit.  False: time over.
bool mutex_lock_slow(lock_state& l, std::int64_t ns);
void mutex_unlock_slow(lock_state& l);
bool shared_lock_slow(lock_state& l, waitlist& readers, std::int64_t ns);
void shared_unlock_slow(lock_state& l, waitlist& readers);
void shared_lock_shared_slow(lock_state& l, waitlist& readers);
void shared_unlock_shared_slow(lock_state& l, waitlist& readers);

// ---- condition variable: waits for a notification or until `ns` are over.  `unlock(m)`
// is called when the goroutine stands in the queue.  False: time over.
struct cond_state {
    atomic<std::uint32_t> waiting{0};  // non-zero while the queue is not empty, and perhaps until the next notification
    waitq q;
};
bool cond_wait(cond_state& c, void (*unlock)(void*), void* m, std::int64_t ns);
void cond_notify(cond_state& c, bool all);

// ---- wait_group: counter in the upper half, in the lower one those who wait for it to be zero; 0 when it is
struct group_state {
    atomic<std::uint64_t> word{0};
    waitq q;
};
inline constexpr std::uint64_t group_one = std::uint64_t{1} << 32;
void group_wait_slow(group_state& s);
void group_release(group_state& s, std::uint32_t n);
[[noreturn]] void group_negative();

// ---- semaphore: permits << 1 | somebody waits
struct sema_state {
    atomic<std::uint64_t> word;
    waitq q;
};
bool sema_acquire_slow(sema_state& s, std::int64_t ns);
void sema_release_slow(sema_state& s, std::uint64_t k);

// ---- gate: a word whose bit 0 says that somebody waits for the rest to change.  Once,
// latch and barrier are gates.
struct gate {
    atomic<std::uint64_t> word;
    waitq q;
};
inline constexpr std::uint64_t gate_queued = 1;
// Waits while closed(word, arg).
void gate_wait(gate& g, bool (*closed)(std::uint64_t word, std::uint64_t arg), std::uint64_t arg);
// The word is `from` but for bit 0, and only the caller changes the rest.  Makes it `to`
// (bit 0 clear) and wakes whoever waits.
void gate_open(gate& g, std::uint64_t from, std::uint64_t to);

// Compare-and-swap with `order`.  relaxed: where it fails, that decides nothing and the caller looks again.
template <class W>
bool cas(atomic<W>& w, W& expected, std::type_identity_t<W> to, std::memory_order order) {
    return w.compare_exchange_weak(expected, to, order, std::memory_order_relaxed);
}
template <class W>
bool cas_strong(atomic<W>& w, W& expected, std::type_identity_t<W> to, std::memory_order order) {
    // relaxed: as above.
    return w.compare_exchange_strong(expected, to, order, std::memory_order_relaxed);
}

// ---- what the counting ones reject
[[noreturn]] void throw_invalid(const char* what);

// Counted as steady_clock counts; a deadline beyond its end is none.
inline std::int64_t timeout_ns(std::chrono::nanoseconds d) { return d.count() > 0 ? d.count() : 0; }

}  // namespace rt0::detail
