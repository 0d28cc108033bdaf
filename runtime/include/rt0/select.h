// select: wait for the first of many things.
//
//     rt0::select(rt0::recv(in, [&](std::optional<int> v) { … }),
//                 rt0::send(out, x, [&] { … }),
//                 rt0::after(100ms, [&] { … }),
//                 rt0::done(token, [&] { … }));
//
// Among the cases that are ready one is chosen, each with the same probability.  Ready
// are a receive that has a value or a closed channel, a send that has room or a receiver
// (or a closed channel: then select throws closed_channel), a `done` whose token is
// stopped.  With none ready, an `after` that is due runs, else `otherwise`, if there is
// one; without, the goroutine parks until a case can go: it never polls.
//
// A select never meets itself: its send and its receive on one channel do not pair up.
// A case on a nil channel is never chosen.  The handler runs after the choice, with
// nothing held, and may do anything; what it throws leaves select.
//
// Cases made from a named channel borrow it: it must live while select runs.
// Source: Go's select statement.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

#include <rt0/detail/now.h>
#include <rt0/detail/select_core.h>

namespace rt0 {

/// A case that receives; f(std::optional<T>) or f(): nullopt says closed and drained.
template <class T, class F>
    requires std::invocable<F&, std::optional<T>> || std::invocable<F&>
[[nodiscard]] auto recv(const chan<T>& c, F f) {
    return detail::recv_case<T, F>(c.raw(), false, std::move(f));
}
template <class T, class F>
    requires std::invocable<F&, std::optional<T>> || std::invocable<F&>
[[nodiscard]] auto recv(const receiver<T>& c, F f) {
    return detail::recv_case<T, F>(c.raw(), false, std::move(f));
}
template <class T, class F>
    requires std::invocable<F&, std::optional<T>> || std::invocable<F&>
[[nodiscard]] auto recv(chan<T>&& c, F f) {
    return detail::recv_case<T, F>(c.raw(), true, std::move(f));
}
template <class T, class F>
    requires std::invocable<F&, std::optional<T>> || std::invocable<F&>
[[nodiscard]] auto recv(receiver<T>&& c, F f) {
    return detail::recv_case<T, F>(c.raw(), true, std::move(f));
}

/// A case that sends v, which it holds; f() runs when v went.  In a select_set, or named and
/// used again, it sends a copy each time if T can be copied; if not, it sends v once and is never chosen after that.  A T
/// with a member that cannot be copied, such as a vector of std::unique_ptr, needs a deleted copy constructor of its own there.
template <class T, class V = T, class F = detail::no_handler>
    requires std::convertible_to<V, T> && std::invocable<F&>
[[nodiscard]] auto send(const chan<T>& c, V&& v, F f = {}) {
    return detail::send_case<T, F>(c.raw(), false, static_cast<T>(std::forward<V>(v)), std::move(f));
}
template <class T, class V = T, class F = detail::no_handler>
    requires std::convertible_to<V, T> && std::invocable<F&>
[[nodiscard]] auto send(const sender<T>& c, V&& v, F f = {}) {
    return detail::send_case<T, F>(c.raw(), false, static_cast<T>(std::forward<V>(v)), std::move(f));
}
template <class T, class V = T, class F = detail::no_handler>
    requires std::convertible_to<V, T> && std::invocable<F&>
[[nodiscard]] auto send(chan<T>&& c, V&& v, F f = {}) {
    return detail::send_case<T, F>(c.raw(), true, static_cast<T>(std::forward<V>(v)), std::move(f));
}
template <class T, class V = T, class F = detail::no_handler>
    requires std::convertible_to<V, T> && std::invocable<F&>
[[nodiscard]] auto send(sender<T>&& c, V&& v, F f = {}) {
    return detail::send_case<T, F>(c.raw(), true, static_cast<T>(std::forward<V>(v)), std::move(f));
}

/// A case that can go d after the select began, if nothing else could; of several the earliest.
template <class Rep, class Period, class F>
    requires std::invocable<F&>
[[nodiscard]] auto after(std::chrono::duration<Rep, Period> d, F f) {
    return detail::after_case<F>(detail::ns_of(d), std::move(f));
}

/// A case that can go as soon as a stop is requested.
template <class F>
    requires std::invocable<F&>
[[nodiscard]] auto done(std::stop_token st, F f) {
    return detail::done_case<F>(std::move(st), std::move(f));
}

/// The case that runs when no other can go at once; one at most.
template <class F>
    requires std::invocable<F&>
[[nodiscard]] auto otherwise(F f) {
    return detail::otherwise_case<F>(std::move(f));
}

/// Runs one of the cases; its index, from 0.  Blocks as said above; without any case, for
/// ever.  Throws closed_channel for a send to a closed channel, and what a handler throws.
/// Does not allocate for up to 16 cases.
template <detail::select_case... C>
std::size_t select(C&&... cases) {
    constexpr std::uint32_t n = sizeof...(C);
    constexpr std::size_t ndone = (std::size_t{0} + ... + (std::remove_cvref_t<C>::kind == detail::case_kind::done));
    static_assert((0 + ... + (std::remove_cvref_t<C>::kind == detail::case_kind::otherwise)) <= 1,
                  "a select has one otherwise at most");
    if constexpr (n == 0) {
        detail::select_nothing();
    } else {
        detail::scase sc[n];
        std::uint32_t i = 0;
        (cases.template prepare<std::is_lvalue_reference_v<C>>(sc[i++]), ...);
        detail::select_outcome o;
        if constexpr (n <= detail::select_inline) {
            o = detail::selectgo(sc, n, nullptr);
        } else {
            std::unique_ptr<std::byte[]> mem(new std::byte[detail::select_scratch_bytes(n, ndone)]);
            detail::select_scratch big{mem.get(), 0};
            o = detail::selectgo(sc, n, &big);
        }
        i = 0;
        ((i++ == o.index ? cases.run(o.ok) : void()), ...);
        return o.index;
    }
}

/// A select whose cases are known at run time; thousands are fine.  add() in any order, then
/// select() as often as wanted: the cases stay.  It holds handles of the channels.  For one
/// goroutine at a time; a handler may add() to its own set.
class select_set {
public:
    select_set() noexcept = default;
    select_set(select_set&& o) noexcept { swap(o); }  ///< o is empty then
    select_set& operator=(select_set&& o) noexcept {
        select_set taken(std::move(o));
        swap(taken);
        return *this;
    }

