// Channels: every operation, on the three kinds of elements (plain, moved, boxed), on
// nil, closed, full, empty and rendezvous channels.  No test looks at a clock to decide.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>

using namespace std::chrono_literals;
using rt0::chan;
using rt0::op_status;

// Before main, on a thread without a goroutine.
static chan<int> g_plain(10);
static chan<std::string> g_moved(10);

namespace {

// Counts its lives; its move may not throw.
struct counted {
    static inline std::atomic<long> alive{0};
    static inline std::atomic<long> moves{0};
    int v;
    bool valid = true;
    explicit counted(int n = 0) : v(n) { alive++; }
    counted(counted&& o) noexcept : v(o.v), valid(o.valid) {
        o.valid = false;
        alive++;
        moves++;
    }
    counted& operator=(counted&& o) noexcept {
        v = o.v;
        valid = std::exchange(o.valid, false);
        return *this;
    }
    ~counted() { alive--; }
};

// A copy constructor that throws when told to, and no move constructor: boxed.
struct throwing {
    static inline std::atomic<long> alive{0};
    static inline std::atomic<int> fuse{-1};  // copies until one throws; < 0: never
    int v;
    static void burn() {
        if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("copy");
    }
    explicit throwing(int n = 0) : v(n) { alive++; }
    throwing(const throwing& o) : v(o.v) {
        burn();
        alive++;
    }
    throwing& operator=(const throwing& o) {
        burn();
        v = o.v;
        return *this;
    }
    ~throwing() { alive--; }
};

// Move-only, and the move may throw.
struct throwing_move {
    static inline std::atomic<int> fuse{-1};
    std::unique_ptr<int> p;
    explicit throwing_move(int n = 0) : p(new int(n)) {}
    throwing_move(throwing_move&& o) noexcept(false) {
        if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("move");
        p = std::move(o.p);
    }
    throwing_move& operator=(throwing_move&& o) noexcept(false) {
        p = std::move(o.p);
        return *this;
    }
    int get() const { return p ? *p : -1; }
};

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

// Waits, by yielding, until pred holds.
template <class F>
void until(F pred) {
    while (!pred()) rt0::this_goroutine::yield();
}
// A goroutine that says when it has ended.
struct joined {
    std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(false);
    template <class F>
    explicit joined(F f) {
        rt0::go([f = std::move(f), e = ended]() mutable {
            f();
            e->store(true);
        });
    }
    bool done() const { return ended->load(); }
    void join() const {
        until([this] { return done(); });
    }
};

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

// ---- misuse and limits

TEST(Chan, Nil) {
    chan<int> c;
    int v = 1;
    std::stop_source stop;
    EXPECT_FALSE(c);
    EXPECT_EQ(c.len(), 0u);
    EXPECT_EQ(c.cap(), 0u);
    EXPECT_EQ(c.try_send(v), op_status::would_block);
    EXPECT_EQ(c.try_recv(v), op_status::would_block);
    EXPECT_EQ(c.send_for(v, 1ms), op_status::timeout);
    EXPECT_EQ(c.recv_for(v, 1ms), op_status::timeout);
    joined stopper([&] { stop.request_stop(); });
    EXPECT_EQ(c.recv(v, stop.get_token()), op_status::canceled);
    EXPECT_EQ(c.send(v, stop.get_token()), op_status::canceled);
    stopper.join();
    chan<std::string> m;
    std::string s = "x";
    EXPECT_EQ(m.try_send(s), op_status::would_block);
    EXPECT_EQ(m.send_for(s, 1ms), op_status::timeout);
    EXPECT_EQ(m.recv_for(s, 1ms), op_status::timeout);
    EXPECT_EQ(s, "x");
    auto blocked = std::make_shared<std::atomic<bool>>(true);
    rt0::go([c, blocked]() mutable {
        c.recv();
        *blocked = false;
    });
    rt0::go([m, blocked]() mutable {
        m.send("never");
        *blocked = false;
    });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    EXPECT_TRUE(*blocked);
}

template <class F>
std::string closed_text(F f) {
    try {
        f();
    } catch (const rt0::closed_channel& e) {
        return e.what();
    }
    return "nothing thrown";
}

TEST(Chan, MisuseThrowsWithGosTexts) {
    chan<int> nil;
    EXPECT_EQ(closed_text([&] { nil.close(); }), "close of nil channel");
    chan<int> c(1);
    c.close();
    EXPECT_EQ(closed_text([&] { c.close(); }), "close of closed channel");
    EXPECT_EQ(closed_text([&] { c.send(1); }), "send on closed channel");
    chan<std::string> m(1);
    m.close();
    EXPECT_EQ(closed_text([&] { m.send("x"); }), "send on closed channel");
    static_assert(std::is_base_of_v<std::logic_error, rt0::closed_channel>);
}

TEST(Chan, AbsurdCapacities) {
    EXPECT_THROW(chan<int>(static_cast<std::size_t>(-1)), std::length_error);
    EXPECT_THROW(chan<char>(static_cast<std::size_t>(-1)), std::length_error);
    EXPECT_THROW(chan<std::string>(static_cast<std::size_t>(-1) / sizeof(std::string) + 2), std::length_error);
    EXPECT_THROW(chan<std::string>(static_cast<std::size_t>(-1) / 32), std::length_error);
    EXPECT_THROW(chan<char>((std::size_t{1} << 40) + 1), std::length_error);
    EXPECT_THROW(chan<big>(std::size_t{1} << 40), std::length_error);
    // A large one that may or may not be had: either it works or it says bad_alloc.
    try {
        chan<int> c(std::size_t{1} << 30);
        c.send(5);
        EXPECT_EQ(c.recv(), 5);
        EXPECT_EQ(c.cap(), std::size_t{1} << 30);
    } catch (const std::bad_alloc&) {
    }
    chan<std::string> wide(100'000);
    for (int i = 0; i < 100'000; i++) wide.send(std::to_string(i));
    for (int i = 0; i < 100'000; i++) ASSERT_EQ(wide.recv(), std::to_string(i));
}

TEST(Chan, LeftoversAfterClose) {
    chan<std::string> c(3);
    c.send("a");
    c.send("b");
    c.close();
    EXPECT_EQ(c.recv(), "a");
    std::string got;
    for (auto& s : c) got += s;
    EXPECT_EQ(got, "b");
    EXPECT_FALSE(c.recv());
}

// ---- handles and views

TEST(Chan, Handles) {
    chan<int> a(1), b(1), nil;
    chan<int> a2 = a;
    EXPECT_TRUE(a == a2);
    EXPECT_FALSE(a == b);
    EXPECT_TRUE(a != b);
    EXPECT_TRUE(nil == chan<int>());
    chan<int> moved = std::move(a2);
    EXPECT_FALSE(a2);
    EXPECT_TRUE(moved == a);
    a.send(4);
    a = b;
    EXPECT_EQ(moved.recv(), 4);
    moved = std::move(b);
    EXPECT_TRUE(moved == a);
    a = *&a;
    EXPECT_TRUE(a);
}

TEST(Chan, OneWayViews) {
    chan<int> c(2);
    rt0::sender<int> s = c;
    rt0::receiver<int> r = c;
    EXPECT_TRUE(s == rt0::sender<int>(c));
    EXPECT_FALSE(rt0::receiver<int>());
    auto produce = [](rt0::sender<int> out) {
        out.send(1);
        int two = 2;
        EXPECT_EQ(out.try_send(two), op_status::ok);
        EXPECT_EQ(out.send_for(two, 0ns), op_status::timeout);
        out.close();
    };
    produce(c);
    EXPECT_EQ(r.len(), 2u);
    EXPECT_EQ(s.cap(), 2u);
    int v = 0;
    EXPECT_EQ(r.try_recv(v), op_status::ok);
    EXPECT_EQ(v, 1);
    EXPECT_EQ(r.recv_for(v, 1s), op_status::ok);
    EXPECT_EQ(v, 2);
    EXPECT_EQ(r.recv(v, std::stop_token{}), op_status::closed);
    for (int x : r) FAIL() << x;
}

TEST(Chan, RangeForOfMoveOnly) {
    chan<std::unique_ptr<int>> c(3);
    for (int i = 0; i < 3; i++) c.send(std::make_unique<int>(i));
    c.close();
    int next = 0;
    for (std::unique_ptr<int> p : c) EXPECT_EQ(*p, next++);
    EXPECT_EQ(next, 3);
    static_assert(std::input_iterator<chan<int>::iterator>);
    static_assert(std::sentinel_for<chan<int>::sentinel, chan<int>::iterator>);
}

TEST(Chan, ChannelsThroughChannels) {
    chan<chan<int>> requests(0);
    joined server([requests]() mutable {
        int n = 0;
        for (auto& reply : requests) reply.send(n++);
    });
    for (int i = 0; i < 10; i++) {
        chan<int> reply(0);
        requests.send(reply);
        EXPECT_EQ(reply.recv(), i);
    }
    requests.close();
    server.join();
}

struct node {
    chan<node> next;  // of its own, incomplete type
    int v = 0;
};
TEST(Chan, RecursiveElementType) {
    chan<node> c(1);
    c.send(node{chan<node>(1), 3});
    auto n = c.recv();
    EXPECT_EQ(n->v, 3);
    EXPECT_EQ(n->next.cap(), 1u);
}

TEST(Chan, MadeBeforeMain) {
    EXPECT_EQ(g_plain.cap(), 10u);
    g_plain.send(1);
    EXPECT_EQ(g_plain.recv(), 1);
    joined s([] {
        for (int i = 0; i < 100; i++) g_moved.send(std::to_string(i));
        g_moved.close();
    });
    int n = 0;
    for (auto& x : g_moved) EXPECT_EQ(x, std::to_string(n++));
    EXPECT_EQ(n, 100);
    s.join();
}

// A goroutine that is parked on a channel keeps it, whoever drops the handles.
TEST(Chan, LastHandleGoesWhileSomebodyIsParked) {
    for (int round = 0; round < 20; round++) {
        auto* c = new chan<std::string>(2);
        auto* full = new chan<counted>(1);
        full->send(counted(1));
        joined timed([c] {
            std::string s;
            EXPECT_EQ(c->recv_for(s, 2ms), op_status::timeout);
        });
        joined sending([full] {
            counted v(2);
            EXPECT_EQ(full->send_for(v, 2ms), op_status::timeout);
            EXPECT_TRUE(v.valid);
        });
        for (int i = 0; i < 50; i++) rt0::this_goroutine::yield();
        // The goroutines are parked, or will find the time up; neither reads the handle again
        // once it is inside, which it is when the send above could be seen to block.
        c->~chan();
        full->~chan();
        timed.join();
        sending.join();
        ::operator delete(c);
        ::operator delete(full);
    }
    EXPECT_EQ(counted::alive, 0);
}

// ---- throwing moves

TEST(Chan, ThrowingOnTheWayIn) {
    const long before = throwing::alive;
    {
        chan<throwing> c(2);
        throwing v(5);
        throwing::fuse = 0;
        EXPECT_THROW(c.try_send(v), std::runtime_error);
        EXPECT_EQ(v.v, 5);
        throwing::fuse = 1;  // the first copy makes the argument, the second the box
        EXPECT_THROW(c.send(v), std::runtime_error);
        throwing::fuse = -1;
        EXPECT_EQ(c.len(), 0u);
        c.send(v);
        throwing::fuse = 0;
        EXPECT_THROW(c.recv(), std::runtime_error);
        throwing::fuse = -1;
        EXPECT_EQ(c.len(), 0u) << "the element has left the channel";
        c.send(v);
        throwing out(0);
        throwing::fuse = 0;
        EXPECT_THROW(c.try_recv(out), std::runtime_error);
        throwing::fuse = -1;
        EXPECT_EQ(out.v, 0);
        EXPECT_EQ(c.try_recv(out), op_status::would_block);
    }
    EXPECT_EQ(throwing::alive, before);
}

TEST(Chan, ThrowingMoveOnlyComesBack) {
    chan<throwing_move> c(1);
    c.send(throwing_move(1));
    throwing_move v(2);
    EXPECT_EQ(c.send_for(v, 1ms), op_status::timeout);
    EXPECT_EQ(v.get(), 2);
    throwing_move::fuse = 0;
    EXPECT_THROW(c.send_for(v, 1ms), std::runtime_error);
    EXPECT_EQ(v.get(), 2);
    throwing_move::fuse = -1;
    EXPECT_EQ(c.len(), 1u);
}

// ---- moves that take their time: the protocol of chan_moved.cc from the outside

// Its move parks the goroutine in the middle, at a gate that the test opens.
struct slow {
    struct gate {
        std::atomic<int> inside{0};
        chan<int> open{0};
    };
    std::shared_ptr<gate> at;  // null: move fast
    int v = 0;
    slow() = default;
    slow(int n, std::shared_ptr<gate> g) : at(std::move(g)), v(n) {}
    slow(slow&& o) noexcept : at(std::move(o.at)), v(o.v) {
        if (at) {
            at->inside++;
            at->open.recv();
        }
    }
    slow& operator=(slow&& o) noexcept {
        at = std::move(o.at);
        v = o.v;
        return *this;
    }
};
static_assert(rt0::detail::kind_of<slow> == rt0::detail::elem_kind::moved);

TEST(Chan, ASlowMoveHoldsNobodyUp) {
    chan<slow> c(2);
    auto gate = std::make_shared<slow::gate>();
    joined sender([&] {
        slow v(1, gate);
        EXPECT_EQ(c.try_send(v), op_status::ok);
    });
    until([&] { return gate->inside == 1; });
    // It is on its way in: not there for receivers, one place is taken.
    slow out;
    EXPECT_EQ(c.try_recv(out), op_status::would_block);
    slow two(2, nullptr), three(3, nullptr);
    EXPECT_EQ(c.try_send(two), op_status::ok);
    EXPECT_EQ(c.try_send(three), op_status::would_block);
    EXPECT_EQ(c.try_recv(out), op_status::ok);
    EXPECT_EQ(out.v, 2);
    gate->open.close();
    sender.join();
    EXPECT_EQ(c.try_recv(out), op_status::ok);
    EXPECT_EQ(out.v, 1);
}

TEST(Chan, CloseWaitsForAMoveOnItsWayIn) {
    chan<slow> c(2);
    auto gate = std::make_shared<slow::gate>();
    joined sender([&] {
        slow v(1, gate);
        EXPECT_EQ(c.try_send(v), op_status::ok);
    });
    until([&] { return gate->inside == 1; });
    c.close();
    slow out;
    EXPECT_EQ(c.try_recv(out), op_status::would_block) << "closed, but not drained: a send is under way";
    std::atomic<int> got{0}, none{0};
    std::vector<joined> receivers;
    for (int i = 0; i < 3; i++)
        receivers.emplace_back([&] {
            if (auto v = c.recv()) got += v->v;
            else none++;
        });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    EXPECT_EQ(got + none, 0);
    gate->open.close();
    sender.join();
    for (auto& r : receivers) r.join();
    EXPECT_EQ(got, 1);
    EXPECT_EQ(none, 2);
    EXPECT_EQ(c.try_recv(out), op_status::closed);
}

TEST(Chan, SendersWaitForANodeThatIsBeingEmptied) {
    chan<slow> c(1);
    auto gate = std::make_shared<slow::gate>();
    {
        slow v(1, nullptr);
        ASSERT_EQ(c.try_send(v), op_status::ok);
    }
    // Full; a sender waits.  A receiver takes the element out, slowly on the way of the
    // waiting sender's element into the node.
    joined sender([&] {
        slow v(2, gate);
        EXPECT_EQ(c.send(v, std::stop_token{}), op_status::ok);
    });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    std::atomic<int> first{0};
    joined receiver([&] { first = c.recv()->v; });
    until([&] { return gate->inside == 1; });
    EXPECT_FALSE(sender.done());
    slow out, more(3, nullptr);
    EXPECT_EQ(c.try_send(more), op_status::would_block);
    EXPECT_EQ(c.try_recv(out), op_status::would_block);
    joined late([&] { EXPECT_EQ(c.recv()->v, 2); });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    gate->open.close();
    receiver.join();
    sender.join();
    late.join();
    EXPECT_EQ(first, 1);
}

// ---- counting: one move in, one move out

TEST(Chan, MovesPerElement) {
    chan<counted> c(4);
    counted v(1), out(0);
    const long before = counted::moves;
    ASSERT_EQ(c.try_send(v), op_status::ok);
    EXPECT_EQ(counted::moves - before, 1);
    ASSERT_EQ(c.try_recv(out), op_status::ok);
    EXPECT_EQ(counted::moves - before, 2) << "into a temporary; then one assignment";
}

// ---- threads that rt0 did not make

TEST(Chan, ForeignThreads) {
    chan<std::string> in(1), out(0);
    std::atomic<bool> finished{false};
    std::thread t([=, &finished]() mutable {
        for (auto& s : in) out.send(s + "!");
        out.close();
        finished = true;
    });
    for (int i = 0; i < 100; i++) {
        in.send(std::to_string(i));
        EXPECT_EQ(out.recv(), std::to_string(i) + "!");
    }
    in.close();
    EXPECT_FALSE(out.recv());
    until([&] { return finished.load(); });
    t.join();
}

}  // namespace
