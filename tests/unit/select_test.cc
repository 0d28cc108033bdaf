// select: every kind of case, waiting, races, values that throw, lifetimes.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/select.h>

#include "tests/support/chan_support.h"

using namespace std::chrono_literals;
using namespace chantest;
using rt0::after;
using rt0::chan;
using rt0::done;
using rt0::otherwise;

namespace {

// ---- one case at a time

TEST(Select, RecvReady) {
    chan<int> c(1);
    c.send(5);
    int got = 0;
    EXPECT_EQ(rt0::select(rt0::recv(c, [&](std::optional<int> v) { got = *v; })), 0u);
    EXPECT_EQ(got, 5);
    c.close();
    bool none = false;
    EXPECT_EQ(rt0::select(rt0::recv(c, [&](std::optional<int> v) { none = !v; })), 0u);
    EXPECT_TRUE(none);
}

TEST(Select, SendReady) {
    chan<std::string> c(1);
    bool ran = false;
    EXPECT_EQ(rt0::select(rt0::send(c, "text", [&] { ran = true; })), 0u);
    EXPECT_TRUE(ran);
    EXPECT_EQ(c.recv(), "text");
}

TEST(Select, SendWithoutHandlerAndRecvWithoutArgument) {
    chan<int> c(1);
    EXPECT_EQ(rt0::select(rt0::send(c, 3)), 0u);
    int ran = 0;
    EXPECT_EQ(rt0::select(rt0::recv(c, [&] { ran++; })), 0u);
    EXPECT_EQ(ran, 1);
}

TEST(Select, OtherwiseOnlyWhenNothingIsReady) {
    chan<int> c(1);
    EXPECT_EQ(rt0::select(rt0::recv(c, [](std::optional<int>) { FAIL(); }), otherwise([] {})), 1u);
    c.send(1);
    for (int i = 0; i < 100; i++) {
        EXPECT_EQ(rt0::select(otherwise([] { FAIL(); }), rt0::recv(c, [&](std::optional<int> v) { c.send(*v); })), 1u);
        EXPECT_EQ(rt0::select(otherwise([] {}), rt0::send(c, 2, [] { FAIL(); })), 0u);
    }
}

TEST(Select, AfterRunsWhenItsTimeHasCome) {
    chan<int> c;
    EXPECT_EQ(rt0::select(rt0::recv(c, [](std::optional<int>) { FAIL(); }), after(1ms, [] {})), 1u);
    EXPECT_EQ(rt0::select(after(1h, [] { FAIL(); }), after(1ms, [] {}), after(1h, [] { FAIL(); })), 1u);
    EXPECT_EQ(rt0::select(after(0ms, [] {})), 0u);
    EXPECT_EQ(rt0::select(after(-1h, [] {}), otherwise([] { FAIL(); })), 0u);
    EXPECT_EQ(rt0::select(after(std::chrono::hours::max(), [] { FAIL(); }), after(0.0005s, [] {})), 1u);
    const auto t = std::chrono::steady_clock::now();
    rt0::select(after(3ms, [] {}));
    EXPECT_GE(std::chrono::steady_clock::now() - t, 3ms) << "never early";
}

TEST(Select, AReadyChannelComesBeforeTheClock) {
    chan<int> c(1);
    for (int i = 0; i < 200; i++) {
        c.send(i);
        EXPECT_EQ(rt0::select(after(0ns, [] { FAIL(); }), rt0::recv(c, [](std::optional<int>) {})), 1u);
    }
}

TEST(Select, DoneBeforeDuringNever) {
    std::stop_source before, during, never;
    before.request_stop();
    EXPECT_EQ(rt0::select(done(before.get_token(), [] {}), done(never.get_token(), [] { FAIL(); })), 0u);
    joined s([&] {
        settle();
        during.request_stop();
    });
    EXPECT_EQ(rt0::select(done(never.get_token(), [] { FAIL(); }), done(during.get_token(), [] {})), 1u);
    s.join();
    EXPECT_EQ(rt0::select(done(std::stop_token{}, [] { FAIL(); }), after(1ms, [] {})), 1u);
    EXPECT_EQ(rt0::select(done(never.get_token(), [] { FAIL(); }), otherwise([] {})), 1u);
}

TEST(Select, StopFromAForeignThread) {
    for (int i = 0; i < 20; i++) {
        std::stop_source stop;
        std::thread t([&] { stop.request_stop(); });
        chan<int> c;
        EXPECT_EQ(rt0::select(rt0::recv(c, [](std::optional<int>) {}), done(stop.get_token(), [] {})), 1u);
        rt0::blocking([&] { t.join(); });
    }
}

// The select ends by its channel while a thread that has no P runs the stop callback:
// neither may wait for what the other has.
TEST(Select, StopFromAForeignThreadAgainstAChannel) {
    for (int i = 0; i < 300; i++) {
        std::stop_source stop;
        chan<int> c(0);
        std::atomic<bool> go{false};
        std::thread t([&] {
            while (!go) {}
            stop.request_stop();
        });
        joined s([&, c] {
            go = true;
            int v = 1;
            c.try_send(v);
        });
        const std::size_t k = rt0::select(rt0::recv(c, [](std::optional<int>) {}), done(stop.get_token(), [] {}));
        EXPECT_LT(k, 2u);
        s.join();
        rt0::blocking([&] { t.join(); });
    }
}

TEST(Select, NilChannelsAreNeverChosen) {
    chan<int> nil, c(1);
    c.send(1);
    for (int i = 0; i < 50; i++)
        EXPECT_EQ(rt0::select(rt0::recv(nil, [](std::optional<int>) { FAIL(); }), rt0::send(nil, 1, [] { FAIL(); }),
                              rt0::recv(c, [&](std::optional<int> v) { c.send(*v); })),
                  2u);
    EXPECT_EQ(rt0::select(rt0::recv(nil, [](std::optional<int>) { FAIL(); }), otherwise([] {})), 1u);
}

TEST(Select, WithNothingToWaitForBlocks) {
    static std::atomic<int> passed;  // outlives the goroutines, which never end
    rt0::go([] {
        rt0::select();
        passed++;
    });
    rt0::go([] {
        chan<int> nil;
        rt0::select(rt0::recv(nil, [](std::optional<int>) {}), rt0::send(nil, 2, [] {}));
        passed++;
    });
    rt0::go([] {
        rt0::select_set none;
        none.select();
        passed++;
    });
    settle();
    EXPECT_EQ(passed, 0);
}

TEST(Select, SendOnClosedThrows) {
    chan<int> c(1), nil;
    c.close();
    EXPECT_THROW(rt0::select(rt0::send(c, 1, [] { FAIL(); })), rt0::closed_channel);
    EXPECT_THROW(rt0::select(rt0::recv(nil, [](std::optional<int>) {}), rt0::send(c, 1, [] { FAIL(); })),
                 rt0::closed_channel);
    // Closed while it waits.
    chan<std::string> m(0);
    joined closer([m]() mutable {
        settle();
        m.close();
    });
    EXPECT_THROW(rt0::select(rt0::send(m, "x", [] { FAIL(); }), after(1h, [] {})), rt0::closed_channel);
    closer.join();
}

TEST(Select, HandlersMayThrowAndSelect) {
    chan<int> c(1);
    c.send(1);
    EXPECT_THROW(rt0::select(rt0::recv(c, [](std::optional<int>) { throw std::runtime_error("handler"); })),
                 std::runtime_error);
    c.send(2);
    int inner = 0;
    rt0::select(rt0::recv(c, [&](std::optional<int> v) {
        c.send(*v);
        rt0::select(rt0::recv(c, [&](std::optional<int> w) { inner = *w; }));
    }));
    EXPECT_EQ(inner, 2);
}

// ---- parked

TEST(Select, ParkedReceiverIsServed) {
    chan<std::string> a(0), b(0);
    joined s([=]() mutable {
        for (int i = 0; i < 100; i++) (i % 2 ? a : b).send(std::to_string(i));
    });
    for (int i = 0; i < 100; i++) {
        std::string got;
        const std::size_t k = rt0::select(rt0::recv(a, [&](std::optional<std::string> v) { got = *v; }),
                                          rt0::recv(b, [&](std::optional<std::string> v) { got = *v; }));
        EXPECT_EQ(got, std::to_string(i));
        EXPECT_EQ(k, i % 2 ? 0u : 1u);
    }
    s.join();
}

TEST(Select, ParkedSenderIsServed) {
    chan<std::unique_ptr<int>> a(0), b(0);
    joined r([=]() mutable {
        for (int i = 0; i < 100; i++) EXPECT_EQ(**(i % 2 ? a : b).recv(), i);
    });
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(rt0::select(rt0::send(a, std::make_unique<int>(i)), rt0::send(b, std::make_unique<int>(i))),
                  i % 2 ? 0u : 1u);
    r.join();
}

TEST(Select, NeverMeetsItself) {
    chan<int> c(0);
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(rt0::select(rt0::recv(c, [](std::optional<int>) { FAIL(); }), rt0::send(c, 1, [] { FAIL(); }),
                              after(100us, [] {})),
                  2u);
    // Two such selects pair up, each with the other.
    std::atomic<int> sent{0}, received{0};
    auto both = [&, c] {
        for (int i = 0; i < 500; i++)
            rt0::select(rt0::recv(c, [&](std::optional<int> v) { received += *v == 1; }),
                        rt0::send(c, 1, [&] { sent++; }));
    };
    joined x(both), y(both);
    x.join();
    y.join();
    EXPECT_EQ(sent, 500);
    EXPECT_EQ(received, 500);
}

TEST(Select, SameChannelTwice) {
    chan<std::string> c(0);
    joined s([c]() mutable {
        for (int i = 0; i < 200; i++) c.send("x");
    });
    int got = 0;
    for (int i = 0; i < 200; i++)
        rt0::select(rt0::recv(c, [&](std::optional<std::string> v) { got += *v == "x"; }),
                    rt0::recv(c, [&](std::optional<std::string> v) { got += *v == "x"; }));
    EXPECT_EQ(got, 200);
    s.join();
}

TEST(Select, CloseWakesSelects) {
    chan<int> c(0), other(0);
    std::atomic<int> none{0};
    std::vector<joined> all;
    for (int i = 0; i < 10; i++)
        all.emplace_back([&, c] {
            rt0::select(rt0::recv(c, [&](std::optional<int> v) { none += !v; }),
                        rt0::recv(other, [](std::optional<int>) {}));
        });
    settle();
    c.close();
    for (auto& j : all) j.join();
    EXPECT_EQ(none, 10);
}

// Timer, token and partners race; whoever wins, nothing is lost and nothing comes twice.
TEST(Select, RacesOfEverything) {
    constexpr int rounds = 1500;
    chan<counted> c(0);
    std::atomic<long> sent{0};
    const long before = counted::alive;
    {
        joined s([&, c]() mutable {
            for (int i = 0; i < rounds; i++) {
                counted v(i);
                if (c.send_for(v, std::chrono::microseconds(i % 7 * 5)) == rt0::op_status::ok) sent++;
                else EXPECT_TRUE(v.valid);
            }
        });
        long got = 0, timeouts = 0, stops = 0;
        for (int i = 0; !s.done(); i++) {
            std::stop_source stop;
            std::shared_ptr<joined> stopper;
            if (i % 16 == 0) stopper = std::make_shared<joined>([&] { stop.request_stop(); });
            rt0::select(rt0::recv(c, [&](std::optional<counted> v) { got += v->valid; }),
                        done(stop.get_token(), [&] { stops++; }),
                        after(std::chrono::microseconds(i % 5 * 10), [&] { timeouts++; }));
            if (stopper) stopper->join();
        }
        for (counted v; c.try_recv(v) == rt0::op_status::ok;) got++;
        EXPECT_EQ(got, sent);
    }
    EXPECT_EQ(counted::alive, before);
}

TEST(Select, MoreThanInlineCases) {
    chan<int> nil, c(1);
    c.send(8);
    auto no = [](std::optional<int>) { FAIL(); };
    using rt0::recv;
    int got = 0;
    EXPECT_EQ(rt0::select(recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no),
                          recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no),
                          recv(nil, no), recv(nil, no), recv(nil, no), recv(nil, no),
                          done(std::stop_source().get_token(), [] { FAIL(); }),
                          recv(c, [&](std::optional<int> v) { got = *v; })),
              17u);
    EXPECT_EQ(got, 8);
}

