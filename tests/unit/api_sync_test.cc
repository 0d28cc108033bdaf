// The public interface as it is promised to programs: the sections on synchronisation and time,
// used as a program would.  The rest is in api_test.cc, what is fatal in tests/crash.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <rt0/rt0.h>

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;
using ns = std::chrono::nanoseconds;

namespace {

template <class T, class U>
constexpr bool same = std::is_same_v<T, U>;
// Of the overloads of a function one has exactly this type.
template <class F>
consteval bool one_is(F) {
    return true;
}

// ---- signatures
static_assert(one_is<bool (rt0::mutex::*)(ns)>(&rt0::mutex::try_lock_for));
static_assert(one_is<bool (rt0::semaphore::*)(ns)>(&rt0::semaphore::acquire_for));
static_assert(same<rt0::time_point, std::chrono::steady_clock::time_point>);
static_assert(same<decltype(&rt0::timer::stop), bool (rt0::timer::*)()>);
static_assert(one_is<bool (rt0::timer::*)(ns)>(&rt0::timer::reset));
static_assert(same<decltype(&rt0::timer::channel), rt0::receiver<rt0::time_point> (rt0::timer::*)() const>);
static_assert(same<decltype(&rt0::ticker::channel), rt0::receiver<rt0::time_point> (rt0::ticker::*)() const>);
static_assert(one_is<void (rt0::ticker::*)(ns)>(&rt0::ticker::reset));
static_assert(std::default_initializable<rt0::context> && std::copyable<rt0::context>);
static_assert(same<decltype(&rt0::context::cancel), void (rt0::context::*)() const>);
static_assert(same<decltype(&rt0::context::stop_token), std::stop_token (rt0::context::*)() const>);
static_assert(same<decltype(std::declval<const rt0::context&>().deadline()), std::optional<rt0::time_point>>);
static_assert(same<decltype(std::declval<const rt0::context&>().value<int>(std::string_view())), const int*>);

template <class F>
void until(F done) {
    while (!done()) tg::yield();
}

TEST(ApiSync, Mutex) {
    rt0::mutex m;
    long n = 0;
    {
        rt0::nursery all;
        for (int k = 0; k < 4; k++)
            all.go([&] {
                for (int i = 0; i < 500; i++) {
                    std::unique_lock l(m);
                    n++;
                }
            });
    }
    EXPECT_EQ(n, 2000);
    std::scoped_lock both(m);
    EXPECT_FALSE(m.try_lock());
    EXPECT_FALSE(m.try_lock_for(1ms));
    EXPECT_FALSE(m.try_lock_for(-1ns));
    std::thread t([&] { EXPECT_FALSE(m.try_lock()); });
    rt0::blocking([&] { t.join(); });
}

TEST(ApiSync, SharedMutex) {
    rt0::shared_mutex m;
    {
        std::shared_lock a(m), b(m);
        EXPECT_FALSE(m.try_lock());
        std::atomic<bool> written{false};
        auto writer = rt0::spawn([&] {
            std::lock_guard l(m);
            written = true;
        });
        // A waiting writer holds new readers back.
        until([&] {
            if (!m.try_lock_shared()) return true;
            m.unlock_shared();
            return false;
        });
        EXPECT_FALSE(written);
        a.unlock();
        b.unlock();
        writer.join();
        EXPECT_TRUE(written);
    }
    m.lock();
    EXPECT_FALSE(m.try_lock_shared());
    m.unlock();
}

TEST(ApiSync, ConditionVariable) {
    rt0::mutex m;
    rt0::condition_variable cv;
    int stage = 0;
    auto t = rt0::spawn([&] {
        std::unique_lock l(m);
        stage = 1;
        cv.notify_one();
        cv.wait(l, [&] { return stage == 2; });
        stage = 3;
        cv.notify_all();
    });
    std::unique_lock<rt0::mutex> l(m);
    while (stage != 1) cv.wait(l);
    EXPECT_EQ(cv.wait_for(l, 1ms), std::cv_status::timeout);
    EXPECT_FALSE(cv.wait_for(l, 1ms, [&] { return stage == 3; }));
    stage = 2;
    cv.notify_one();
    EXPECT_TRUE(cv.wait_for(l, 1h, [&] { return stage == 3; }));
    l.unlock();
    t.join();
}

TEST(ApiSync, WaitGroup) {
    rt0::wait_group w;
    std::atomic<int> n{0};
    w.add();
    w.add(2);
    for (int i = 0; i < 3; i++)
        rt0::go([&] {
            n++;
            w.done();
        });
    w.go([&] { n++; });
    w.wait();
    EXPECT_EQ(n, 4);
}

TEST(ApiSync, Once) {
    rt0::once o, failing;
    int calls = 0;
    bool seen[2] = {};
    auto first = rt0::spawn([&] {
        o.call([&] {
            for (int i = 0; i < 20; i++) tg::yield();
            calls++;
        });
        seen[0] = calls == 1;
    });
    o.call([&] { calls++; });  // first or second: it returns when the call is over
    seen[1] = calls == 1;
    first.join();
    EXPECT_TRUE(seen[0] && seen[1]);
    EXPECT_THROW(failing.call([] { throw std::runtime_error("f"); }), std::runtime_error);
    failing.call([] { FAIL() << "a throwing f counts as done"; });
}

TEST(ApiSync, Semaphore) {
    rt0::semaphore s(1);
    s.acquire();
    EXPECT_FALSE(s.try_acquire());
    EXPECT_FALSE(s.acquire_for(1ms));
    s.release();
    s.release(2);
    EXPECT_TRUE(s.try_acquire());
    EXPECT_TRUE(s.acquire_for(1h));
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
}

TEST(ApiSync, LatchAndBarrier) {
    rt0::latch l(3);
    l.count_down();
    EXPECT_FALSE(l.try_wait());
    auto t = rt0::spawn([&] { l.arrive_and_wait(); });
    l.count_down(1);
    l.wait();
    EXPECT_TRUE(l.try_wait());
    t.join();

    int phases = 0;
    rt0::barrier b(2, [&]() noexcept { phases++; });
    auto other = rt0::spawn([&] {
        b.arrive_and_wait();
        b.wait(b.arrive());
        b.arrive_and_drop();
    });
    for (int i = 0; i < 4; i++) b.arrive_and_wait();
    other.join();
    EXPECT_EQ(phases, 4);
    rt0::barrier<> plain(1);
    plain.arrive_and_wait();
}

TEST(ApiSync, Context) {
    rt0::context root;
    EXPECT_FALSE(root.stop_token().stop_requested());
    EXPECT_FALSE(root.deadline());
    const auto soon = std::chrono::steady_clock::now() + 1h;
    rt0::context timed = root.child(soon), inner = timed.child(2h), plain = inner.child();
    EXPECT_EQ(timed.deadline(), soon);
    EXPECT_EQ(plain.deadline(), soon) << "the earliest of itself and ancestors";
    rt0::context named = plain.with_value("k", 1).with_value("k", std::string("nearest")).child();
    ASSERT_TRUE(named.value<std::string>("k"));
    EXPECT_EQ(*named.value<std::string>("k"), "nearest");
    EXPECT_EQ(named.value<std::string>("other"), nullptr);
    EXPECT_EQ(root.value<std::string>("k"), nullptr);
    timed.cancel();
    EXPECT_TRUE(named.stop_token().stop_requested()) << "cancel reaches all descendants";
    EXPECT_FALSE(root.stop_token().stop_requested());
    rt0::context brief = root.child(1ms);
    EXPECT_EQ(rt0::select(rt0::done(brief.stop_token(), [] {})), 0u);
}

TEST(ApiSync, Nursery) {
    std::atomic<int> ended{0};
    {
        rt0::nursery n;
        for (int i = 0; i < 3; i++)
            n.go([&] {
                tg::yield();
                ended++;
            });
    }
    EXPECT_EQ(ended, 3) << "leaving the scope joins all";
    try {
        rt0::nursery n;
        n.go([&](std::stop_token st) { rt0::select(rt0::done(st, [&] { ended++; })); });
        n.go([] { throw std::runtime_error("first"); });
    } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "first");
        ended++;
    }
    EXPECT_EQ(ended, 5) << "the first exception cancels the rest and is rethrown";
    rt0::nursery n;
    n.cancel();
    EXPECT_TRUE(n.stop_token().stop_requested());
}

