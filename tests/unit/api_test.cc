// The public interface as it is promised to programs: every name, overload and sentence of the
// sections on starting, goroutines, channels and select, used as a program would.  What ends the
// process is in tests/crash; synchronisation and time are in api_sync_test.cc.
#include <gtest/gtest.h>

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <span>
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
using rt0::op_status;
namespace tg = rt0::this_goroutine;

namespace {

template <class T, class U>
constexpr bool same = std::is_same_v<T, U>;
// Of the overloads of a function one has exactly this type.
template <class F>
consteval bool one_is(F) {
    return true;
}

// ---- signatures
static_assert(same<decltype(&rt0::args), std::span<char* const> (*)()>);
static_assert(same<decltype(&rt0::gomaxprocs), int (*)(int)> && same<decltype(rt0::gomaxprocs()), int>);
static_assert(same<decltype(&rt0::num_cpu), int (*)()> && same<decltype(&rt0::num_goroutine), int (*)()>);
static_assert(same<decltype(&rt0::num_thread), int (*)()> && same<decltype(&rt0::set_max_threads), int (*)(int)>);
static_assert(same<decltype(&rt0::panic), void (*)(std::string_view)> && same<decltype(&rt0::exit), void (*)(int)>);
static_assert(same<decltype(&rt0::stack_dump), std::string (*)()>);
static_assert(same<decltype(&tg::id), std::uint64_t (*)()> && same<decltype(&tg::name), std::string_view (*)()>);
static_assert(same<decltype(&tg::yield), void (*)()> && same<decltype(&tg::exit), void (*)()>);
static_assert(one_is<void (*)(std::chrono::nanoseconds)>(&tg::sleep_for));
static_assert(same<decltype(&tg::lock_os_thread), void (*)()> && same<decltype(&tg::unlock_os_thread), void (*)()>);
static_assert(same<decltype(&tg::stack_remaining), std::size_t (*)()>);
static_assert(same<decltype(rt0::go_options::name), std::string_view> && rt0::go_options{}.name.empty());
static_assert(same<decltype(rt0::go_options::stack_size), std::size_t> && rt0::go_options{}.stack_size == 0);
static_assert(std::derived_from<rt0::closed_channel, std::logic_error>);

using ints = rt0::chan<int>;
static_assert(std::is_nothrow_default_constructible_v<ints> && std::is_copy_constructible_v<ints>);
static_assert(std::constructible_from<ints, std::size_t> && !std::convertible_to<std::size_t, ints>);
static_assert(!std::convertible_to<ints, bool> && std::constructible_from<bool, ints>);
static_assert(std::convertible_to<ints, rt0::sender<int>> && std::convertible_to<ints, rt0::receiver<int>>);
static_assert(!std::convertible_to<rt0::sender<int>, rt0::receiver<int>> && !std::convertible_to<rt0::sender<int>, ints>);
static_assert(same<decltype(std::declval<ints&>().recv()), std::optional<int>>);
static_assert(same<decltype(std::declval<const ints&>().len()), std::size_t>);
static_assert(same<decltype(std::declval<const ints&>().cap()), std::size_t>);
static_assert(std::sentinel_for<decltype(std::declval<ints&>().end()), decltype(std::declval<ints&>().begin())>);
template <class C>
concept can_send = requires(C c, int v) { c.send(v); };
template <class C>
concept can_recv = requires(C c) { c.recv(); };
template <class C>
concept can_close = requires(C c) { c.close(); };
static_assert(can_send<rt0::sender<int>> && !can_recv<rt0::sender<int>> && can_close<rt0::sender<int>>);
static_assert(can_recv<rt0::receiver<int>> && !can_send<rt0::receiver<int>> && !can_close<rt0::receiver<int>>);

template <class F>
std::string what_of(F f) {
    try {
        f();
    } catch (const std::exception& e) {
        return e.what();
    }
    return "";
}

// ---- starting

TEST(ApiStart, Args) {
    std::span<char* const> a = rt0::args();
    ASSERT_GE(a.size(), 1u);
    EXPECT_NE(std::string_view(a[0]).find("api_test"), std::string_view::npos);
}

TEST(ApiStart, AnyThreadMayCallAndBlock) {
    rt0::chan<int> there(0), back(0);
    std::thread t([=] {
        for (int v : there) back.send(v + 1);
        back.close();
    });
    for (int i = 0; i < 10; i++) {
        there.send(i);
        EXPECT_EQ(back.recv(), i + 1);
    }
    there.close();
    EXPECT_EQ(back.recv(), std::nullopt);
    rt0::blocking([&] { t.join(); });
}

// ---- goroutines

struct accumulator {
    int sum = 0;
    void add(int n) { sum += n; }
};
void store(std::atomic<int>& to, int v) { to = v; }

TEST(ApiGo, ArgumentsAreMovedOrCopiedIn) {
    rt0::wait_group w;
    w.add(5);
    std::string s = "copied";
    auto p = std::make_unique<int>(7);
    rt0::go([&](std::string t, std::unique_ptr<int> q) {
        EXPECT_EQ(t + std::to_string(*q), "copied7");
        w.done();
    }, s, std::move(p));
    rt0::go([&w, q = std::make_unique<int>(1)] {
        EXPECT_EQ(*q, 1);
        w.done();
    });
    s = "changed";
    EXPECT_EQ(p, nullptr);
    std::atomic<int> stored{0}, by_name{0};
    rt0::go([&](auto f) {
        f(stored, 3);
        w.done();
    }, store);
    accumulator a;
    auto t = rt0::spawn(&accumulator::add, &a, 4);
    t.join();
    EXPECT_EQ(a.sum, 4);
    rt0::go(store, std::ref(by_name), 9);  // by its name, with a reference that the caller answers for
    rt0::go(rt0::go_options{}, [&] { w.done(); });
    rt0::go({.name = "named", .stack_size = 1 << 20}, [&](int n) {
        EXPECT_EQ(tg::name(), "named");
        EXPECT_GT(tg::stack_remaining(), std::size_t{900} << 10);
        EXPECT_EQ(n, 2);
        w.done();
    }, 2);
    w.wait();
    EXPECT_EQ(stored, 3);
    while (by_name != 9) tg::yield();
}

TEST(ApiGo, Spawn) {
    rt0::task<int> v = rt0::spawn([](int a, int b) { return a * b; }, 6, 7);
    EXPECT_EQ(v.join(), 42);
    rt0::task<void> thrower = rt0::spawn([] { throw std::runtime_error("inside"); });
    EXPECT_EQ(what_of([&] { thrower.join(); }), "inside");
    std::atomic<bool> ended{false};
    {
        auto t = rt0::spawn([&] {
            for (int i = 0; i < 10; i++) tg::yield();
            ended = true;
        });
    }
    EXPECT_TRUE(ended) << "the destructor joins";
}

TEST(ApiGo, Blocking) {
    rt0::chan<int> c(0);
    rt0::go([=] { c.send(5); });
    EXPECT_EQ(rt0::blocking([&] { return *c.recv() + 1; }), 6) << "f may call rt0";
}

TEST(ApiGo, Numbers) {
    const int procs = rt0::gomaxprocs();
    EXPECT_GE(procs, 1);
    EXPECT_GE(rt0::num_cpu(), 1);
    EXPECT_GE(rt0::num_thread(), 1);
    std::atomic<bool> stop{false};
    while (rt0::num_goroutine() > 1) tg::yield();  // those of the tests before are on their way out
    auto busy = rt0::spawn([&] {
        while (!stop) tg::yield();
    });
    while (rt0::num_goroutine() != 2) tg::yield();
    EXPECT_EQ(rt0::gomaxprocs(3), procs) << "the former value";
    EXPECT_EQ(rt0::gomaxprocs(0), 3);
    EXPECT_EQ(rt0::gomaxprocs(-1), 3) << "only n > 0 sets it";
    EXPECT_EQ(rt0::gomaxprocs(procs), 3);
    stop = true;
    busy.join();
    EXPECT_EQ(rt0::set_max_threads(9000), 10000);
    EXPECT_EQ(rt0::set_max_threads(10000), 9000);
}

TEST(ApiGo, PrintlnAndDump) {
    testing::internal::CaptureStdout();
    rt0::println("n =", 3, 'c', true, 2.5, std::string("s"));
    rt0::println();
    rt0::println("", static_cast<const char*>(nullptr), false);
    char* unset = nullptr;  // getenv's, say
    rt0::println(unset, nullptr);
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "n = 3 c true 2.5 s\n\n (null) false\n(null) nullptr\n");
#ifdef __SIZEOF_INT128__
    testing::internal::CaptureStdout();
    __extension__ using wide = __int128;
    if constexpr (std::is_integral_v<wide>) {  // with -std=gnu++20
        rt0::println(static_cast<wide>(1) << 100, -(static_cast<wide>(1) << 100));
        EXPECT_EQ(testing::internal::GetCapturedStdout(), "1267650600228229401496703205376 -1267650600228229401496703205376\n");
    } else {
        testing::internal::GetCapturedStdout();
    }
#endif
    rt0::chan<int> never(0);
    rt0::go([=] { never.recv(); });
    rt0::go({.name = "waiter"}, [=] { never.recv(); });
    std::string dump;
    auto has = [&](std::string_view part) { return dump.find(part) != std::string::npos; };
    do {
        tg::yield();
        dump = rt0::stack_dump();
    } while (!has(" [chan receive]:\n") || !has(" [chan receive, \"waiter\"]:\n"));
    EXPECT_TRUE(has("goroutine " + std::to_string(tg::id()) + " [running]:\n")) << dump;
    never.close();
}