// ---- values that throw, and lifetimes

TEST(Select, BoxedElements) {
    const long before = throwing::alive;
    {
        chan<throwing> c(1);
        rt0::select(rt0::send(c, throwing(3), [] {}));
        int got = 0;
        rt0::select(rt0::recv(c, [&](std::optional<throwing> v) { got = v->v; }));
        EXPECT_EQ(got, 3);
        throwing::fuse = 1;  // the first copy makes the case, the second the box
        EXPECT_THROW(rt0::select(rt0::send(c, throwing(4), [] { FAIL(); })), std::runtime_error);
        throwing::fuse = -1;
        EXPECT_EQ(c.len(), 0u);
        EXPECT_EQ(rt0::select(rt0::recv(c, [](std::optional<throwing>) { FAIL(); }), otherwise([] {})), 1u);
        // Not chosen: the box is freed with the case.
        c.send(throwing(5));
        EXPECT_EQ(rt0::select(rt0::send(c, throwing(6), [] { FAIL(); }), after(100us, [] {})), 1u);
    }
    EXPECT_EQ(throwing::alive, before);
}

TEST(Select, ValuesThatDoNotGoDieWithTheirCase) {
    const long before = counted::alive;
    {
        chan<counted> c(1);
        c.send(counted(1));
        EXPECT_EQ(rt0::select(rt0::send(c, counted(2), [] { FAIL(); }), after(100us, [] {})), 1u);
        EXPECT_EQ(counted::alive, before + 1);
        EXPECT_EQ(rt0::select(rt0::send(c, counted(3), [] { FAIL(); }),
                              rt0::recv(c, [](std::optional<counted> v) { EXPECT_EQ(v->v, 1); })),
                  1u);
        EXPECT_EQ(counted::alive, before);
    }
    EXPECT_EQ(counted::alive, before);
}

