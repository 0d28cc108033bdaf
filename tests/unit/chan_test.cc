// Channels: every operation on every kind of element (plain, moved, boxed).  No test looks
// at a clock to decide.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "tests/support/chan_support.h"

using namespace std::chrono_literals;
using namespace chantest;
using rt0::chan;
using rt0::op_status;

namespace {

struct big {
    std::array<int, 500> a;
};
struct alignas(128) aligned {
    int v;
};
struct alignas(256) aligned_moved {
    std::unique_ptr<int> p;
};
struct small_moved {  // smaller than a pointer, and not trivial
    char c = 0;
    small_moved() = default;
    explicit small_moved(char x) : c(x) {}
    small_moved(small_moved&& o) noexcept : c(o.c) { o.c = '?'; }
    small_moved& operator=(small_moved&& o) noexcept {
        c = std::exchange(o.c, '?');
        return *this;
    }
};

static_assert(rt0::detail::kind_of<int> == rt0::detail::elem_kind::plain);
static_assert(rt0::detail::kind_of<std::string> == rt0::detail::elem_kind::moved);
static_assert(rt0::detail::kind_of<chan<int>> == rt0::detail::elem_kind::moved);
static_assert(rt0::detail::kind_of<throwing> == rt0::detail::elem_kind::boxed);
static_assert(rt0::detail::kind_of<throwing_move> == rt0::detail::elem_kind::boxed);

template <class T>
struct make;  // a value from a number, and back
template <>
struct make<int> {
    static int of(int n) { return n; }
    static int back(const int& v) { return v; }
};
template <>
struct make<big> {
    static big of(int n) {
        big b;
        b.a.fill(n);
        return b;
    }
    static int back(const big& b) {
        for (int x : b.a)
            if (x != b.a[0]) return -1;
        return b.a[0];
    }
};
template <>
struct make<aligned> {
    static aligned of(int n) { return {n}; }
    static int back(const aligned& v) { return reinterpret_cast<std::uintptr_t>(&v) % 128 ? -1 : v.v; }
};
template <>
struct make<aligned_moved> {
    static aligned_moved of(int n) { return {std::make_unique<int>(n)}; }
    static int back(const aligned_moved& v) { return reinterpret_cast<std::uintptr_t>(&v) % 256 ? -1 : *v.p; }
};
template <>
struct make<std::string> {
    static std::string of(int n) { return "a string too long for the small buffer " + std::to_string(n); }
    static int back(const std::string& s) { return s.size() < 39 ? -1 : std::stoi(s.substr(39)); }
};
template <>
struct make<std::unique_ptr<int>> {
    static std::unique_ptr<int> of(int n) { return std::make_unique<int>(n); }
    static int back(const std::unique_ptr<int>& p) { return p ? *p : -1; }
};
template <>
struct make<small_moved> {
    static small_moved of(int n) { return small_moved(static_cast<char>(n % 64)); }
    static int back(const small_moved& s) { return s.c; }
};
template <>
struct make<counted> {
    static counted of(int n) { return counted(n); }
    static int back(const counted& c) { return c.valid ? c.v : -1; }
};
template <>
struct make<throwing> {
    static throwing of(int n) { return throwing(n); }
    static int back(const throwing& t) { return t.v; }
};
template <>
struct make<throwing_move> {
    static throwing_move of(int n) { return throwing_move(n); }
    static int back(const throwing_move& t) { return t.get(); }
};

template <class T>
class ChanOf : public testing::Test {};
using kinds = testing::Types<int, big, aligned, std::string, std::unique_ptr<int>, small_moved, aligned_moved, counted,
                             throwing, throwing_move>;
TYPED_TEST_SUITE(ChanOf, kinds);

TYPED_TEST(ChanOf, BufferKeepsOrder) {
    using M = make<TypeParam>;
    chan<TypeParam> c(3);
    EXPECT_EQ(c.cap(), 3u);
    for (int round = 0; round < 20; round += 3) {
        for (int i = 0; i < 3; i++) c.send(M::of(round + i));
        EXPECT_EQ(c.len(), 3u);
        for (int i = 0; i < 3; i++) {
            auto v = c.recv();
            ASSERT_TRUE(v);
            EXPECT_EQ(M::back(*v), round + i);
        }
        EXPECT_EQ(c.len(), 0u);
    }
}

TYPED_TEST(ChanOf, TryForms) {
    using M = make<TypeParam>;
    chan<TypeParam> c(1);
    TypeParam in = M::of(7), out = M::of(1);
    EXPECT_EQ(c.try_recv(out), op_status::would_block);
    EXPECT_EQ(M::back(out), 1);
    EXPECT_EQ(c.try_send(in), op_status::ok);
    TypeParam more = M::of(8);
    EXPECT_EQ(c.try_send(more), op_status::would_block);
    EXPECT_EQ(M::back(more), 8) << "a value that did not go is untouched";
    EXPECT_EQ(c.try_recv(out), op_status::ok);
    EXPECT_EQ(M::back(out), 7);
    EXPECT_EQ(c.try_send(more), op_status::ok);
    c.close();
    TypeParam last = M::of(9);
    EXPECT_EQ(c.try_send(last), op_status::closed);
    EXPECT_EQ(M::back(last), 9);
    EXPECT_EQ(c.try_recv(out), op_status::ok);
    EXPECT_EQ(M::back(out), 8);
    EXPECT_EQ(c.try_recv(out), op_status::closed);
    EXPECT_EQ(M::back(out), 8);
    EXPECT_FALSE(c.recv());
}

TYPED_TEST(ChanOf, TryOnRendezvous) {
    using M = make<TypeParam>;
    chan<TypeParam> c(0);
    TypeParam v = M::of(3), out = M::of(0);
    EXPECT_EQ(c.try_send(v), op_status::would_block);
    EXPECT_EQ(c.try_recv(out), op_status::would_block);
    joined r([c]() mutable { EXPECT_EQ(M::back(*c.recv()), 3); });
    until([&] { return c.try_send(v) == op_status::ok; });
    r.join();
    joined s([c]() mutable { c.send(M::of(4)); });
    until([&] { return c.try_recv(out) == op_status::ok; });
    EXPECT_EQ(M::back(out), 4);
    s.join();
}

TYPED_TEST(ChanOf, Rendezvous) {
    using M = make<TypeParam>;
    chan<TypeParam> there(0), back(0);
    joined echo([=]() mutable {
        while (auto v = there.recv()) back.send(std::move(*v));
        back.close();
    });
    for (int i = 0; i < 50; i++) {
        there.send(M::of(i));
        EXPECT_EQ(M::back(*back.recv()), i);
    }
    there.close();
    EXPECT_FALSE(back.recv());
    echo.join();
}

TYPED_TEST(ChanOf, BlockedSendersKeepOrder) {
    using M = make<TypeParam>;
    chan<TypeParam> c(2);
    joined s([c]() mutable {
        for (int i = 0; i < 60; i++) c.send(M::of(i));
        c.close();
    });
    int next = 0;
    for (auto&& v : c) EXPECT_EQ(M::back(v), next++);
    EXPECT_EQ(next, 60);
    s.join();
}

TYPED_TEST(ChanOf, TimedAndStoppable) {
    using M = make<TypeParam>;
    chan<TypeParam> c(1);
    TypeParam a = M::of(1), b = M::of(2), out = M::of(0);
    std::stop_source stop;
    EXPECT_EQ(c.recv_for(out, 0ns), op_status::timeout);
    EXPECT_EQ(c.recv_for(out, -5s), op_status::timeout);
    EXPECT_EQ(c.recv_for(out, 1ms), op_status::timeout);
    EXPECT_EQ(M::back(out), 0);
    EXPECT_EQ(c.send_for(a, 1h), op_status::ok);
    EXPECT_EQ(c.send_for(b, 0ns), op_status::timeout);
    EXPECT_EQ(c.send_for(b, 1ms), op_status::timeout);
    EXPECT_EQ(M::back(b), 2);
    joined stopper([&] { stop.request_stop(); });
    EXPECT_EQ(c.send(b, stop.get_token()), op_status::canceled);
    stopper.join();
    EXPECT_EQ(c.send(b, stop.get_token()), op_status::canceled);
    EXPECT_EQ(M::back(b), 2);
    EXPECT_EQ(c.recv(out, stop.get_token()), op_status::ok) << "what is ready comes before a token that is stopped";
    EXPECT_EQ(M::back(out), 1);
    EXPECT_EQ(c.recv(out, stop.get_token()), op_status::canceled);
    EXPECT_EQ(c.send(b, std::stop_token{}), op_status::ok);
    EXPECT_EQ(c.recv_for(out, std::chrono::nanoseconds::max()), op_status::ok);
    EXPECT_EQ(M::back(out), 2);
    c.close();
    TypeParam d = M::of(5);
    EXPECT_EQ(c.send_for(d, 1h), op_status::closed);
    EXPECT_EQ(c.recv_for(out, 1h), op_status::closed);
    EXPECT_EQ(c.send(d, stop.get_token()), op_status::closed);
    EXPECT_EQ(c.recv(out, stop.get_token()), op_status::closed);
    EXPECT_EQ(M::back(d), 5);
}

TYPED_TEST(ChanOf, TimedFormsMeetAPartner) {
    using M = make<TypeParam>;
    chan<TypeParam> c(0);
    joined s([c]() mutable {
        for (int i = 0; i < 20; i++) {
            TypeParam v = M::of(i);
            EXPECT_EQ(i % 2 ? c.send_for(v, 1h) : c.send(v, std::stop_source().get_token()), op_status::ok);
        }
    });
    for (int i = 0; i < 20; i++) {
        TypeParam out = M::of(0);
        std::stop_source ss;
        EXPECT_EQ(i % 3 ? c.recv_for(out, 1h) : c.recv(out, ss.get_token()), op_status::ok);
        EXPECT_EQ(M::back(out), i);
    }
    s.join();
}

TYPED_TEST(ChanOf, CloseWakesEverybody) {
    using M = make<TypeParam>;
    chan<TypeParam> in(0), out(0);
    std::atomic<int> nothing{0}, threw{0};
    std::vector<joined> all;
    for (int i = 0; i < 5; i++) {
        all.emplace_back([&, in]() mutable { nothing += !in.recv(); });
        all.emplace_back([&, out]() mutable {
            try {
                out.send(M::of(1));
            } catch (const rt0::closed_channel& e) {
                threw += std::string(e.what()) == "send on closed channel";
            }
        });
    }
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    in.close();
    out.close();
    for (auto& j : all) j.join();
    EXPECT_EQ(nothing, 5);
    EXPECT_EQ(threw, 5);
}

TYPED_TEST(ChanOf, NothingIsLostInAFreedBuffer) {
    using M = make<TypeParam>;
    const long counted_before = counted::alive, throwing_before = throwing::alive;
    {
        chan<TypeParam> c(8);
        for (int i = 0; i < 5; i++) c.send(M::of(i));
        EXPECT_TRUE(c.recv());
        for (int i = 0; i < 4; i++) c.send(M::of(i));
        EXPECT_TRUE(c.recv());
    }
    EXPECT_EQ(counted::alive, counted_before);
    EXPECT_EQ(throwing::alive, throwing_before);
}

TYPED_TEST(ChanOf, ManyProducersManyConsumers) {
    using M = make<TypeParam>;
    constexpr int producers = 4, each = 60;
    const long before = counted::alive;
    for (std::size_t cap : {0u, 1u, 7u}) {
        chan<TypeParam> c(cap);
        std::atomic<int> sending{producers};
        std::atomic<long> sum{0}, n{0};
        std::vector<joined> all;
        for (int p = 0; p < producers; p++) {
            all.emplace_back([&, c]() mutable {
                for (int i = 0; i < each; i++) c.send(M::of(i));
                if (--sending == 0) c.close();
            });
            all.emplace_back([&, c]() mutable {
                while (auto v = c.recv()) {
                    sum += M::back(*v);
                    n++;
                }
            });
        }
        for (auto& j : all) j.join();
        EXPECT_EQ(n, producers * each);
        EXPECT_EQ(sum, producers * each * (each - 1) / 2);
    }
    EXPECT_EQ(counted::alive, before);
}

}  // namespace