TEST(ApiGo, ThisGoroutine) {
    std::set<std::uint64_t> ids{tg::id()};
    for (int i = 0; i < 40; i++) ids.insert(rt0::spawn([] { return tg::id(); }).join());
    EXPECT_EQ(ids.size(), 41u);
    EXPECT_EQ(ids.count(0), 0u);
    EXPECT_EQ(rt0::spawn([] { return std::string(tg::name()); }).join(), "");
    auto t0 = std::chrono::steady_clock::now();
    tg::sleep_for(1ms);
    tg::sleep_for(-1s);
    tg::sleep_until(t0 + 2ms);
    EXPECT_GE(std::chrono::steady_clock::now() - t0, 2ms);
    auto s0 = std::chrono::system_clock::now() + 1ms;
    tg::sleep_until(s0);
    EXPECT_GE(std::chrono::system_clock::now(), s0);
}

TEST(ApiGo, LockOsThreadNests) {
    rt0::spawn([] {
        tg::lock_os_thread();
        tg::lock_os_thread();
        const pthread_t self = pthread_self();
        tg::unlock_os_thread();
        for (int i = 0; i < 20; i++) {
            tg::yield();
            ASSERT_TRUE(pthread_equal(self, pthread_self()));
        }
        tg::unlock_os_thread();
    }).join();
}

