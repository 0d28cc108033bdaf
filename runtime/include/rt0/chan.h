// Channels: typed queues between goroutines (and threads), bounded or of capacity 0.
#pragma once
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <rt0/detail/chan_core.h>
#include <rt0/detail/now.h>

namespace rt0 {

template <class T>
class sender;
template <class T>
class receiver;

/// Thrown for what Go panics with: "send on closed channel", "close of closed channel",
/// "close of nil channel".
class closed_channel : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

namespace detail {
template <class T>
class chan_iterator;
}

/// A handle of a channel; copies refer to the same channel, the last one frees it with
/// what is left in its buffer.  Different handles of one channel may be used by any
/// goroutines and threads at once; one handle, like any object, not while it is assigned
/// to or destroyed.  const is the handle, not the channel, as with std::shared_ptr.
///
/// T may be move-only and of any size.  Elements pass in the order of their sends; a
/// value is copied or moved exactly from the sender into the buffer or the receiver, never
/// under a lock.  No operation allocates, unless T's move may throw: then T travels in a
/// box of its own, and what a throwing move does is: on the way in nothing is sent; on the
/// way out the element has left the channel.  For the others, an element whose move is in
/// progress already takes its place in the buffer and is not yet there for receivers.
/// Source: Go's channels.
template <class T>
class chan {
    static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>,
                  "channels carry objects that are neither arrays nor const nor volatile");

public:
    using value_type = T;
    using iterator = detail::chan_iterator<T>;
    using sentinel = std::default_sentinel_t;

    /// The nil channel: operations on it block for ever, select never chooses it.
    chan() noexcept = default;
    /// A channel with room for capacity elements; 0: sender and receiver meet.  Does not block.
    /// Throws std::length_error for a capacity that cannot be, std::bad_alloc without memory.
    explicit chan(std::size_t capacity) : c_(detail::makechan(detail::elem_type_of<T>, capacity)) {}
    chan(const chan& o) noexcept : c_(o.c_) { detail::ref_chan(c_); }
    chan(chan&& o) noexcept : c_(std::exchange(o.c_, nullptr)) {}
    chan& operator=(chan o) noexcept {
        std::swap(c_, o.c_);
        return *this;
    }
    ~chan() { detail::unref_chan(c_); }

    /// Blocks until v is in the buffer or with a receiver.  Throws closed_channel, and what
    /// moving v throws; then nothing was sent.
    void send(T v) const {
        if (send_(v) != op_status::ok) detail::throw_closed_channel(detail::chan_misuse::send_closed);
    }

    /// Blocks until there is an element.  nullopt: the channel is closed and drained.
    std::optional<T> recv() const {
        if constexpr (detail::kind_of<T> == detail::elem_kind::plain && std::is_nothrow_default_constructible_v<T>) {
            std::optional<T> r(std::in_place);
            if (detail::chanrecv(c_, const_cast<std::remove_const_t<T>*>(std::addressof(*r)), true) != op_status::ok)
                r.reset();
            return r;
        } else if constexpr (detail::is_boxed<T>) {
            T* p = nullptr;
            if (detail::chanrecv(c_, &p, true) != op_status::ok) return std::nullopt;
            std::unique_ptr<T> b(p);
            return std::optional<T>(std::move(*b));
        } else {
            detail::elem_storage<T> tmp;
            if (detail::recv_erased<T>(c_, std::addressof(tmp.value), true) != op_status::ok) return std::nullopt;
            detail::destroy_guard<T> end(std::addressof(tmp.value));
            return std::optional<T>(std::move(tmp.value));
        }
    }

    /// Never block.  v is moved from only when the answer is ok; answers: ok, would_block, closed.
    op_status try_send(T& v) const {
        if constexpr (detail::is_boxed<T>)
            if (op_status s = detail::chan_peek_send(c_); s != op_status::ok) return s;
        return detail::send_ref(v, [&](void* e) { return detail::send_erased<T>(c_, e, false); });
    }
    /// v is assigned to only when the answer is ok.
    op_status try_recv(T& v) const {
        return detail::recv_ref(v, [&](void* e) { return detail::recv_erased<T>(c_, e, false); });
    }

    /// Block at most d; answers: ok, closed, timeout.  d <= 0: as try_…, with timeout for
    /// would_block.  A channel that is ready, or closed, comes before the clock.
    op_status send_for(T& v, std::chrono::nanoseconds d) const {
        return detail::send_ref(v, [&](void* e) { return detail::chan_timed(c_, e, true, d.count()); });
    }
    op_status recv_for(T& v, std::chrono::nanoseconds d) const {
        return detail::recv_ref(v, [&](void* e) { return detail::chan_timed(c_, e, false, d.count()); });
    }
    template <class Rep, class Period>
    op_status send_for(T& v, std::chrono::duration<Rep, Period> d) const {
        return send_for(v, detail::at_most(d));
    }
    template <class Rep, class Period>
    op_status recv_for(T& v, std::chrono::duration<Rep, Period> d) const {
        return recv_for(v, detail::at_most(d));
    }

    /// Block until st is stopped; answers: ok, closed, canceled.  A channel that is ready, or
    /// closed, comes before the token.
    op_status send(T& v, std::stop_token st) const {
        return detail::send_ref(v, [&](void* e) { return detail::chan_stoppable(c_, e, true, st); });
    }
    op_status recv(T& v, std::stop_token st) const {
        return detail::recv_ref(v, [&](void* e) { return detail::chan_stoppable(c_, e, false, st); });
    }

