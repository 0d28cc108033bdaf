// Timers and tickers, on steady_clock.
//
//   TC1  A timer belongs to its handles: when the last one goes, it is stopped.
//   TC2  After stop() or reset() has returned, nothing that was due before is received
//        from channel(); a function that has begun runs to its end.
//   TC3  No user code runs in the runtime's timers: a channel gets its value there if it
//        has room, a function gets a goroutine.
#pragma once
#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/detail/waitq.h>

namespace rt0 {

using time_point = std::chrono::steady_clock::time_point;

namespace detail {

struct timer_state;

// What a timer runs; one object per timer, called on a goroutine of its own each time.
struct timer_function {
    virtual ~timer_function() = default;
    virtual void operator()() = 0;
};
template <class F>
struct timer_function_of final : timer_function {
    F f;
    template <class G>
    explicit timer_function_of(G&& g) : f(std::forward<G>(g)) {}
    ~timer_function_of() noexcept override {}  // whatever F's says
    void operator()() override { static_cast<void>(f()); }
};

timer_state* timer_make(chan<time_point> c, bool own, std::unique_ptr<timer_function> f);
void timer_arm(timer_state* t, std::chrono::nanoseconds d, std::chrono::nanoseconds period);
bool timer_stop(timer_state* t);
bool timer_reset(timer_state* t, std::chrono::nanoseconds d, std::chrono::nanoseconds period);
void timer_ref(timer_state* t);
void timer_unref(timer_state* t);
const chan<time_point>& timer_chan(const timer_state* t);

class timer_handle {
public:
    explicit timer_handle(timer_state* t) : t_(t) {}
    timer_handle(const timer_handle& o) noexcept : t_(o.t_) { timer_ref(t_); }
    timer_handle& operator=(const timer_handle& o) noexcept {
        timer_ref(o.t_);
        timer_unref(std::exchange(t_, o.t_));
        return *this;
    }
    ~timer_handle() { timer_unref(t_); }
    timer_state* get() const { return t_; }

private:
    timer_state* t_;  // never null
};

}  // namespace detail

/// Fires once.  A handle: copies are the same timer.  Safe to use from many goroutines at
/// once.  d <= 0 fires at once, one that is longer than nanoseconds can say never.  Throws std::bad_alloc.
/// Source: Go's time.Timer (as of Go 1.23), time.AfterFunc.
class timer {
public:
    /// Sends the time of firing on channel(), which has room for it.
    explicit timer(std::chrono::nanoseconds d) : t_(detail::timer_make(chan<time_point>(1), true, nullptr)) { arm(d); }
    template <class Rep, class Period>
    explicit timer(std::chrono::duration<Rep, Period> d) : timer(detail::at_most(d)) {}
    /// Runs f() on a goroutine.  An exception that leaves f is a panic.  Throws
    /// std::invalid_argument for an empty std::function or a null function pointer.
    template <class F>
        requires std::is_invocable_v<std::decay_t<F>&>
    timer(std::chrono::nanoseconds d, F&& f)
        : t_((detail::check_callable(f, "rt0::timer: nil func value"),
              detail::timer_make(
                  {}, false, std::make_unique<detail::timer_function_of<std::decay_t<F>>>(std::forward<F>(f))))) {
        arm(d);
    }
    template <class Rep, class Period, class F>
        requires std::is_invocable_v<std::decay_t<F>&>
    timer(std::chrono::duration<Rep, Period> d, F&& f) : timer(detail::at_most(d), std::forward<F>(f)) {}
    /// Sends on c unless that would block.  What it has sent there stays there after stop().
    timer(std::chrono::nanoseconds d, chan<time_point> c) : t_(detail::timer_make(std::move(c), false, nullptr)) {
        arm(d);
    }
    template <class Rep, class Period>
    timer(std::chrono::duration<Rep, Period> d, chan<time_point> c) : timer(detail::at_most(d), std::move(c)) {}

    /// True: it was armed and will not fire.  (Not where it fired and nobody has received that, though nobody will: Go
    /// 1.23's Stop says true there.)
    bool stop() { return detail::timer_stop(t_.get()); }
    /// Stops and arms anew; true: it had been armed.
    bool reset(std::chrono::nanoseconds d) { return detail::timer_reset(t_.get(), d, {}); }
    template <class Rep, class Period>
    bool reset(std::chrono::duration<Rep, Period> d) {
        return reset(detail::at_most(d));
    }
    /// A nil channel for a timer with a function.
    receiver<time_point> channel() const { return detail::timer_chan(t_.get()); }

private:
    void arm(std::chrono::nanoseconds d) { detail::timer_arm(t_.get(), d, {}); }
    detail::timer_handle t_;
};

/// Sends the time on channel() every d; a tick that finds the last one not yet received
/// is dropped.  A handle, as timer.  Throws std::invalid_argument unless d > 0.
/// Source: Go's time.Ticker.
class ticker {
public:
    explicit ticker(std::chrono::nanoseconds d)
        : t_((check(d), detail::timer_make(chan<time_point>(1), true, nullptr))) {
        detail::timer_arm(t_.get(), d, d);
    }
    template <class Rep, class Period>
    explicit ticker(std::chrono::duration<Rep, Period> d) : ticker(detail::at_most(d)) {}
    receiver<time_point> channel() const { return detail::timer_chan(t_.get()); }
    /// No more ticks; the channel stays open.
    void stop() { detail::timer_stop(t_.get()); }
    /// Ticks every d, the first d from now.
    void reset(std::chrono::nanoseconds d) {
        check(d);
        detail::timer_reset(t_.get(), d, d);
    }
    template <class Rep, class Period>
    void reset(std::chrono::duration<Rep, Period> d) {
        reset(detail::at_most(d));
    }

private:
    static void check(std::chrono::nanoseconds d) {
        if (d.count() <= 0) detail::throw_invalid("ticker: period not positive");
    }
    detail::timer_handle t_;
};

/// A channel that receives the time once, d from now.  Needs no handle.
/// Source: Go's time.After.
receiver<time_point> after(std::chrono::nanoseconds d);
template <class Rep, class Period>
receiver<time_point> after(std::chrono::duration<Rep, Period> d) {
    return after(detail::at_most(d));
}

}  // namespace rt0