TEST(ApiGo, ExitUnwindsAndPassesRethrowingHandlers) {
    rt0::chan<std::string> log(4);
    rt0::go([=] {
        struct says {
            rt0::chan<std::string> to;
            ~says() {
                to.send("destructor");
                to.close();
            }
        } s{log};
        try {
            tg::exit();
        } catch (...) {
            s.to.send("handler");
            throw;
        }
    });
    std::vector<std::string> got;
    for (auto& l : log) got.push_back(l);
    EXPECT_EQ(got, (std::vector<std::string>{"handler", "destructor"}));
}

// ---- channels

TEST(ApiChan, RendezvousAndBuffer) {
    rt0::chan<int> c(0), b(2);
    EXPECT_EQ(c.cap(), 0u);
    EXPECT_EQ(b.cap(), 2u);
    rt0::go([=]() mutable { c.send(1); });
    EXPECT_EQ(c.recv(), 1);
    b.send(1);
    b.send(2);
    EXPECT_EQ(b.len(), 2u);
    int v = 3;
    EXPECT_EQ(b.try_send(v), op_status::would_block);
    b.close();
    EXPECT_EQ(b.try_send(v), op_status::closed);
    EXPECT_EQ(what_of([&] { b.send(4); }), "send on closed channel");
    EXPECT_EQ(what_of([&] { b.close(); }), "close of closed channel");
    EXPECT_EQ(what_of([&] { rt0::chan<int>().close(); }), "close of nil channel");
    EXPECT_EQ(b.recv(), 1);
    EXPECT_EQ(b.try_recv(v), op_status::ok);
    EXPECT_EQ(v, 2);
    EXPECT_EQ(b.recv(), std::nullopt) << "closed and drained";
    EXPECT_EQ(b.try_recv(v), op_status::closed);
}

