// Synchronisation between goroutines: mutex, shared_mutex, condition_variable,
// wait_group, once, semaphore, latch, barrier; context and nursery come with it.
//
// All of it works from goroutines and from threads that rt0 did not make.  Waiting parks
// the goroutine, never its thread.  No function but wait_group::go and those of context
// and nursery allocates.  Every class but these two is constant-initialised (a global is usable before main), is
// neither copied nor moved, and may be destroyed by whoever was let through last, while
// the one who let it through is still on the way out of its call.
//
// Durations are nanoseconds of CLOCK_MONOTONIC; zero or less means "try, do not wait".
// Shapes are the standard library's; wait_group and once are Go's sync package.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include <rt0/detail/barrier.h>
#include <rt0/detail/waitq.h>
#include <rt0/go.h>
#include <rt0/mutex.h>

namespace rt0 {

/// Counts goroutines to wait for.  Reusable; a wait returns for the zero it waited for,
/// also when the counter has risen again since.
/// A counter below zero is a panic: "sync: negative WaitGroup counter".
/// Source: Go's sync.WaitGroup.
class wait_group {
public:
    constexpr wait_group() noexcept = default;
    wait_group(const wait_group&) = delete;
    wait_group& operator=(const wait_group&) = delete;

    /// Adds n, which may be negative.  Never blocks.
    void add(int n = 1) {
        const std::uint64_t d = static_cast<std::uint64_t>(static_cast<std::int64_t>(n)) << 32;
        std::uint64_t s = s_.word.load(std::memory_order_relaxed), to;  // relaxed: the CAS decides
        bool negative;
        do {
            to = s + d;
            negative = static_cast<std::int64_t>(to) < 0;
            // To zero with waiters: they leave the word in the same step, for this call to let go (GR1).
            // ORDER(group): acq_rel; pairs with the acquire in wait(): what was done before done() is seen after wait().
        } while (!detail::cas(s_.word, s, negative ? s : to < detail::group_one ? 0 : to, std::memory_order_acq_rel));
        if (negative) [[unlikely]] detail::group_negative();
        if (to < detail::group_one && to != 0) detail::group_release(s_, static_cast<std::uint32_t>(to));
    }
    /// add(-1).
    void done() { add(-1); }
    /// Blocks until the counter is zero.
    void wait() {
        // ORDER(group): acquire; pairs with the acq_rel in add().
        if (s_.word.load(std::memory_order_acquire) >= detail::group_one) detail::group_wait_slow(s_);
    }
    /// add(1), then f() on a goroutine, then done().  Throws as rt0::go does, the counter unchanged.
    template <class F>
    void go(F&& f) {
        detail::check_callable(f);
        add(1);
        try {
            rt0::go([this, fn = std::optional<std::decay_t<F>>(std::in_place, std::forward<F>(f))]() mutable {
                struct leave {  // f and what it captured are gone before wait() returns
                    wait_group* w;
                    std::optional<std::decay_t<F>>& f;
                    ~leave() {
                        f.reset();
                        w->done();
                    }
                } l{this, fn};
                static_cast<void>(detail::call_last(*fn));
            });
        } catch (...) {
            done();
            throw;
        }
    }

private:
    detail::group_state s_;
};

/// Runs one function once.
/// Source: Go's sync.Once.
class once {
public:
    constexpr once() noexcept = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    /// The first caller runs f(); others block until it is done.  A throwing f counts as
    /// done, its exception goes to the caller that ran it.  Calling from within f deadlocks.
    template <class F>
    void call(F&& f) {
        // ORDER(once): acquire; pairs with the release of gate_open() when f was done.
        std::uint64_t s = g_.word.load(std::memory_order_acquire);
        if (s == done) [[likely]]
            return;
        run(s, std::forward<F>(f));
    }

private:
    static constexpr std::uint64_t fresh = 0, running = 2, done = 4;

    template <class F>
    void run(std::uint64_t s, F&& f) {
        s = fresh;
        // ORDER(once): acquire on failure; pairs with the release of gate_open() when f was done.
        if (!g_.word.compare_exchange_strong(s, running, std::memory_order_relaxed, std::memory_order_acquire)) {
            if (s != done) detail::gate_wait(g_, [](std::uint64_t w, std::uint64_t) { return w != done; }, 0);
            return;
        }
        struct leave {
            detail::gate& g;
            ~leave() { detail::gate_open(g, running, done); }
        } l{g_};
        static_cast<void>(std::forward<F>(f)());
    }

    detail::gate g_{0, {}};
};

/// Permits, handed out in the order of asking.
/// Source: std::counting_semaphore, Go's golang.org/x/sync/semaphore.
class semaphore {
public:
    /// Greatest number of permits.
    static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max() >> 2; }

