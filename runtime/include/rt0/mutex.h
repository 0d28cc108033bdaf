// mutex, shared_mutex, condition_variable.  What is true of all primitives stands in
// <rt0/sync.h>.
//
//   MX1  A lock nobody contends for is one compare-and-swap to take and one to release, and a look
//        at whether the goroutine was asked to yield.  A mutex looks when it has been taken: ahead of the swap, which
//        waits for the loads before it, the look's three, each on the one before, would add to every section.
//   MX2  While goroutines wait for it that stays true as long as one of them has been woken and not
//        run yet: who comes by takes it, and who leaves need wake nobody (ML2).
//   MX3  A word that is anything but "free" or "held, nobody waits" is the library's
//        (runtime/chan/sync_lock.cc).
//   MX4  Who comes looks at the word before he swaps: a swap that fails takes the line from the holder all the same, who then
//        waits for it at the release (AMD Zen 4: eight goroutines at P=2 10.7 -> 5.9 ns a section; at P=1 0.3 ns more).
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

#include <rt0/detail/now.h>
#include <rt0/detail/waitq.h>

namespace rt0 {

/// Mutual exclusion, not recursive, not bound to the goroutine that locked it.
/// Starvation-free: who has waited for more than 1 ms is handed the lock; until then a
/// running goroutine may overtake, which is several times faster.
/// Unlocking an unlocked one is fatal: "sync: unlock of unlocked mutex".
/// Source: Go's sync.Mutex, WebKit's ParkingLot.
class mutex {
public:
    constexpr mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Blocks until the lock is held.
    void lock() {
        if (!try_lock()) [[unlikely]] {
            detail::yield_if_asked();  // or it would when the slow path is left, with the lock held
            detail::mutex_lock_slow(s_, -1);
        } else if (detail::asked_to_yield()) [[unlikely]] {
            lock_after_yield();
        }
    }
    /// Never blocks, never fails without cause.
    bool try_lock() {
        std::uint32_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
        if (s == 0) [[likely]]  // MX4; and the CAS swaps a constant, so nothing waits for what was loaded
            // ORDER(lock): acquire; pairs with the release in unlock().
            if (s = 0; detail::cas(s_.word, s, detail::lk_locked, std::memory_order_acquire)) return true;
        while (!(s & detail::lk_locked))
            // ORDER(lock): acquire; as above.
            if (detail::cas(s_.word, s, s | detail::lk_locked, std::memory_order_acquire)) return true;
        return false;
    }
    /// Blocks at most d; true when the lock is held.
    bool try_lock_for(std::chrono::nanoseconds d) {
        return try_lock() || (d.count() > 0 && detail::mutex_lock_slow(s_, detail::timeout_ns(d)));
    }
    template <class Rep, class Period>
    bool try_lock_for(std::chrono::duration<Rep, Period> d) {
        return try_lock_for(detail::at_most(d));
    }
    template <class C, class D>
    bool try_lock_until(std::chrono::time_point<C, D> t) {
        return try_lock_for(detail::left_until(t));
    }
    /// Never blocks.
    void unlock() {
        std::uint32_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
        if (s == detail::lk_locked) [[likely]]  // as in try_lock()
            // ORDER(lock): release; pairs with the acquires in lock(), try_lock() and the slow path.
            if (s = detail::lk_locked; detail::cas(s_.word, s, 0, std::memory_order_release)) return;
        while (detail::mutex_quiet(s))
            // ORDER(lock): release; as above.
            if (detail::cas(s_.word, s, s & ~detail::lk_locked, std::memory_order_release)) return;
        detail::mutex_unlock_slow(s_);
    }

private:
    void lock_after_yield() {
        unlock();
        detail::yield_if_asked();
        if (!try_lock()) detail::mutex_lock_slow(s_, -1);
    }

    detail::lock_state s_;
};

/// Many readers or one writer.  A waiting writer holds new readers back; a writer that
/// leaves lets in all readers that wait by then; so neither starves.  A goroutine that
/// locks it shared twice can deadlock with a writer in between.
/// Misuse is fatal: "sync: Unlock of unlocked RWMutex", "sync: RUnlock of unlocked RWMutex".
/// Source: std::shared_mutex, Go's sync.RWMutex.
class shared_mutex {
public:
    constexpr shared_mutex() noexcept = default;
    shared_mutex(const shared_mutex&) = delete;
    shared_mutex& operator=(const shared_mutex&) = delete;

    /// Blocks until the lock is held exclusively.
    void lock() {
        detail::yield_if_asked();
        std::uint32_t free = 0;
        // ORDER(rwlock): acquire; pairs with the releases in unlock() and unlock_shared().
        if (!detail::cas_strong(s_.word, free, detail::lk_locked, std::memory_order_acquire))
            [[unlikely]]
            detail::shared_lock_slow(s_, readers_, -1);
    }
    /// Never blocks.
    bool try_lock() {
        std::uint32_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        while (!(s & ~(detail::lk_queued | detail::lk_woken)))
            // ORDER(rwlock): acquire; pairs with the releases in unlock() and unlock_shared().
            if (detail::cas(s_.word, s, s | detail::lk_locked, std::memory_order_acquire))
                return true;
        return false;
    }
    /// Blocks at most d; true when the lock is held exclusively.
    bool try_lock_for(std::chrono::nanoseconds d) {
        return try_lock() || (d.count() > 0 && detail::shared_lock_slow(s_, readers_, detail::timeout_ns(d)));
    }
    template <class Rep, class Period>
    bool try_lock_for(std::chrono::duration<Rep, Period> d) {
        return try_lock_for(detail::at_most(d));
    }
    template <class C, class D>
    bool try_lock_until(std::chrono::time_point<C, D> t) {
        return try_lock_for(detail::left_until(t));
    }
    /// Never blocks.
    void unlock() {
        std::uint32_t held = detail::lk_locked;
        // ORDER(rwlock): release; pairs with the acquires of both ways in.
        if (!detail::cas_strong(s_.word, held, 0, std::memory_order_release)) [[unlikely]]
            detail::shared_unlock_slow(s_, readers_);
    }

