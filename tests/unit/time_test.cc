// timer, ticker, after.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <rt0/rt0.h>

#include "sched/find.h"

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;
using clock_type = std::chrono::steady_clock;

namespace {

template <class F>
void await(F cond) {
    while (!cond()) tg::sleep_for(200us);
}

bool empty(rt0::receiver<rt0::time_point> c) {
    rt0::time_point t;
    return c.try_recv(t) == rt0::op_status::would_block;
}

TEST(Timer, FiresOnceNotBeforeItsTime) {
    auto t0 = clock_type::now();
    rt0::timer t(5ms);
    std::optional<rt0::time_point> at = t.channel().recv();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - t0, 5ms);
    EXPECT_GE(clock_type::now(), *at);
    EXPECT_FALSE(t.stop());
    tg::sleep_for(10ms);
    EXPECT_TRUE(empty(t.channel()));
}

TEST(Timer, NonPositiveDurationsFireAtOnce) {
    for (auto d : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
        rt0::timer t(d);
        EXPECT_TRUE(t.channel().recv());
    }
}

TEST(Timer, StopKeepsItFromFiring) {
    rt0::timer t(1h);
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.stop());
    for (bool armed = false; !armed;) {  // once more if it fires before we come to stop it
        t.reset(2ms);
        armed = t.stop();
        EXPECT_TRUE(empty(t.channel()));
    }
    tg::sleep_for(5ms);
    EXPECT_TRUE(empty(t.channel()));
    rt0::timer far(std::chrono::nanoseconds::max());
    EXPECT_TRUE(far.stop());
}

TEST(Timer, AfterStopNothingStaleIsReceived) {
    rt0::timer t(0ns);
    await([&] { return t.channel().len() == 1; });
    EXPECT_FALSE(t.stop());  // it has fired
    EXPECT_TRUE(empty(t.channel()));
}

TEST(Timer, AfterResetNothingStaleIsReceived) {
    rt0::timer t(0ns);
    await([&] { return t.channel().len() == 1; });
    auto t0 = clock_type::now();
    EXPECT_FALSE(t.reset(5ms));
    std::optional<rt0::time_point> at = t.channel().recv();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - t0, 5ms);
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.reset(1ms));
    EXPECT_TRUE(t.channel().recv());
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.reset(1ms));  // armed anew after stop
    EXPECT_TRUE(t.channel().recv());
}

TEST(Timer, StopRacesWithFiring) {
    for (int i = 0; i < 500; i++) {
        rt0::timer t(std::chrono::microseconds(i % 50));
        rt0::wait_group wg;
        std::atomic<int> stopped{0};
        for (int k = 0; k < 3; k++)
            wg.go([t, &stopped]() mutable { stopped += t.stop(); });
        wg.wait();
        EXPECT_LE(stopped, 1);
        EXPECT_TRUE(empty(t.channel()));
        EXPECT_FALSE(t.stop());
    }
}

TEST(Timer, RunsAFunctionOnAGoroutine) {
    rt0::latch ran(1);
    std::uint64_t id = 0;
    rt0::timer t(1ms, [&] {
        id = tg::id();
        tg::yield();  // may park
        ran.count_down();
    });
    EXPECT_FALSE(t.channel());
    ran.wait();
    EXPECT_NE(id, tg::id());
    EXPECT_FALSE(t.stop());
}

TEST(Timer, AFunctionRunsAgainAfterReset) {
    rt0::semaphore s(0);
    rt0::timer t(1ms, [&] { s.release(); });
    for (int i = 0; i < 5; i++) {
        s.acquire();
        EXPECT_FALSE(t.reset(1ms));
    }
    s.acquire();
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(s.acquire_for(5ms));
}

TEST(Timer, AFunctionMayUseItsOwnTimer) {
    rt0::latch three(3);
    auto t = std::make_shared<std::optional<rt0::timer>>();
    int left = 3;
    t->emplace(1ms, [&, t] {
        if (--left > 0) (*t)->reset(1ms);
        three.count_down();
    });
    three.wait();
    (*t)->stop();
    t->reset();  // breaks the circle
}

TEST(Timer, SendsOnAChannelOfTheUsers) {
    rt0::chan<rt0::time_point> c(2);
    rt0::timer a(1ms, c), b(2ms, c);
    EXPECT_TRUE(c.recv());
    EXPECT_TRUE(c.recv());
    EXPECT_TRUE(a.channel() == rt0::receiver<rt0::time_point>(c));
    rt0::chan<rt0::time_point> meet(0);  // nobody there: the value is lost, nobody blocks
    rt0::timer lost(0ns, meet);
    tg::sleep_for(5ms);
    rt0::timer d(2ms, meet);
    for (rt0::time_point at; meet.recv_for(at, 50ms) != rt0::op_status::ok;) d.reset(2ms);  // it fired before we received
    rt0::chan<rt0::time_point> shut(1);
    shut.close();
    rt0::timer e(0ns, shut);
    tg::sleep_for(5ms);
}

