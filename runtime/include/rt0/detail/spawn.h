// What go(), blocking() and println() are made of.  Not for direct use.
#pragma once
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rt0 {
struct go_options;
}

namespace rt0::detail {

inline constexpr std::size_t closure_on_stack = 256;  // bytes; larger callables are boxed

// A goroutine being set up: the address for its closure on the new stack.
struct new_goroutine {
    void* g;
    void* closure;
};
// Throws std::length_error, std::bad_alloc.
new_goroutine newproc_begin(const go_options& o, std::size_t size, std::size_t align);
void newproc_commit(void* g, void (*entry)(void*));
void newproc_abort(void* g) noexcept;
// Both at once, for a closure that its bytes make.
void newproc_bytes(const go_options& o, const void* closure, std::size_t size, std::size_t align, void (*entry)(void*));

// Calls f for the last time: as an rvalue, where it can be called so.
template <class F>
decltype(auto) call_last(F& f) {
    if constexpr (std::is_invocable_v<F>) return std::move(f)();
    else return f();
}

template <class F>
struct closure {
    F f;
    explicit closure(F&& from) : f(std::move(from)) {}

    // The goroutine's first function: runs the closure, destroys it, also under forced unwinding.
    static void run(void* p) {
        struct destroy {
            closure* c;
            ~destroy() { c->~closure(); }
        } d{static_cast<closure*>(p)};
        static_cast<void>(detail::call_last(d.c->f));
    }
};
template <class F>
struct boxed {
    std::unique_ptr<F> f;
    void operator()() { static_cast<void>(detail::call_last(*f)); }
};

template <class F>
constexpr bool is_empty_callable(const F& f) {
    if constexpr (std::is_function_v<F>)
        return false;  // a function by its name: never null, and compilers warn of the comparison
    else if constexpr (std::is_pointer_v<F> || requires(const F& x) { x == nullptr; })
        return f == nullptr;
    else
        return false;
}

// What would fail only on its own goroutine is refused where it is given.
template <class F>
void check_callable(const F& f, const char* refusal = "rt0::go: go of nil func value") {
    if (detail::is_empty_callable(f)) throw std::invalid_argument(refusal);
}

// f with its arguments bound, both decayed, called once as an rvalue.
template <class F, class... A>
auto bind_call(F&& f, A&&... a) {
    detail::check_callable(f);
    if constexpr (sizeof...(A) == 0) {
        return std::decay_t<F>(std::forward<F>(f));
    } else {
        return [f = std::decay_t<F>(std::forward<F>(f)),
                args = std::tuple<std::decay_t<A>...>(std::forward<A>(a)...)]() mutable -> decltype(auto) {
            return std::apply([&](auto&... x) -> decltype(auto) { return std::invoke(std::move(f), std::move(x)...); }, args);
        };
    }
}

template <class F>
[[gnu::always_inline]] inline void spawn(const go_options& o, F&& f) {
    using C = closure<F>;
    if constexpr (sizeof(C) > closure_on_stack || alignof(C) > 64) {
        detail::spawn(o, boxed<F>{std::make_unique<F>(std::move(f))});
    } else if constexpr (std::is_trivially_copyable_v<F> && std::is_trivially_move_constructible_v<F>) {
        const C c(std::move(f));
        newproc_bytes(o, &c, sizeof(C), alignof(C), &C::run);
    } else {
        new_goroutine n = newproc_begin(o, sizeof(C), alignof(C));
        if constexpr (std::is_nothrow_move_constructible_v<F>) {
            new (n.closure) C(std::move(f));
        } else {
            try {
                new (n.closure) C(std::move(f));
            } catch (...) {
                newproc_abort(n.g);
                throw;
            }
        }
        newproc_commit(n.g, &C::run);
    }
}

// Lets the P go while it lives; also inside the runtime's foreign threads and nested.
class syscall_scope {
public:
    syscall_scope();
    ~syscall_scope();
    syscall_scope(const syscall_scope&) = delete;
    syscall_scope& operator=(const syscall_scope&) = delete;

private:
    bool entered_;
};

// One line being put together.
class line {
public:
    void add(std::string_view s) { word().append(s); }
    void add(const char* s) { word().append(s ? s : "(null)"); }
    void add(char* s) { add(static_cast<const char*>(s)); }
    void add(std::nullptr_t) { word().append("nullptr"); }
    void add(bool b) { word().append(b ? "true" : "false"); }
    void add(char c) { word().push_back(c); }
    template <class T>
    void add(const T& v) {
        if constexpr (std::is_convertible_v<const T&, std::string_view>) {
            add(std::string_view(v));
        } else if constexpr (std::is_integral_v<T>) {
            char buf[48];  // of 128 bits, too
            auto [end, err] = std::to_chars(buf, buf + sizeof buf, v);
            word().append(buf, static_cast<std::size_t>(end - buf));
        } else {
            std::ostringstream o;
            o << v;
            word().append(o.str());
        }
    }
    void write();  // appends the newline, one line after the other; a failed write is dropped, as by std::cout

private:
    std::string& word() {
        if (!text_.empty() || began_) text_.push_back(' ');
        began_ = true;
        return text_;
    }
    std::string text_;
    bool began_ = false;
};

}  // namespace rt0::detail