// ---- what no one can run is refused where it is given, and nothing is lost

TEST(ApiBadInput, EmptyCallables) {
    const std::function<void()> none;
    void (*const null)() = nullptr;
    until([] { return rt0::num_goroutine() == 1; });
    EXPECT_THROW(rt0::go(none), std::invalid_argument);
    EXPECT_THROW(rt0::go(null), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(rt0::spawn(none)), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(rt0::spawn({.name = "n"}, null)), std::invalid_argument);
    rt0::wait_group w;
    EXPECT_THROW(w.go(none), std::invalid_argument);
    EXPECT_THROW(w.go(null), std::invalid_argument);
    w.wait();
    {
        rt0::nursery n;
        EXPECT_THROW(n.go(none), std::invalid_argument);
        EXPECT_THROW(n.go(std::function<void(std::stop_token)>()), std::invalid_argument);
    }
    EXPECT_THROW(rt0::timer(1h, none), std::invalid_argument);
    until([] { return rt0::num_goroutine() == 1; });
    EXPECT_THROW(rt0::blocking(none), std::bad_function_call) << "called in place: its own exception";
    rt0::once o;
    EXPECT_THROW(o.call(none), std::bad_function_call);
}

TEST(ApiBadInput, ThrowingCallables) {
    struct on_copy {
        on_copy() = default;
        on_copy(const on_copy&) { throw std::runtime_error("copy"); }
        void operator()() const {}
    } f;
    until([] { return rt0::num_goroutine() == 1; });
    EXPECT_THROW(rt0::go(f), std::runtime_error);
    EXPECT_THROW(static_cast<void>(rt0::spawn(f)), std::runtime_error);
    EXPECT_THROW(rt0::timer(1h, f), std::runtime_error);
    EXPECT_THROW(rt0::blocking([] { throw std::runtime_error("f"); }), std::runtime_error);
    until([] { return rt0::num_goroutine() == 1; });
}

