// Contexts: cancellation, deadlines and values that go down a call tree.  Nursery: a
// scope that goroutines cannot outlive.
//
//   CX1  A context is a node of a tree.  A child keeps its parent alive; the parent knows
//        its children without keeping them: when the last handle of a child goes, the
//        child leaves its parent's list and its timer is taken back.
//   CX2  A node is cancelled once, and all its descendants with it, before any cancel() of it returns: also one that
//        comes second, while stop callbacks that the first has called are still at work.
//        A child made under a cancelled parent is cancelled from the start.
//   CX3  Stop callbacks run on the goroutine that cancels, or on one of their own when a
//        deadline passes; never under a lock of rt0.
#pragma once
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rt0/sync.h>

namespace rt0 {

namespace detail {

struct context_node;

#ifdef __cpp_rtti
struct context_value {
    const std::type_info* type;
    explicit context_value(const std::type_info& t) : type(&t) {}
    virtual ~context_value() = default;
};
template <class T>
struct context_value_of final : context_value {
    T v;
    explicit context_value_of(T&& x) : context_value(typeid(T)), v(std::move(x)) {}
    ~context_value_of() noexcept override {}  // whatever T's says
};
context_node* context_with_value(context_node* parent, std::string key, std::unique_ptr<context_value> v);
const context_value* context_find(const context_node* n, std::string_view key);
#endif

using deadline_t = std::chrono::steady_clock::time_point;
context_node* context_root();
context_node* context_child(context_node* parent, std::optional<deadline_t> deadline);
void context_ref(context_node* n);
void context_unref(context_node* n);
void context_cancel(context_node* n);
std::stop_token context_token(const context_node* n);
// Runs the callbacks of s on the calling goroutine, which neither yields nor changes threads meanwhile.
void request_stop(std::stop_source& s);
std::optional<deadline_t> context_deadline(const context_node* n);

// Whether this_goroutine::exit is unwinding the calling goroutine.
bool goroutine_exiting();

}  // namespace detail

/// A handle to a node of a tree of cancellation; copies refer to the same node.  Safe to
/// use from many goroutines at once.  Nothing here blocks for longer than it takes to
/// run the stop callbacks of whoever is cancelled.
/// Keep the handle as long as the work runs: a stop_token alone keeps neither the
/// deadline nor the tie to the parent (CX1).
/// Source: Go's context.Context; std::stop_source.
class context {
public:
    /// A new root: cancelled by nothing but its own cancel().  Throws std::bad_alloc.
    context() : n_(detail::context_root()) {}
    context(const context& o) noexcept : n_(o.n_) { detail::context_ref(n_); }
    context& operator=(const context& o) noexcept {
        detail::context_ref(o.n_);
        detail::context_unref(std::exchange(n_, o.n_));
        return *this;
    }
    ~context() { detail::context_unref(n_); }

    /// Cancelled with this one, at its deadline, or alone.  A deadline that has passed
    /// cancels at once.  Throws std::bad_alloc.
    context child() const { return context(detail::context_child(n_, std::nullopt)); }
    context child(std::chrono::steady_clock::time_point deadline) const {
        return context(detail::context_child(n_, deadline));
    }
    context child(std::chrono::nanoseconds timeout) const {
        auto now = rt0::now();
        auto max = std::chrono::steady_clock::time_point::max();
        if (timeout > max - now) return child();
        return context(detail::context_child(n_, now + timeout));
    }
    template <class Rep, class Period>
    context child(std::chrono::duration<Rep, Period> timeout) const {
        return child(detail::at_most(timeout));
    }
#ifdef __cpp_rtti  // -fno-rtti: no values
    /// A child that carries v under key.  Throws std::bad_alloc and what moving v throws.
    template <class T>
    context with_value(std::string key, T v) const {
        auto held = std::make_unique<detail::context_value_of<T>>(std::move(v));
        return context(detail::context_with_value(n_, std::move(key), std::move(held)));
    }
    /// The value under key of the nearest node from here to the root that has the key, if
    /// it is a T; else null.  Lives as long as this handle or a descendant's.
    template <class T>
    const T* value(std::string_view key) const {
        const detail::context_value* v = detail::context_find(n_, key);
        return v && *v->type == typeid(T) ? &static_cast<const detail::context_value_of<std::remove_cv_t<T>>*>(v)->v : nullptr;
    }
#endif
    /// Cancels this node and all its descendants, and runs their stop callbacks, but for those that are cancelled already.
    void cancel() const { detail::context_cancel(n_); }
    std::stop_token stop_token() const { return detail::context_token(n_); }
    /// The earliest deadline from here to the root.
    std::optional<std::chrono::steady_clock::time_point> deadline() const { return detail::context_deadline(n_); }

private:
    explicit context(detail::context_node* n) : n_(n) {}
    detail::context_node* n_;  // never null
};

/// A scope of goroutines.  Its destructor waits for all of them; the first exception of
/// one of them asks the rest to stop and is rethrown there.  When the scope is left by an
/// exception (or by this_goroutine::exit) the rest is asked to stop, joined, and that
/// one goes on.  go() may be called from the nursery's own goroutines too.
/// Source: Nathaniel J. Smith, "Notes on structured concurrency" (2018).
class nursery {
public:
    nursery() : unwinding_(std::uncaught_exceptions()), exiting_(detail::goroutine_exiting()) {}
    nursery(const nursery&) = delete;
    nursery& operator=(const nursery&) = delete;
    /// Blocks until all goroutines have ended.
    ~nursery() noexcept(false) {
        bool leaving = std::uncaught_exceptions() > unwinding_ || (detail::goroutine_exiting() && !exiting_);
        if (leaving) cancel();
        running_.wait();
        if (first_ && !leaving) std::rethrow_exception(std::move(first_));
    }

    /// f() or f(std::stop_token) on a goroutine.  Throws as rt0::go does.
    template <class F>
    void go(F&& f) {
        detail::check_callable(f);
        running_.go([this, fn = std::decay_t<F>(std::forward<F>(f))]() mutable { run(fn); });
    }
    void cancel() {
        std::stop_source s = stop_;  // its state outlives the nursery, which may end once the goroutines have heard of it
        detail::request_stop(s);
    }
    std::stop_token stop_token() const { return stop_.get_token(); }

private:
    template <class F>
    void run(F& f) {
        try {
            if constexpr (std::is_invocable_v<F, std::stop_token>) static_cast<void>(std::move(f)(stop_.get_token()));
            else if constexpr (std::is_invocable_v<F&, std::stop_token>) static_cast<void>(f(stop_.get_token()));
            else static_cast<void>(detail::call_last(f));
        } catch (...) {
            std::exception_ptr error = std::current_exception();
            if (!error) throw;  // this_goroutine::exit (detail/task.h)
            // acq_rel is not needed: running_ orders first_ with the destructor.
            if (!failed_.exchange(true, std::memory_order_relaxed)) {  // relaxed: elects one, publishes nothing
                first_ = std::move(error);
                cancel();
            }
        }
    }

    std::stop_source stop_;
    wait_group running_;
    std::atomic<bool> failed_{false};
    std::exception_ptr first_;
    int unwinding_;   // exceptions that were under way when it began
    bool exiting_;    // as for this_goroutine::exit
};

}  // namespace rt0
