// Channels at their edges: nil, closed and absurd ones, handles and views, lifetimes,
// throwing moves, moves that take their time, foreign threads.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "mem/heap.h"
#include "tests/support/chan_support.h"

using namespace std::chrono_literals;
using namespace chantest;
using rt0::chan;
using rt0::op_status;

// Before main, on a thread without a goroutine.
static chan<int> g_plain(10);
static chan<std::string> g_moved(10);

namespace {

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
    static std::atomic<bool> blocked{true};  // outlives the goroutines, which never end
    rt0::go([c] {
        c.recv();
        blocked = false;
    });
    rt0::go([m] {
        m.send("never");
        blocked = false;
    });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    EXPECT_TRUE(blocked);
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
    using wide_elem = std::array<int, 500>;
    EXPECT_THROW(chan<wide_elem>(std::size_t{1} << 40), std::length_error);
    // More than the machine has, though not absurd everywhere.
    if (const std::size_t more = rt0::runtime::heap.memory_max; more < std::size_t{1} << 40) {
        EXPECT_THROW(chan<char>(more + 1), std::bad_alloc);
        EXPECT_THROW(chan<std::string>(more / sizeof(std::string)), std::bad_alloc);
    }
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

TEST(Chan, AConstHandleIsAHandle) {
    const chan<int> c(1);
    const rt0::sender<int> s = c;
    const rt0::receiver<int> r = c;
    s.send(1);
    EXPECT_EQ(r.recv(), 1);
    joined j([c] {
        c.send(2);  // a lambda's copy is const
        c.close();
    });
    for (int v : r) EXPECT_EQ(v, 2);
    j.join();
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
            EXPECT_EQ(c->recv_for(s, 20ms), op_status::timeout);
        });
        joined sending([full] {
            counted v(2);
            EXPECT_EQ(full->send_for(v, 20ms), op_status::timeout);
            EXPECT_TRUE(v.valid);
        });
        until([&] { return timed.done() || parked_on(c->raw()) == 1; });
        until([&] { return sending.done() || parked_on(full->raw()) == 1; });
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
    rt0::blocking([&] { t.join(); });
}

}  // namespace
