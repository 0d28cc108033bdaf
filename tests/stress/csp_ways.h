// Elements of four kinds, and the ways to send and receive one.
//
// Each way ends with the element passed exactly once: those that try, time out or are cancelled are
// repeated until then.  What the runtime does under way is different each time: direct hand-over, a place
// in a queue that is left again, a select over several channels, a race with a timer or a stop token.
#pragma once
#include <rt0/rt0.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <variant>

#include "tests/stress/csp.h"

namespace csp {

using namespace std::chrono_literals;

// What T looks like as an element: made from a number, read back as one; a torn one reads as another.
struct wide {
    std::array<u64, 24> x{};
    wide() = default;
    explicit wide(u64 v) { x.fill(v); }
    u64 value() const {
        for (u64 y : x)
            if (y != x[0]) return 0xbad;
        return x[0];
    }
};
struct owned {  // move-only
    std::unique_ptr<u64> p;
    owned() = default;
    explicit owned(u64 v) : p(new u64(v)) {}
    u64 value() const { return p ? *p : 0xbad; }
};
struct risky {  // its move may throw, says its type: channels carry it in a box
    u64 v = 0, inverse = 0;
    risky() = default;
    explicit risky(u64 n) : v(n), inverse(~n) {}
    risky(const risky& o) noexcept(false) : v(o.v), inverse(o.inverse) {}
    risky& operator=(const risky& o) noexcept(false) {
        v = o.v, inverse = o.inverse;
        return *this;
    }
    u64 value() const { return v == ~inverse ? v : 0xbad; }
};
inline u64 value_of(u64 v) { return v; }
template <class T>
u64 value_of(const T& v) {
    return v.value();
}

using port = std::variant<rt0::chan<u64>, rt0::chan<wide>, rt0::chan<owned>, rt0::chan<risky>>;
static_assert(std::variant_size_v<port> == element_kinds);

inline port make_port(const program::channel& c) {
    auto n = static_cast<std::size_t>(c.capacity);
    switch (c.kind) {
    case 0: return rt0::chan<u64>(n);
    case 1: return rt0::chan<wide>(n);
    case 2: return rt0::chan<owned>(n);
    default: return rt0::chan<risky>(n);
    }
}

// A stop token that somebody is about to cancel.
inline std::stop_token soon_cancelled() {
    std::stop_source source;
    rt0::go([source]() mutable { source.request_stop(); });
    return source.get_token();
}

template <class T>
bool select_send(const rt0::chan<T>& c, u64 v, int mode) {
    bool sent = false;
    auto then = [&] { sent = true; };
    rt0::chan<T> nil;
    std::stop_source never;
    switch (mode) {
    case 4: rt0::select(rt0::send(c, T(v), then)); break;
    case 5: rt0::select(rt0::recv(nil, [] {}), rt0::send(c, T(v), then)); break;
    case 6: rt0::select(rt0::send(c, T(v), then), rt0::after(1h, [] {})); break;
    case 7: {
        rt0::select_set set;
        set.add(rt0::done(never.get_token(), [] {}));
        set.add(rt0::send(c, T(v), then));
        set.select();
        break;
    }
    case 9: rt0::select(rt0::send(c, T(v), then), rt0::after(10us, [] {})); break;
    default: rt0::select(rt0::send(c, T(v), then), rt0::otherwise([] { rt0::this_goroutine::yield(); }));
    }
    return sent;
}

template <class T>
void send_way(const rt0::chan<T>& c, u64 v, int mode) {
    T e(v);
    std::stop_source never;
    switch (mode) {
    case 0: return c.send(std::move(e));
    case 1:
        while (c.try_send(e) != rt0::op_status::ok) rt0::this_goroutine::yield();
        return;
    case 2: c.send_for(e, 1h); return;
    case 3: c.send(e, never.get_token()); return;
    case 8:
        while (c.send_for(e, 20us) != rt0::op_status::ok) {}
        return;
    case 11:
        if (c.send(e, soon_cancelled()) != rt0::op_status::ok) c.send(std::move(e));
        return;
    default:
        while (!select_send(c, v, mode)) {}
    }
}

enum class got { value, closed, again };

template <class T>
got select_recv(const rt0::chan<T>& c, u64& v, int mode) {
    got g = got::again;
    auto take = [&](std::optional<T> e) {
        g = e ? got::value : got::closed;
        if (e) v = value_of(*e);
    };
    rt0::chan<T> nil;
    std::stop_source never;
    switch (mode) {
    case 4: rt0::select(rt0::recv(c, take)); break;
    case 5: rt0::select(rt0::recv(nil, take), rt0::recv(c, take)); break;
    case 6: rt0::select(rt0::recv(c, take), rt0::after(1h, [] {})); break;
    case 7: {
        rt0::select_set set;
        set.add(rt0::recv(c, take));
        set.add(rt0::done(never.get_token(), [] {}));
        set.select();
        break;
    }
    case 9: rt0::select(rt0::recv(c, take), rt0::after(10us, [] {})); break;
    default: rt0::select(rt0::recv(c, take), rt0::otherwise([] { rt0::this_goroutine::yield(); }));
    }
    return g;
}

template <class T>
got try_once(const rt0::chan<T>& c, u64& v, int mode) {
    T e{};
    rt0::op_status s = rt0::op_status::would_block;
    std::stop_source never;
    switch (mode) {
    case 1:
        s = c.try_recv(e);
        if (s == rt0::op_status::would_block) rt0::this_goroutine::yield();
        break;
    case 2: s = c.recv_for(e, 1h); break;
    case 3: s = c.recv(e, never.get_token()); break;
    case 8: s = c.recv_for(e, 20us); break;
    default: s = c.recv(e, soon_cancelled());
    }
    if (s == rt0::op_status::ok) v = value_of(e);
    return s == rt0::op_status::ok ? got::value : s == rt0::op_status::closed ? got::closed : got::again;
}

// False: the channel is closed and drained.
template <class T>
bool recv_way(const rt0::chan<T>& c, u64& v, int mode) {
    if (mode == 0) {
        std::optional<T> e = c.recv();
        if (e) v = value_of(*e);
        return e.has_value();
    }
    bool by_select = mode >= 4 && mode != 8 && mode != 11;
    got g = by_select ? select_recv(c, v, mode) : try_once(c, v, mode);
    if (g == got::again && mode == 11) return recv_way(c, v, 0);
    while (g == got::again) g = by_select ? select_recv(c, v, mode) : try_once(c, v, mode);
    return g == got::value;
}

}  // namespace csp
