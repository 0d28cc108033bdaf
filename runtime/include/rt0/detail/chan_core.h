// What the channel templates stand on: channels of bytes, behind functions.
//
//   EK1  An element is one of three kinds, fixed by its type (kind_of).  plain: trivially
//        copyable; the runtime copies its bytes under the channel's lock, as Go does.
//        moved: not trivial, but moves and dies without throwing; the runtime moves it
//        with elem_type's functions, outside every lock.  boxed: its move may throw; it
//        is moved into a box of its own before the channel is touched and out of it
//        after, and the pointer goes through as a plain element.
//   EK2  No function here throws, but makechan and throw_closed_channel.
//   EK3  Handles are counted in chan_head.refs; the last one frees the channel.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <rt0/detail/atomic.h>

namespace rt0 {

/// How an operation on a channel ended.
enum class op_status {
    ok,           ///< a value went through
    would_block,  ///< try_…: not without waiting
    closed,       ///< the channel is closed (and, for a receiver, drained)
    timeout,      ///< …_for: the time was up
    canceled,     ///< (stop_token): a stop was requested
};

}  // namespace rt0

namespace rt0::runtime {
struct hchan;
}

namespace rt0::detail {

using runtime::hchan;

struct elem_type {
    std::size_t size;                                // bytes
    std::size_t align;                               // bytes
    void (*move)(void* to, void* from) noexcept;     // constructs *to; null: bytes are copied
    void (*destroy)(void* at) noexcept;              // for what is left in the buffer at the end; null: nothing to do
};

// The part of a channel that templates may look at.
struct chan_head {
    atomic<std::uint32_t> refs{1};              // handles
    atomic<std::size_t> qcount{0};              // elements in the buffer
    std::size_t dataqsiz = 0;                        // its capacity
};

/// A channel for cap elements of type t, with one handle.  Throws std::length_error for a
/// capacity no machine has memory for, std::bad_alloc when this one has not.
hchan* makechan(const elem_type& t, std::size_t cap);
void freechan(hchan* c) noexcept;                    // the last handle is gone

inline chan_head* head_of(hchan* c) noexcept { return reinterpret_cast<chan_head*>(c); }
inline void ref_chan(hchan* c) noexcept {
    // relaxed: a new handle is made from one that exists, so the count cannot reach 0 meanwhile.
    if (c) head_of(c)->refs.fetch_add(1, std::memory_order_relaxed);
}
inline void unref_chan(hchan* c) noexcept {
    // ORDER(chan_refs): release; pairs with the acquire below.
    if (!c || head_of(c)->refs.fetch_sub(1, std::memory_order_release) != 1) return;
    // ORDER(chan_refs): acquire; pairs with every release above: what was done through other
    // handles has been done before the channel goes.
    static_cast<void>(head_of(c)->refs.load(std::memory_order_acquire));
    freechan(c);
}

// elem: what to send, or raw storage of elem_type::size bytes for what is received; it is
// written only when the answer is ok.  A null channel blocks for ever.
op_status chansend(hchan* c, void* elem, bool block) noexcept;          // plain elements
op_status chanrecv(hchan* c, void* elem, bool block) noexcept;
op_status chansend_moved(hchan* c, void* elem, bool block) noexcept;    // moved elements
op_status chanrecv_moved(hchan* c, void* elem, bool block) noexcept;
// Any kind; the channel is looked at first, the clock or the token only if it is not ready.
op_status chan_timed(hchan* c, void* elem, bool send, std::int64_t ns) noexcept;
op_status chan_stoppable(hchan* c, void* elem, bool send, const std::stop_token& st) noexcept;
// What a try_send would answer now; ok: it may succeed.
op_status chan_peek_send(hchan* c) noexcept;

enum class close_status { ok, nil, again };
close_status closechan(hchan* c) noexcept;

enum class chan_misuse { send_closed, close_closed, close_nil };
[[noreturn]] void throw_closed_channel(chan_misuse what);

// ---- element kinds
enum class elem_kind { plain, moved, boxed };
template <class T>
inline constexpr elem_kind kind_of =
    std::is_trivially_copyable_v<T> ? elem_kind::plain
    : std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T> ? elem_kind::moved
                                                                                    : elem_kind::boxed;
template <class T>
inline constexpr bool is_boxed = kind_of<T> == elem_kind::boxed;
template <class T>
using passed_t = std::conditional_t<is_boxed<T>, T*, T>;  // what goes through the channel

// Whether a T can be copied.  A container of what cannot, an adaptor or a pair of such say that they can, and do not compile
// where they are.  Seen: whose answer this one is part of, for types that hold their own kind.
template <class T, class... Seen>
consteval bool copies_in() {
    if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
    else if constexpr (!std::is_copy_constructible_v<T>) return false;
    else if constexpr (requires { typename T::allocator_type; typename T::value_type; })
        return copies_in<std::remove_cv_t<typename T::value_type>, T, Seen...>();
    else if constexpr (requires { typename T::container_type; }) return copies_in<typename T::container_type, T, Seen...>();
    else if constexpr (requires { typename T::first_type; typename T::second_type; })
        return copies_in<std::remove_cv_t<typename T::first_type>, T, Seen...>() &&
               copies_in<std::remove_cv_t<typename T::second_type>, T, Seen...>();
    else return true;
}
template <class T>
inline constexpr bool copies = copies_in<T>();

template <class T>
void move_elem(void* to, void* from) noexcept {
    ::new (to) T(std::move(*static_cast<T*>(from)));
}
template <class T>
void destroy_elem(void* at) noexcept {
    std::destroy_at(static_cast<T*>(at));
}
template <class T>
void destroy_box(void* at) noexcept {
    delete *static_cast<T**>(at);
}
template <class T>
constexpr elem_type make_elem_type() {
    if constexpr (kind_of<T> == elem_kind::plain) return {sizeof(T), alignof(T), nullptr, nullptr};
    else if constexpr (kind_of<T> == elem_kind::moved) return {sizeof(T), alignof(T), move_elem<T>, destroy_elem<T>};
    else return {sizeof(T*), alignof(T*), nullptr, destroy_box<T>};
}
template <class T>
inline constexpr elem_type elem_type_of = make_elem_type<T>();

template <class T>
op_status send_erased(hchan* c, void* elem, bool block) noexcept {
    if constexpr (kind_of<T> == elem_kind::moved) return chansend_moved(c, elem, block);
    else return chansend(c, elem, block);
}
template <class T>
op_status recv_erased(hchan* c, void* elem, bool block) noexcept {
    if constexpr (kind_of<T> == elem_kind::moved) return chanrecv_moved(c, elem, block);
    else return chanrecv(c, elem, block);
}

// Raw storage for one element; whoever receives into it destroys what came.
template <class T>
union elem_storage {
    elem_storage() noexcept {}
    ~elem_storage() {}
    T value;
};
template <class T>
struct destroy_guard {  // ends the life of *p, however the scope is left
    T* p;
    explicit destroy_guard(T* at) noexcept : p(at) {}
    ~destroy_guard() { std::destroy_at(p); }
    destroy_guard(const destroy_guard&) = delete;
    destroy_guard& operator=(const destroy_guard&) = delete;
};

// v in a box of its own.  As std::vector does on growing, a T that can be copied is copied
// when its move may throw, so that v stands untouched until the box has gone through.
template <class T>
std::unique_ptr<T> box(T& v) {
    if constexpr (std::is_nothrow_move_constructible_v<T> || !copies<T>) return std::unique_ptr<T>(new T(std::move(v)));
    else return std::unique_ptr<T>(new T(std::as_const(v)));
}
// The value did not go through: a T that could only be moved comes back.
template <class T>
void unbox_into(T& v, std::unique_ptr<T>& b) {
    if constexpr (!copies<T>) {
        static_assert(std::is_move_assignable_v<T>, "a move-only T whose move may throw must be assignable here");
        v = std::move(*b);
    }
}

// Runs op(storage, ...) -> op_status with v as the element to send; v stands unless it went.
template <class T, class Op>
op_status send_ref(T& v, Op op) {
    if constexpr (is_boxed<T>) {
        std::unique_ptr<T> b = detail::box(v);
        T* p = b.get();
        op_status s = op(static_cast<void*>(&p));
        if (s == op_status::ok) static_cast<void>(b.release());
        else detail::unbox_into(v, b);
        return s;
    } else {
        return op(const_cast<void*>(static_cast<const volatile void*>(std::addressof(v))));
    }
}
// The same for receiving into an existing v, by move assignment.  If that throws, the
// element has left the channel and is destroyed.  Bytes go straight into a scalar alone: v may be a base, or a member
// without an address of its own, and others live in its padding.
template <class T, class Op>
op_status recv_ref(T& v, Op op) {
    if constexpr (std::is_scalar_v<T>) {
        return op(const_cast<void*>(static_cast<const volatile void*>(std::addressof(v))));
    } else if constexpr (is_boxed<T>) {
        static_assert(std::is_move_assignable_v<T>, "rt0: an element whose move may throw is assigned here; use recv()");
        T* p = nullptr;
        op_status s = op(static_cast<void*>(&p));
        if (s != op_status::ok) return s;
        std::unique_ptr<T> b(p);
        v = std::move(*b);
        return s;
    } else {
        elem_storage<T> tmp;
        op_status s = op(static_cast<void*>(std::addressof(tmp.value)));
        if (s != op_status::ok) return s;
        destroy_guard<T> end(std::addressof(tmp.value));
        if constexpr (std::is_move_assignable_v<T>) {
            v = std::move(tmp.value);
        } else {
            std::destroy_at(std::addressof(v));
            std::construct_at(std::addressof(v), std::move(tmp.value));
        }
        return s;
    }
}

}  // namespace rt0::detail