TEST(ApiChan, TimedAndStoppable) {
    rt0::chan<std::unique_ptr<int>> c(1);
    auto p = std::make_unique<int>(1);
    EXPECT_EQ(c.recv_for(p, 1ms), op_status::timeout);
    EXPECT_EQ(c.send_for(p, 1ms), op_status::ok);
    EXPECT_EQ(p, nullptr);
    p = std::make_unique<int>(2);
    EXPECT_EQ(c.send_for(p, 1ms), op_status::timeout);
    EXPECT_EQ(*p, 2) << "what did not go stays";
    std::stop_source stop;
    rt0::go([&] { stop.request_stop(); });
    EXPECT_EQ(c.send(p, stop.get_token()), op_status::canceled);
    EXPECT_EQ(*p, 2);
    EXPECT_EQ(c.recv(p, stop.get_token()), op_status::ok) << "a channel that is ready comes before the token";
    EXPECT_EQ(*p, 1);
    EXPECT_EQ(c.recv(p, stop.get_token()), op_status::canceled);
    c.close();
    EXPECT_EQ(c.recv(p, stop.get_token()), op_status::closed);
    EXPECT_EQ(c.recv_for(p, 1h), op_status::closed);
    EXPECT_EQ(c.send_for(p, 1h), op_status::closed);
    EXPECT_EQ(c.send(p, stop.get_token()), op_status::closed);
}

TEST(ApiChan, NilHandles) {
    rt0::chan<int> nil, other(0), copy = other;
    EXPECT_FALSE(nil);
    EXPECT_TRUE(other);
    EXPECT_TRUE(copy == other);
    EXPECT_FALSE(nil == other);
    int v = 1;
    EXPECT_EQ(nil.try_send(v), op_status::would_block);
    EXPECT_EQ(nil.try_recv(v), op_status::would_block);
    EXPECT_EQ(nil.recv_for(v, 1ms), op_status::timeout);
    EXPECT_EQ(nil.send_for(v, 1ms), op_status::timeout);
    EXPECT_EQ(nil.len() + nil.cap(), 0u);
}

TEST(ApiChan, AbsurdCapacity) {
    EXPECT_THROW(rt0::chan<int>(SIZE_MAX), std::length_error);
    EXPECT_THROW(rt0::chan<int>(static_cast<std::size_t>(-1) / 4), std::length_error);
    EXPECT_THROW(rt0::chan<std::string>(std::size_t{1} << 60), std::length_error);
    EXPECT_THROW(rt0::chan<int>(static_cast<std::size_t>(-5)), std::length_error);
}

TEST(ApiChan, RangeForAndViews) {
    rt0::chan<std::unique_ptr<int>> c(0);
    auto produce = [](rt0::sender<std::unique_ptr<int>> out) {
        for (int i = 0; i < 5; i++) out.send(std::make_unique<int>(i));
        out.close();
    };
    auto consume = [](rt0::receiver<std::unique_ptr<int>> in) {
        int sum = 0;
        for (auto&& p : in) sum += *p;
        return sum;
    };
    rt0::go(produce, c);
    EXPECT_EQ(rt0::spawn(consume, c).join(), 10);
}

// ---- select