    /// Blocks until the lock is held shared.
    void lock_shared() {
        detail::yield_if_asked();
        if (!try_lock_shared()) [[unlikely]]
            detail::shared_lock_shared_slow(s_, readers_);
    }
    /// Never blocks; false also while a writer waits.
    bool try_lock_shared() {
        std::uint32_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        while (!(s & (detail::lk_locked | detail::lk_queued | detail::lk_woken)))
            // ORDER(rwlock): acquire; pairs with the release in unlock().
            if (detail::cas(s_.word, s, s + detail::lk_reader, std::memory_order_acquire))
                return true;
        return false;
    }
    /// Never blocks.
    void unlock_shared() {
        std::uint32_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        while (s >= 2 * detail::lk_reader || (s >= detail::lk_reader && !(s & detail::lk_queued)))
            // ORDER(rwlock): release; pairs with the acquire of the writer that comes next.
            if (detail::cas(s_.word, s, s - detail::lk_reader, std::memory_order_release))
                return;
        detail::shared_unlock_shared_slow(s_, readers_);
    }

private:
    detail::lock_state s_;       // its queue holds writers
    detail::waitlist readers_;   // under the same lock
};

/// std::condition_variable for rt0::mutex.  The mutex is released only when the waiter
/// stands in the queue: no notification sent after that is lost.
class condition_variable {
public:
    constexpr condition_variable() noexcept = default;
    condition_variable(const condition_variable&) = delete;
    condition_variable& operator=(const condition_variable&) = delete;

    /// Never blocks.  Wakes the goroutine that has waited longest.
    void notify_one() {
        // relaxed: who tests and waits under the mutex is seen by whoever held it after him.
        if (s_.waiting.load(std::memory_order_relaxed)) detail::cond_notify(s_, false);
    }
    /// Never blocks.  Wakes all that wait.
    void notify_all() {
        // relaxed: as in notify_one.
        if (s_.waiting.load(std::memory_order_relaxed)) detail::cond_notify(s_, true);
    }

    /// Releases the mutex, blocks until notified, locks it again.
    void wait(std::unique_lock<mutex>& lk) { (void)wait_ns(lk, -1); }
    template <class Pred>
    void wait(std::unique_lock<mutex>& lk, Pred pred) {
        while (!pred()) wait(lk);
    }
    /// The same for at most d.  Exactly one of notified and timed out happens.
    std::cv_status wait_for(std::unique_lock<mutex>& lk, std::chrono::nanoseconds d) {
        return wait_ns(lk, detail::timeout_ns(d)) ? std::cv_status::no_timeout : std::cv_status::timeout;
    }
    template <class Rep, class Period>
    std::cv_status wait_for(std::unique_lock<mutex>& lk, std::chrono::duration<Rep, Period> d) {
        return wait_for(lk, detail::at_most(d));
    }
    /// What pred() says at the end.
    template <class Pred>
    bool wait_for(std::unique_lock<mutex>& lk, std::chrono::nanoseconds d, Pred pred) {
        const auto start = now();
        if (d < d.zero()) d = d.zero();
        const bool endless = d > start.max() - start;  // nanoseconds::max(), say
        while (!pred())
            if (wait_for(lk, endless ? d : start + d - now()) == std::cv_status::timeout) return pred();
        return true;
    }
    template <class Rep, class Period, class Pred>
    bool wait_for(std::unique_lock<mutex>& lk, std::chrono::duration<Rep, Period> d, Pred pred) {
        return wait_for(lk, detail::at_most(d), std::move(pred));
    }
    template <class C, class D>
    std::cv_status wait_until(std::unique_lock<mutex>& lk, std::chrono::time_point<C, D> t) {
        const bool notified = wait_for(lk, detail::left_until(t)) == std::cv_status::no_timeout;
        return notified || detail::left_until(t).count() > 0 ? std::cv_status::no_timeout : std::cv_status::timeout;
    }
    template <class C, class D, class Pred>
    bool wait_until(std::unique_lock<mutex>& lk, std::chrono::time_point<C, D> t, Pred pred) {
        while (!pred())
            if (wait_until(lk, t) == std::cv_status::timeout) return pred();
        return true;
    }

private:
    bool wait_ns(std::unique_lock<mutex>& lk, std::int64_t ns) {
        bool notified = detail::cond_wait(s_, [](void* m) { static_cast<mutex*>(m)->unlock(); }, lk.mutex(), ns);
        lk.mutex()->lock();
        return notified;
    }

    detail::cond_state s_;
};

}  // namespace rt0