TEST(Select, OwnsATemporaryChannel) {
    auto make = [] {
        chan<int> c(1);
        c.send(9);
        return c;
    };
    auto k = rt0::recv(make(), [](std::optional<int> v) { EXPECT_EQ(*v, 9); });
    rt0::select(k);
    rt0::select(rt0::recv(rt0::receiver<int>(make()), [](std::optional<int> v) { EXPECT_EQ(*v, 9); }));
    rt0::select(rt0::send(rt0::sender<int>(chan<int>(1)), 1, [] {}));
}

// As for a receive: called as what they are, whatever their qualifier.
TEST(Select, HandlersOfAllKinds) {
    struct lvalue {
        int& n;
        void operator()() & { n++; }
    };
    struct other {
        int& n;
        void operator()() const { n++; }
    };
    int n = 0;
    std::stop_source stop;
    stop.request_stop();
    rt0::select(after(0ns, lvalue{n}));
    rt0::select(done(stop.get_token(), lvalue{n}));
    rt0::select(otherwise(lvalue{n}));
    rt0::select(after(0ns, other{n}), rt0::recv(chan<int>(), &std::optional<int>::has_value));
    EXPECT_EQ(n, 4);
    chan<int> c(1);
    c.send(1);
    EXPECT_EQ(rt0::select(rt0::recv(c, &std::optional<int>::has_value)), 0u);
    EXPECT_EQ(c.len(), 0u);
}

TEST(Select, OneWayViews) {
    chan<long> c(1);
    rt0::sender<long> s = c;
    rt0::receiver<long> r = c;
    rt0::select(rt0::send(s, 4, [] {}));
    rt0::select(rt0::recv(r, [](std::optional<long> v) { EXPECT_EQ(*v, 4); }));
}

// The last handle goes while a select is parked on the channel: the select frees it.
TEST(Select, LastHandleGoesWhileASelectIsParked) {
    const long before = counted::alive;
    for (int i = 0; i < 20; i++) {
        auto* c = new chan<counted>(1);
        c->send(counted(1));
        joined j([raw = c] {
            auto no = [] { FAIL(); };
            EXPECT_EQ(rt0::select(rt0::send(*raw, counted(2), no), rt0::send(*raw, counted(3), no), after(20ms, [] {})),
                      2u);
        });
        until([&] { return j.done() || parked_on(c->raw()) == 2; });
        delete c;
        j.join();
    }
    EXPECT_EQ(counted::alive, before);
}

}  // namespace