TEST(ApiSelect, EachKindOfCase) {
    rt0::chan<int> in(1), out(1), nil;
    in.send(4);
    std::optional<int> got;
    auto into_got = [&](std::optional<int> v) { got = v; };
    EXPECT_EQ(rt0::select(rt0::recv(nil, [](std::optional<int>) { FAIL(); }), rt0::recv(in, into_got)), 1u);
    EXPECT_EQ(got, 4);
    bool ran = false;
    EXPECT_EQ(rt0::select(rt0::send(out, 8, [&] { ran = true; }), rt0::recv(in, [](std::optional<int>) { FAIL(); })), 0u);
    EXPECT_TRUE(ran);
    EXPECT_EQ(out.recv(), 8);
    EXPECT_EQ(rt0::select(rt0::recv(in, [](std::optional<int>) { FAIL(); }), rt0::after(1ms, [] {})), 1u);
    EXPECT_EQ(rt0::select(rt0::recv(in, [](std::optional<int>) { FAIL(); }), rt0::otherwise([] {})), 1u);
    std::stop_source stop;
    rt0::go([&] { stop.request_stop(); });
    EXPECT_EQ(rt0::select(rt0::done(stop.get_token(), [] {}), rt0::recv(in, [](std::optional<int>) { FAIL(); })), 0u);
    in.close();
    EXPECT_EQ(rt0::select(rt0::recv(in, into_got)), 0u);
    EXPECT_EQ(got, std::nullopt);
    EXPECT_EQ(what_of([&] { rt0::select(rt0::send(in, 1, [] { FAIL(); })); }), "send on closed channel");
}

TEST(ApiSelect, ViewsAndMoveOnly) {
    rt0::chan<std::unique_ptr<int>> c(1);
    rt0::sender<std::unique_ptr<int>> out = c;
    rt0::receiver<std::unique_ptr<int>> in = c;
    EXPECT_EQ(rt0::select(rt0::send(out, std::make_unique<int>(3), [] {})), 0u);
    EXPECT_EQ(rt0::select(rt0::recv(in, [](std::optional<std::unique_ptr<int>> p) { EXPECT_EQ(**p, 3); })), 0u);
}

TEST(ApiSelect, ParksUntilSomethingCanGo) {
    rt0::chan<int> a(0), b(0);
    rt0::go([=] { b.send(2); });
    EXPECT_EQ(rt0::select(rt0::recv(a, [](std::optional<int>) {}), rt0::recv(b, [](std::optional<int>) {})), 1u);
    rt0::go([=] { a.recv(); });
    EXPECT_EQ(rt0::select(rt0::send(a, 1, [] {}), rt0::recv(b, [](std::optional<int>) {})), 0u);
}

TEST(ApiSelect, NeverMeetsItself) {
    rt0::chan<int> c(0);
    EXPECT_EQ(rt0::select(rt0::send(c, 1, [] {}), rt0::recv(c, [](std::optional<int>) {}), rt0::after(2ms, [] {})), 2u);
}

TEST(ApiSelect, HandlersRunWithNoLockHeld) {
    rt0::chan<int> c(1);
    c.send(1);
    rt0::select(rt0::recv(c, [&](std::optional<int>) {
        c.send(2);
        EXPECT_EQ(c.recv(), 2);
        c.close();
    }));
}

TEST(ApiSelect, SetOfThousands) {
    constexpr std::size_t n = 3000;
    std::vector<rt0::chan<std::size_t>> cs;
    rt0::select_set set;
    std::size_t last = n;
    for (std::size_t i = 0; i < n; i++) {
        cs.emplace_back(0);
        set.add(rt0::recv(cs.back(), [&](std::optional<std::size_t> v) { last = *v; }));
    }
    for (std::size_t i : {std::size_t{0}, n / 2, n - 1}) {
        rt0::go([&, i] { cs[i].send(i); });
        EXPECT_EQ(set.select(), i);
        EXPECT_EQ(last, i);
    }
    auto c = rt0::recv(cs[0], [&](std::optional<std::size_t>) {});
    rt0::select_set named;
    named.add(std::move(c));
    named.add(rt0::otherwise([] {}));
    EXPECT_EQ(named.select(), 1u);
}

}  // namespace