    /// Throws std::bad_alloc, and std::invalid_argument for a second otherwise.
    template <detail::select_case C>
        requires(!std::is_lvalue_reference_v<C>)
    void add(C&& c) {
        constexpr detail::case_kind kind = C::kind;
        if (kind == detail::case_kind::otherwise && has_otherwise_)
            throw std::invalid_argument("a select has one otherwise at most");
        cases_.reserve(cases_.size() + 1 > cases_.capacity() ? 2 * cases_.size() + 4 : cases_.capacity());
        erased_.reserve(cases_.capacity());
        stale_.reserve(cases_.capacity());
        auto p = std::make_unique<detail::set_case_of<C>>(std::move(c));
        stale_.push_back(static_cast<std::uint32_t>(cases_.size()));
        cases_.push_back(std::move(p));
        erased_.emplace_back();
        scratch_.nsorted = 0;
        has_otherwise_ |= kind == detail::case_kind::otherwise;
        ndone_ += kind == detail::case_kind::done;
    }

    /// As select() over all cases, numbered in the order of add().  A set without cases blocks for ever.
    std::size_t select() {
        if (cases_.empty()) detail::select_nothing();
        while (!stale_.empty()) {
            detail::scase& k = erased_[stale_.back()];
            const bool had = k.c;
            cases_[stale_.back()]->prepare(k);
            if (had && !k.c) scratch_.nsorted = 0;  // one channel less to lock, if it was sent for good
            stale_.pop_back();
        }
        const std::uint32_t n = static_cast<std::uint32_t>(cases_.size());
        const std::size_t bytes = n <= detail::select_inline ? 0 : detail::select_scratch_bytes(n, ndone_);
        if (bytes > scratch_bytes_) {
            memory_.reset(new std::byte[2 * bytes]);
            scratch_bytes_ = 2 * bytes;
            scratch_ = {memory_.get(), 0};
        }
        const detail::select_outcome o = detail::selectgo(erased_.data(), n, bytes ? &scratch_ : nullptr);
        stale_.push_back(o.index);
        cases_[o.index]->run(o.ok);
        return o.index;
    }

    std::size_t size() const noexcept { return cases_.size(); }
    bool empty() const noexcept { return cases_.empty(); }
    void clear() noexcept {
        stale_.clear();
        erased_.clear();
        cases_.clear();
        scratch_.nsorted = 0;
        has_otherwise_ = false;
        ndone_ = 0;
    }

private:
    void swap(select_set& o) noexcept {
        cases_.swap(o.cases_);
        erased_.swap(o.erased_);
        stale_.swap(o.stale_);
        memory_.swap(o.memory_);
        std::swap(scratch_bytes_, o.scratch_bytes_);
        std::swap(scratch_, o.scratch_);
        std::swap(ndone_, o.ndone_);
        std::swap(has_otherwise_, o.has_otherwise_);
    }

    std::vector<std::unique_ptr<detail::set_case>> cases_;
    std::vector<detail::scase> erased_;
    std::vector<std::uint32_t> stale_;  // cases to prepare before the next select
    std::unique_ptr<std::byte[]> memory_;
    std::size_t scratch_bytes_ = 0;
    detail::select_scratch scratch_;
    std::size_t ndone_ = 0;
    bool has_otherwise_ = false;
};

}  // namespace rt0