TEST(ApiBadInput, StackSizes) {
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{40000}}) {
        std::size_t left = 0;
        rt0::spawn({.stack_size = size}, [&] { left = tg::stack_remaining(); }).join();
        EXPECT_GE(left, std::size_t{8} << 10) << size;
    }
    for (std::size_t size : {(std::size_t{1} << 30) + 1, std::size_t{1} << 62, SIZE_MAX})
        EXPECT_THROW(rt0::go({.stack_size = size}, [] {}), std::length_error) << size;
}

TEST(ApiBadInput, Counts) {
    EXPECT_THROW(rt0::semaphore(-1), std::invalid_argument);
    EXPECT_THROW(rt0::latch(-1), std::invalid_argument);
    EXPECT_THROW(rt0::barrier<>(-1), std::invalid_argument);
    rt0::semaphore s(0);
    EXPECT_THROW(s.release(-1), std::invalid_argument);
    EXPECT_THROW(rt0::ticker(0ns), std::invalid_argument);
    EXPECT_THROW(rt0::ticker(-5ns), std::invalid_argument);
}

// ---- time

TEST(ApiTime, Timer) {
    rt0::timer t(1ms);
    EXPECT_TRUE(t.channel().recv());
    EXPECT_FALSE(t.stop()) << "it has fired";
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.reset(1h));
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.stop());
    t.reset(0ns);
    until([&] { return t.channel().len() == 1; });
    t.stop();
    rt0::time_point at;
    EXPECT_EQ(t.channel().try_recv(at), rt0::op_status::would_block) << "after stop nothing stale is received";

    rt0::chan<int> ran(0);
    rt0::timer f(0ns, [=] { ran.send(1); });
    EXPECT_EQ(ran.recv(), 1);
    EXPECT_FALSE(f.channel());
    rt0::chan<rt0::time_point> mine(1);
    rt0::timer c(0ns, mine);
    EXPECT_TRUE(mine.recv());
}

TEST(ApiTime, Ticker) {
    rt0::ticker t(1ms);
    auto in = t.channel();
    rt0::time_point a = *in.recv(), b = *in.recv();
    EXPECT_LT(a, b);
    until([&] { return in.len() == 1; });
    EXPECT_EQ(in.cap(), 1u) << "ticks never pile up";
    t.reset(2ms);
    EXPECT_TRUE(in.recv());
    t.stop();
    rt0::time_point at;
    EXPECT_EQ(in.try_recv(at), rt0::op_status::would_block);
}

TEST(ApiTime, After) {
    const auto t0 = std::chrono::steady_clock::now();
    rt0::receiver<rt0::time_point> r = rt0::after(1ms);
    EXPECT_GE(*r.recv() - t0, 1ms);
}

}  // namespace