    /// Throws std::invalid_argument unless 0 <= n <= max().
    constexpr explicit semaphore(std::ptrdiff_t n) : s_{check(n) << 1, {}} {}
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Blocks until a permit is had.
    void acquire() {
        if (!try_acquire()) [[unlikely]]
            detail::sema_acquire_slow(s_, -1);
    }
    /// Never blocks, never fails without cause.
    bool try_acquire() {
        std::uint64_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        while (s >= 2)
            // ORDER(sema): acquire; pairs with the release in release().
            if (detail::cas(s_.word, s, s - 2, std::memory_order_acquire)) return true;
        return false;
    }
    /// Blocks at most d; true when a permit was had.
    bool acquire_for(std::chrono::nanoseconds d) {
        return try_acquire() || (d.count() > 0 && detail::sema_acquire_slow(s_, detail::timeout_ns(d)));
    }
    template <class Rep, class Period>
    bool acquire_for(std::chrono::duration<Rep, Period> d) {
        return acquire_for(detail::at_most(d));
    }
    /// Returns k permits; never blocks.  Throws std::invalid_argument, nothing changed,
    /// for k < 0 and when there would be more than max() permits.
    void release(std::ptrdiff_t k = 1) {
        std::uint64_t n = check(k);
        std::uint64_t s = s_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        while (!(s & 1)) {
            check(static_cast<std::ptrdiff_t>((s >> 1) + n));
            // ORDER(sema): release; pairs with the acquire in try_acquire().
            if (detail::cas(s_.word, s, s + (n << 1), std::memory_order_release)) return;
        }
        if (n) detail::sema_release_slow(s_, n);
    }

private:
    static constexpr std::uint64_t check(std::ptrdiff_t n) {
        if (n < 0 || n > max()) detail::throw_invalid("semaphore: count out of range");
        return static_cast<std::uint64_t>(n);
    }

    detail::sema_state s_;
};

/// A countdown that opens once.
/// Source: std::latch.
class latch {
public:
    static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max() >> 2; }

    /// Throws std::invalid_argument unless 0 <= n <= max().
    constexpr explicit latch(std::ptrdiff_t n) : g_{check(n) * one, {}} {}
    latch(const latch&) = delete;
    latch& operator=(const latch&) = delete;

    /// Never blocks.  Throws std::invalid_argument, nothing changed, for n < 0 and for n
    /// greater than what is left.
    void count_down(std::ptrdiff_t n = 1) { last(n); }
    /// Whether the count is zero.
    bool try_wait() const noexcept {
        // ORDER(latch): acquire; pairs with the acq_rel in last() and the release of gate_open().
        return g_.word.load(std::memory_order_acquire) == 0;
    }
    /// Blocks until the count is zero.
    void wait() const {
        if (!try_wait()) detail::gate_wait(g_, [](std::uint64_t w, std::uint64_t) { return w != 0; }, 0);
    }
    void arrive_and_wait(std::ptrdiff_t n = 1) {
        if (!last(n)) wait();
    }

private:
    static constexpr std::uint64_t opening = 2;  // the count is zero, the waiters are being taken off the queue
    static constexpr std::uint64_t one = 4;      // the count stands above two bits
    static constexpr std::uint64_t check(std::ptrdiff_t n) {
        if (n < 0 || n > max()) detail::throw_invalid("latch: count out of range");
        return static_cast<std::uint64_t>(n);
    }
    // True: that made the count zero, and the latch may be gone (WQ4).
    bool last(std::ptrdiff_t n) {
        std::uint64_t k = check(n) * one;
        std::uint64_t s = g_.word.load(std::memory_order_relaxed);  // relaxed: the CAS below decides
        for (;;) {
            if (k > (s & ~(one - 1))) detail::throw_invalid("latch: counted below zero");
            const bool zero = k != 0 && s - k <= detail::gate_queued, wakes = zero && s - k != 0;
            // ORDER(latch): acq_rel, of all who count; pairs with the acquire in try_wait().
            if (!detail::cas(g_.word, s, wakes ? opening | detail::gate_queued : s - k, std::memory_order_acq_rel)) continue;
            if (wakes) detail::gate_open(g_, opening, 0);
            return zero;
        }
    }

    mutable detail::gate g_;
};

/// A meeting point for a fixed number of participants, phase after phase.  When the last
/// one has arrived it runs f(), once, with no lock held, and all waiters go on.
/// An exception that leaves f ends in std::terminate.
/// Source: std::barrier.
template <class F = detail::no_completion>
class barrier {
public:
    class arrival_token {
    public:
        arrival_token(arrival_token&&) = default;
        arrival_token& operator=(arrival_token&&) = default;

    private:
        friend class barrier;
        explicit arrival_token(std::uint64_t phase) : phase_(phase) {}
        std::uint64_t phase_;
    };

    static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::int32_t>::max(); }

    /// Throws std::invalid_argument unless 0 <= n <= max().
    constexpr explicit barrier(std::ptrdiff_t n, F f = F()) : b_(check(n)), f_(std::move(f)) {}
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;

    /// n arrivals; does not block (the last of a phase runs f).  Throws
    /// std::invalid_argument, nothing changed, unless 1 <= n <= arrivals missing.
    [[nodiscard]] arrival_token arrive(std::ptrdiff_t n = 1) { return arrival_token(arrive_phase(check(n))); }
    /// Blocks until the token's phase is over.
    void wait(arrival_token&& t) const { b_.wait(t.phase_); }
    void arrive_and_wait() {
        std::uint64_t phase;
        if (b_.arrive(1, &phase)) complete(phase);  // the phase is over, and the barrier may be gone (WQ4)
        else b_.wait(phase);
    }
    /// Arrives, and is not expected in later phases.
    void arrive_and_drop() {
        b_.drop();
        try {
            arrive_phase(1);
        } catch (...) {
            b_.undrop();
            throw;
        }
    }

private:
    static constexpr std::uint64_t check(std::ptrdiff_t n) {
        if (n < 0 || n > max()) detail::throw_invalid("barrier: count out of range");
        return static_cast<std::uint64_t>(n);
    }
    std::uint64_t arrive_phase(std::uint64_t n) {
        std::uint64_t phase;
        if (b_.arrive(n, &phase)) complete(phase);
        return phase;
    }
    void complete(std::uint64_t phase) noexcept {
        static_cast<void>(f_());
        b_.end_phase(phase);
    }

    detail::barrier_base b_;
    [[no_unique_address]] F f_;
};

}  // namespace rt0

#include <rt0/context.h>