TEST(Timer, TheLastHandleStopsIt) {
    std::atomic<int> ran{0};
    auto token = std::make_shared<int>(0);
    {
        rt0::timer t(1h, [&ran, token] { ran++; });
        rt0::timer copy = t;
        EXPECT_EQ(token.use_count(), 2);
    }
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_EQ(ran, 0);
}

// Its function may run still, and may have been there when the timer was armed once more.
TEST(Timer, TheLastHandleStopsItThoughItsFunctionRuns) {
    std::atomic<int> begun{0}, ended{0};
    rt0::chan<int> go_on(0);
    {
        rt0::timer t(0ns, [&, go_on]() mutable {
            if (begun++ == 0) go_on.recv();
            ended++;
        });
        await([&] { return begun == 1; });
        t.reset(1h);
        EXPECT_TRUE(rt0::runtime::timers_pending());
    }
    EXPECT_FALSE(rt0::runtime::timers_pending());
    go_on.close();
    await([&] { return ended == begun; });
}

TEST(Timer, DestructionRacesWithFiring) {
    auto token = std::make_shared<int>(0);
    std::atomic<int> ran{0};
    for (int i = 0; i < 1000; i++) {
        rt0::timer t(std::chrono::microseconds(i % 30), [&ran, token] { ran++; });
        if (i % 2) tg::yield();
        if (i % 5 == 0) tg::sleep_for(20us);
    }
    await([&] { return token.use_count() == 1; });  // every function was freed
    EXPECT_LE(ran, 1000);
}

TEST(Timer, ManyAtOnceNoneEarly) {
    constexpr int n = 2000;
    std::atomic<int> fired{0}, early{0};
    std::vector<rt0::timer> ts;
    for (int i = 0; i < n; i++) {
        const auto in = std::chrono::microseconds((i * 7919) % 20000);
        ts.emplace_back(in, [&, due = clock_type::now() + in] {
            if (clock_type::now() < due) early++;
            fired++;
        });
    }
    await([&] { return fired == n; });
    EXPECT_EQ(early, 0);
}

TEST(Ticker, TicksAndDropsWhatIsNotReceived) {
    auto t0 = clock_type::now();
    rt0::ticker t(2ms);
    rt0::receiver<rt0::time_point> c = t.channel();
    for (int i = 1; i <= 3; i++) {
        auto at = c.recv();
        ASSERT_TRUE(at);
        EXPECT_GE(*at - t0, i * 2ms);
    }
    await([&] { return c.len() == 1; });
    tg::sleep_for(20ms);
    EXPECT_EQ(c.len(), 1u);  // not ten
    t.stop();
    EXPECT_TRUE(empty(c));
    tg::sleep_for(10ms);
    EXPECT_TRUE(empty(c));
    t.reset(1ms);
    EXPECT_TRUE(c.recv());
    EXPECT_TRUE(c.recv());
}

TEST(Ticker, RefusesPeriodsThatAreNone) {
    EXPECT_THROW(rt0::ticker(0ns), std::invalid_argument);
    EXPECT_THROW(rt0::ticker(-1s), std::invalid_argument);
    rt0::ticker t(1h);
    EXPECT_THROW(t.reset(0ns), std::invalid_argument);
    rt0::ticker copy = t;
    copy.stop();
    rt0::ticker huge(std::chrono::nanoseconds::max());
}

TEST(After, GivesTheTimeOnce) {
    auto t0 = clock_type::now();
    auto at = rt0::after(3ms).recv();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - t0, 3ms);
    EXPECT_TRUE(rt0::after(-1h).recv());
    for (int i = 0; i < 1000; i++) (void)rt0::after(std::chrono::microseconds(i));  // nobody waits
    tg::sleep_for(3ms);
}

TEST(Sleep, NotShorterThanAsked) {
    for (auto d : {0ns, 1ns, 50000ns, 2000000ns}) {
        auto t0 = clock_type::now();
        tg::sleep_for(d);
        EXPECT_GE(clock_type::now() - t0, d);
    }
    tg::sleep_for(-1h);
    tg::sleep_for(std::chrono::nanoseconds::min());
    auto end = clock_type::now() + 2ms;
    tg::sleep_until(end);
    EXPECT_GE(clock_type::now(), end);
    auto wall = std::chrono::system_clock::now() + 2ms;
    tg::sleep_until(wall);
    EXPECT_GE(std::chrono::system_clock::now(), wall);
    tg::sleep_until(clock_type::now() - 1h);
}

TEST(Sleep, ManySleepersAllWake) {
    constexpr int n = 3000;
    std::atomic<int> woke{0};
    rt0::wait_group wg;
    for (int i = 0; i < n; i++)
        wg.go([&, i] {
            tg::sleep_for(std::chrono::microseconds((i * 31) % 5000));
            woke++;
        });
    wg.wait();
    EXPECT_EQ(woke, n);
}

}  // namespace
