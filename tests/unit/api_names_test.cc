// A program's own names and types beside rt0's: found by argument-dependent lookup, they must not take over what rt0 calls
// inside; results that must not be dropped may be dropped by rt0; braces stand for an element.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>

#include <rt0/rt0.h>

using namespace std::chrono_literals;

namespace own {

struct rect {};
// Its move may throw: it travels in a box.
struct widget {
    int n = 0;
    explicit widget(int k) : n(k) {}
    widget(const widget& w) : n(w.n) {}
    widget& operator=(const widget& w) {
        n = w.n;
        return *this;
    }
};

[[maybe_unused]] rect box(const widget&) { return {}; }
template <class T>
[[maybe_unused]] std::unique_ptr<T> box(T&) {
    return nullptr;
}
template <class F>
[[maybe_unused]] void spawn(const rt0::go_options&, F&&) {}

// More than a goroutine's own stack takes in: it is boxed, too.
struct big {
    char c[300] = {};
    rt0::chan<int> done;
    void operator()() { done.send(1); }
};
[[maybe_unused]] void call_last(big&) {}

struct point {
    int x, y;
};

}  // namespace own

namespace {

TEST(ApiNames, OfTheProgramAreItsOwn) {
    rt0::chan<own::widget> c(2);
    own::widget w(7);
    ASSERT_EQ(c.try_send(w), rt0::op_status::ok);
    ASSERT_EQ(c.send_for(w, 1s), rt0::op_status::ok);
    EXPECT_EQ(c.try_send(w), rt0::op_status::would_block);
    EXPECT_EQ(w.n, 7) << "it did not go";
    EXPECT_EQ(c.recv()->n, 7);
    own::widget got(0);
    EXPECT_EQ(c.try_recv(got), rt0::op_status::ok);
    EXPECT_EQ(got.n, 7);

    rt0::chan<std::deque<own::widget>> d(1);
    std::deque<own::widget> some(3, own::widget(1));
    ASSERT_EQ(d.try_send(some), rt0::op_status::ok);
    EXPECT_EQ(d.recv()->size(), 3u);

    own::big b;
    b.done = rt0::chan<int>(1);
    rt0::go(b);
    EXPECT_EQ(b.done.recv(), 1);
}

// A result that its type forbids to drop: nobody asked for it here.
TEST(ApiNames, ResultsMayBeDropped) {
    std::atomic<int> ran{0};
    auto f = [&ran](auto&&...) { return rt0::spawn([&ran] { ran++; }); };
    rt0::chan<int> c(1);
    rt0::go(f);
    rt0::wait_group all;
    all.go(f);
    all.wait();
    {
        rt0::nursery n;
        n.go([&] { return f(); });
        n.go([&](std::stop_token) { return f(); });
    }
    rt0::once o;
    o.call(f);
    rt0::barrier b(1, [&]() noexcept { return f(); });
    b.arrive_and_wait();
    rt0::select(rt0::recv(c, f), rt0::otherwise(f));
    rt0::select(rt0::send(c, 1, f));
    rt0::select(rt0::recv(c, [&](std::optional<int>) { return f(); }));
    rt0::select(rt0::recv(rt0::chan<int>(), f), rt0::after(1us, f));
    rt0::timer t(1us, f);
    while (ran < 11) rt0::this_goroutine::sleep_for(10us);
    EXPECT_EQ(ran, 11);
}

TEST(ApiNames, BracesAreAnElement) {
    rt0::chan<own::point> c(2);
    c.send({1, 2});
    rt0::select(rt0::send(c, {3, 4}, [] {}));
    EXPECT_EQ(c.recv()->y, 2);
    EXPECT_EQ(c.recv()->y, 4);
    rt0::chan<own::rect> done(1);
    rt0::select(rt0::send(done, {}, [] {}));
    EXPECT_TRUE(done.recv().has_value());
}

// Any duration of the standard's; one that is longer than nanoseconds can say is for ever, not at once.
TEST(ApiNames, DurationsOfAnyUnit) {
    using std::chrono::hours, std::chrono::duration;
    rt0::mutex m;
    rt0::shared_mutex sm;
    EXPECT_TRUE(std::unique_lock(m, 0.5s).owns_lock());
    EXPECT_TRUE(std::unique_lock(sm, 1min).owns_lock());
    m.lock();
    EXPECT_FALSE(m.try_lock_for(0.0001s));
    EXPECT_FALSE(m.try_lock_for(hours::min()));
    m.unlock();
    rt0::chan<int> c(0);
    int v = 0;
    rt0::go([&] {
        rt0::this_goroutine::sleep_for(duration<double, std::milli>(2));
        v = 1;
        c.send(2);
        m.lock();
    });
    int got = 0;
    EXPECT_EQ(c.recv_for(got, hours::max()), rt0::op_status::ok);
    EXPECT_EQ(got + v, 3);
    EXPECT_EQ(rt0::receiver<int>(c).recv_for(got, 0.0001s), rt0::op_status::timeout);
    EXPECT_EQ(rt0::sender<int>(c).send_for(got, 1us), rt0::op_status::timeout);
    EXPECT_FALSE(rt0::semaphore(0).acquire_for(hours::min()));
    rt0::condition_variable cv;
    rt0::mutex other;
    std::unique_lock l(other);
    bool woken = false;
    rt0::go([&] {
        std::lock_guard g(other);
        woken = true;
        cv.notify_one();
    });
    EXPECT_TRUE(cv.wait_for(l, hours::max(), [&] { return woken; }));
    EXPECT_EQ(cv.wait_for(l, 0.0001s), std::cv_status::timeout);
}

TEST(ApiNames, TimersOfAnyUnit) {
    using std::chrono::hours, std::chrono::seconds;
    rt0::time_point at;
    EXPECT_EQ(rt0::timer(seconds::max()).channel().recv_for(at, 2ms), rt0::op_status::timeout);
    EXPECT_TRUE(rt0::timer(0.001s).channel().recv().has_value());
    EXPECT_TRUE(rt0::timer(hours::min()).channel().recv().has_value());
    rt0::chan<rt0::time_point> to(1);
    rt0::timer t(1h, to);
    EXPECT_TRUE(t.reset(0.001s));
    EXPECT_TRUE(to.recv().has_value());
    rt0::wait_group ran;
    ran.add();
    rt0::timer f(0.001s, [&] { ran.done(); });
    ran.wait();
    rt0::ticker ticks(hours::max());
    ticks.reset(0.001s);
    EXPECT_TRUE(ticks.channel().recv().has_value());
    EXPECT_THROW(rt0::ticker{hours::min()}, std::invalid_argument);
    EXPECT_TRUE(rt0::after(0.001s).recv().has_value());
    EXPECT_EQ(rt0::after(hours::max()).recv_for(at, 2ms), rt0::op_status::timeout);
    EXPECT_FALSE(rt0::context().child(hours::max()).stop_token().stop_requested());
    EXPECT_TRUE(rt0::context().child(hours::min()).stop_token().stop_requested());
}

}  // namespace
