// task<R>: the result of a goroutine started by spawn.  Included at the end of <rt0/go.h>.
//
//   TK1  One allocation per spawn: the callable, its arguments and the result lie in one
//        object that belongs to the task; the goroutine's last access to it is the
//        exchange that says it has ended (oneshot::set).
//   TK2  The goroutine ends before the task does: join() and the destructor wait.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <rt0/detail/atomic.h>
#include <rt0/go.h>

namespace rt0 {

namespace detail {

// An event that happens once and has one waiter.
class oneshot {
public:
    bool is_set() const {
        // ORDER(oneshot): acquire; pairs with the acq_rel in set() (task.cc).
        return word_.load(std::memory_order_acquire) == happened;
    }
    void set();   // the last access to this object, unless somebody waits
    void wait() {
        if (!is_set()) wait_slow();
    }

private:
    enum : std::uintptr_t { happened = 1 };
    void wait_slow();
    atomic<std::uintptr_t> word_{0};  // 0, the waiting g, or happened
};

template <class R>
struct task_result {
    std::exception_ptr error;
    std::optional<R> value;
    template <class F>
    void run(F& f) { value.emplace(detail::call_last(f)); }
    R take() { return std::move(*value); }
};
template <class R>
struct task_result<R&> {
    std::exception_ptr error;
    R* value = nullptr;
    template <class F>
    void run(F& f) { value = std::addressof(detail::call_last(f)); }
    R& take() { return *value; }
};
template <>
struct task_result<void> {
    std::exception_ptr error;
    template <class F>
    void run(F& f) { detail::call_last(f); }
    void take() {}
};

template <class R>
struct task_state : task_result<R> {
    oneshot ended;
    bool left = true;  // by this_goroutine::exit, without result
    virtual ~task_state() = default;
};

template <class R, class Call>
struct task_state_of final : task_state<R> {
    std::optional<Call> call;
    explicit task_state_of(Call&& c) : call(std::move(c)) {}

    void run() {
        struct leave {
            task_state_of* s;
            ~leave() {
                s->call.reset();  // on the goroutine, as a thread's callable is
                s->ended.set();
            }
        } l{this};
        // What this_goroutine::exit unwinds with is no C++ exception: it must be passed on, and current_exception() is null.
        // (abi::__forced_unwind& would be a reference to nothing, which UBSan reports.)
        try {
            task_result<R>::run(*call);
            this->left = false;
        } catch (...) {
            if (!(this->error = std::current_exception())) throw;
            this->left = false;
        }
    }
};

template <class Call>
auto spawn_task(const go_options& o, Call&& call);

}  // namespace detail

/// What spawn gives.  Movable; used by one goroutine at a time.
template <class R>
class [[nodiscard]] task {
public:
    task() noexcept = default;  ///< empty
    task(task&&) noexcept = default;
    /// Waits for the task that is overwritten.
    task& operator=(task&& o) noexcept {
        if (this != &o) {
            wait();
            s_ = std::move(o.s_);
        }
        return *this;
    }
    /// Blocks until the goroutine has ended; an exception not asked for is dropped.
    ~task() { wait(); }

    /// Blocks until the goroutine has ended; its value, or its exception.  Throws
    /// std::logic_error for an empty or joined task, std::runtime_error when the goroutine
    /// ended by this_goroutine::exit.
    R join() {
        if (!s_) throw std::logic_error("join of an empty task");
        auto s = std::move(s_);
        s->ended.wait();
        if (s->error) std::rethrow_exception(std::move(s->error));
        if (s->left) throw std::runtime_error("task ended by this_goroutine::exit");
        return s->take();
    }
    /// Whether join() may be called.
    bool joinable() const noexcept { return s_ != nullptr; }
    /// Whether join() would return at once.
    bool done() const noexcept { return s_ && s_->ended.is_set(); }

private:
    template <class Call>
    friend auto detail::spawn_task(const go_options& o, Call&& call);
    explicit task(std::unique_ptr<detail::task_state<R>> s) : s_(std::move(s)) {}
    void wait() {
        if (s_) s_->ended.wait();
    }
    std::unique_ptr<detail::task_state<R>> s_;
};

namespace detail {

template <class Call>
auto spawn_task(const go_options& o, Call&& call) {
    using R = decltype(detail::call_last(std::declval<Call&>()));
    auto s = std::make_unique<task_state_of<R, Call>>(std::move(call));
    rt0::go(o, [p = s.get()] { p->run(); });
    return task<R>(std::move(s));
}

}  // namespace detail

/// Starts f(a...) on a new goroutine, as go() does; an exception is kept for join().
template <class F, class... A>
    requires(!std::same_as<std::remove_cvref_t<F>, go_options>)
auto spawn(F&& f, A&&... a) {
    return detail::spawn_task({}, detail::bind_call(std::forward<F>(f), std::forward<A>(a)...));
}
template <class F, class... A>
auto spawn(go_options o, F&& f, A&&... a) {
    return detail::spawn_task(o, detail::bind_call(std::forward<F>(f), std::forward<A>(a)...));
}

}  // namespace rt0