    /// No more sends: receivers get what is in the buffer, then nullopt; blocked senders throw.
    /// Throws closed_channel if the channel is nil or closed already.  Does not block.
    void close() const {
        switch (detail::closechan(c_)) {
            case detail::close_status::ok: return;
            case detail::close_status::nil: detail::throw_closed_channel(detail::chan_misuse::close_nil);
            case detail::close_status::again: detail::throw_closed_channel(detail::chan_misuse::close_closed);
        }
    }

    /// Elements in the buffer: a value that may be old when it is looked at.  nil: 0.
    std::size_t len() const noexcept {
        // relaxed: a hint about a moment that is past.
        return c_ ? detail::head_of(c_)->qcount.load(std::memory_order_relaxed) : 0;
    }
    /// Room in the buffer; nil: 0.
    std::size_t cap() const noexcept { return c_ ? detail::head_of(c_)->dataqsiz : 0; }

    /// Whether it is not nil.
    explicit operator bool() const noexcept { return c_ != nullptr; }
    /// Whether both are the same channel.
    bool operator==(const chan&) const noexcept = default;

    /// for (auto&& v : ch): receives until the channel is closed and drained.
    iterator begin() const { return iterator(*this); }
    sentinel end() const noexcept { return {}; }

    /// For the library's own templates.
    detail::hchan* raw() const noexcept { return c_; }

private:
    op_status send_(T& v) const {
        if constexpr (detail::is_boxed<T>) {
            std::unique_ptr<T> b(new T(std::move(v)));
            T* p = b.get();
            op_status s = detail::chansend(c_, &p, true);
            if (s == op_status::ok) static_cast<void>(b.release());
            return s;
        } else {
            return detail::send_erased<T>(c_, std::addressof(v), true);
        }
    }

    detail::hchan* c_ = nullptr;
};

namespace detail {

// An input iterator: holds the element it received last, and its own handle.
template <class T>
class chan_iterator {
public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    // A T that cannot be copied is handed out for moving: for (T v : ch) works for it too.
    using reference = std::conditional_t<detail::copies<T>, T&, T&&>;

    chan_iterator() = default;
    explicit chan_iterator(const chan<T>& c) : c_(c) { ++*this; }
    reference operator*() const { return static_cast<reference>(*v_); }
    chan_iterator& operator++() {
        v_.reset();
        if (std::optional<T> next = c_.recv()) v_.emplace(std::move(*next));
        return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !v_; }

private:
    chan<T> c_;
    mutable std::optional<T> v_;
};

}  // namespace detail

/// The sending side of a channel: a handle that cannot receive.  Members as chan's.
template <class T>
class sender {
public:
    using value_type = T;
    sender() noexcept = default;
    sender(const chan<T>& c) noexcept : c_(c) {}
    sender(chan<T>&& c) noexcept : c_(std::move(c)) {}

    void send(T v) const { c_.send(std::move(v)); }
    op_status try_send(T& v) const { return c_.try_send(v); }
    op_status send_for(T& v, std::chrono::nanoseconds d) const { return c_.send_for(v, d); }
    template <class Rep, class Period>
    op_status send_for(T& v, std::chrono::duration<Rep, Period> d) const {
        return c_.send_for(v, d);
    }
    op_status send(T& v, std::stop_token st) const { return c_.send(v, std::move(st)); }
    void close() const { c_.close(); }
    std::size_t len() const noexcept { return c_.len(); }
    std::size_t cap() const noexcept { return c_.cap(); }
    explicit operator bool() const noexcept { return static_cast<bool>(c_); }
    bool operator==(const sender&) const noexcept = default;
    detail::hchan* raw() const noexcept { return c_.raw(); }

private:
    chan<T> c_;
};

/// The receiving side of a channel: a handle that can neither send nor close.  Members as chan's.
template <class T>
class receiver {
public:
    using value_type = T;
    using iterator = typename chan<T>::iterator;
    using sentinel = typename chan<T>::sentinel;
    receiver() noexcept = default;
    receiver(const chan<T>& c) noexcept : c_(c) {}
    receiver(chan<T>&& c) noexcept : c_(std::move(c)) {}

    std::optional<T> recv() const { return c_.recv(); }
    op_status try_recv(T& v) const { return c_.try_recv(v); }
    op_status recv_for(T& v, std::chrono::nanoseconds d) const { return c_.recv_for(v, d); }
    template <class Rep, class Period>
    op_status recv_for(T& v, std::chrono::duration<Rep, Period> d) const {
        return c_.recv_for(v, d);
    }
    op_status recv(T& v, std::stop_token st) const { return c_.recv(v, std::move(st)); }
    iterator begin() const { return c_.begin(); }
    sentinel end() const noexcept { return {}; }
    std::size_t len() const noexcept { return c_.len(); }
    std::size_t cap() const noexcept { return c_.cap(); }
    explicit operator bool() const noexcept { return static_cast<bool>(c_); }
    bool operator==(const receiver&) const noexcept = default;
    detail::hchan* raw() const noexcept { return c_.raw(); }

private:
    chan<T> c_;
};

}  // namespace rt0
