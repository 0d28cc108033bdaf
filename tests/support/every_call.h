// The calls of the public interface, made by whoever runs `calls[i].make`: for threads that rt0 did not make, in tests and
// in programs with a main of their own.  Where a call can block it does, and is woken by a goroutine
// that has seen it wait.  What is not as it should be is a std::runtime_error that says what.
// Not among them: exit, panic and this_goroutine::exit, which end more than a call.
#pragma once
#include <chrono>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

#include <rt0/rt0.h>

#include "tests/support/parked.h"

namespace every_call {

using namespace std::chrono_literals;
using rt0::op_status;
using why = rt0::runtime::wait_reason;
namespace this_goroutine = rt0::this_goroutine;

inline void so(bool is, const char* what) {
    if (!is) throw std::runtime_error(what);
}
// Makes f() on a goroutine once the calling thread waits for that reason: its next call blocks, and f ends that.
template <class F>
void once_i_wait(why reason, F f) {
    rt0::go([id = this_goroutine::id(), reason, f = std::move(f)]() mutable {
        while (!testing_support::parked(id, reason)) this_goroutine::yield();
        f();
    });
}
template <class F>
std::chrono::nanoseconds time_of(F f) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    return std::chrono::steady_clock::now() - begin;
}

// ---- channels

inline void channels() {
    rt0::chan<int> c(0);
    once_i_wait(why::chan_receive, [c] { c.send(1); });
    so(c.recv() == 1, "recv");
    rt0::chan<int> got(1);
    once_i_wait(why::chan_send, [=] { got.send(*c.recv()); });
    c.send(2);
    so(got.recv() == 2, "send");
    const rt0::sender<int> in = c;
    const rt0::receiver<int> out = c;
    once_i_wait(why::chan_send, [=] { got.send(*out.recv()); });
    in.send(3);
    so(got.recv() == 3, "sender and receiver");
    int v = 4;
    so(c.try_send(v) == op_status::would_block && c.try_recv(v) == op_status::would_block, "try_send and try_recv");
    so(c.len() == 0 && got.cap() == 1 && c && c == rt0::chan<int>(c), "len, cap and comparison");
    once_i_wait(why::chan_receive, [=] { c.close(); });
    so(c.recv() == std::nullopt, "recv of a channel that is closed");
    bool thrown = false;
    try {
        c.send(5);
    } catch (const rt0::closed_channel&) {
        thrown = true;
    }
    so(thrown, "send to a closed channel");
    rt0::chan<int> many(0);
    once_i_wait(why::chan_receive, [=] {
        for (int i = 1; i <= 10; i++) many.send(i);
        many.close();
    });
    int sum = 0;
    for (int i : many) sum += i;
    so(sum == 55, "range-for");
}

inline void channels_with_timeout() {
    rt0::chan<int> c(0), got(1);
    int v = 6;
    so(time_of([&] { so(c.send_for(v, 2ms) == op_status::timeout, "send_for: timeout"); }) >= 2ms, "send_for waits");
    so(time_of([&] { so(c.recv_for(v, 2ms) == op_status::timeout, "recv_for: timeout"); }) >= 2ms, "recv_for waits");
    once_i_wait(why::chan_send, [=] { got.send(*c.recv()); });
    so(c.send_for(v, 1h) == op_status::ok && got.recv() == 6, "send_for");
    once_i_wait(why::chan_receive, [=] { c.send(7); });
    so(c.recv_for(v, 1h) == op_status::ok && v == 7, "recv_for");
    once_i_wait(why::chan_receive, [=] { c.close(); });
    so(c.recv_for(v, 1h) == op_status::closed, "recv_for: closed");
}

inline void channels_with_stop_token() {
    rt0::chan<int> c(0), got(1);
    std::stop_source source;
    int v = 8;
    once_i_wait(why::chan_send, [=] { got.send(*c.recv()); });
    so(c.send(v, source.get_token()) == op_status::ok && got.recv() == 8, "send with a token");
    once_i_wait(why::chan_receive, [=] { c.send(9); });
    so(c.recv(v, source.get_token()) == op_status::ok && v == 9, "recv with a token");
    once_i_wait(why::chan_receive, [=]() mutable { source.request_stop(); });
    so(c.recv(v, source.get_token()) == op_status::canceled, "recv: canceled");
    std::stop_source other;
    once_i_wait(why::chan_send, [=]() mutable { other.request_stop(); });
    so(c.send(v, other.get_token()) == op_status::canceled, "send: canceled");
    once_i_wait(why::chan_receive, [=] { c.close(); });
    so(c.recv(v, std::stop_source().get_token()) == op_status::closed, "recv with a token: closed");
}

// ---- select

inline void selects() {
    rt0::chan<int> a(0), b(0), got(1);
    int v = 0;
    once_i_wait(why::select, [=] { b.send(1); });
    so(rt0::select(rt0::recv(a, [] {}), rt0::recv(b, [&](std::optional<int> x) { v = *x; })) == 1 && v == 1, "select: recv");
    once_i_wait(why::select, [=] { got.send(*a.recv()); });
    so(rt0::select(rt0::send(a, 2, [&] { v = 2; }), rt0::recv(b, [] {})) == 0 && v == 2 && got.recv() == 2, "select: send");
    so(time_of([&] { so(rt0::select(rt0::recv(a, [] {}), rt0::after(2ms, [&] { v = 3; })) == 1, "select: after"); }) >= 2ms &&
           v == 3,
       "select: after waits");
    std::stop_source source;
    once_i_wait(why::select, [=]() mutable { source.request_stop(); });
    so(rt0::select(rt0::recv(a, [] {}), rt0::done(source.get_token(), [&] { v = 4; })) == 1 && v == 4, "select: done");
    so(rt0::select(rt0::recv(a, [] {}), rt0::otherwise([&] { v = 5; })) == 1 && v == 5, "select: otherwise");
}

inline void select_sets() {
    constexpr int n = 40;  // more than lie on the stack
    std::vector<rt0::chan<int>> cs;
    rt0::select_set set;
    int from = -1;
    for (int i = 0; i < n; i++) {
        cs.emplace_back(0);
        set.add(rt0::recv(cs[static_cast<std::size_t>(i)], [&from, i] { from = i; }));
    }
    for (std::size_t i : {0u, 17u, 39u}) {
        once_i_wait(why::select, [c = cs[i]] { c.send(1); });
        so(set.select() == i && from == static_cast<int>(i), "select_set: recv");
    }
    std::stop_source source;
    set.add(rt0::done(source.get_token(), [&] { from = -2; }));
    set.add(rt0::after(1h, [] {}));
    once_i_wait(why::select, [=]() mutable { source.request_stop(); });
    so(set.select() == n && from == -2, "select_set: done");
}

// ---- sync

inline void mutexes() {
    rt0::mutex m;
    m.lock();
    so(!m.try_lock(), "try_lock of a locked mutex");
    so(time_of([&] { so(!m.try_lock_for(2ms), "try_lock_for of a locked mutex"); }) >= 2ms, "try_lock_for waits");
    once_i_wait(why::mutex_lock, [&] { m.unlock(); });
    m.lock();
    once_i_wait(why::mutex_lock, [&] { m.unlock(); });
    so(m.try_lock_for(1h), "try_lock_for");
    m.unlock();
    std::scoped_lock l(m);
}

inline void shared_mutexes() {
    rt0::shared_mutex m;
    m.lock();
    so(!m.try_lock() && !m.try_lock_shared(), "try_lock of a locked shared_mutex");
    so(!m.try_lock_for(2ms), "try_lock_for of a locked shared_mutex");
    once_i_wait(why::rwmutex_rlock, [&] { m.unlock(); });
    m.lock_shared();
    so(m.try_lock_shared(), "try_lock_shared beside a reader");
    m.unlock_shared();
    once_i_wait(why::rwmutex_lock, [&] { m.unlock_shared(); });
    m.lock();
    once_i_wait(why::rwmutex_lock, [&] { m.unlock(); });
    so(m.try_lock_for(1h), "try_lock_for of a shared_mutex");
    m.unlock();
    { std::shared_lock l(m); }
    std::unique_lock l(m);
}

inline void conditions() {
    rt0::mutex m;
    rt0::condition_variable cv;
    bool ready = false;
    std::unique_lock l(m);
    auto make_ready = [&] {
        std::lock_guard inner(m);
        ready = true;
        cv.notify_one();
    };
    once_i_wait(why::cond_wait, make_ready);
    cv.wait(l, [&] { return ready; });
    so(l.owns_lock() && !m.try_lock(), "wait comes back with the mutex");
    ready = false;
    so(cv.wait_for(l, 2ms) == std::cv_status::timeout, "wait_for: timeout");
    once_i_wait(why::cond_wait, make_ready);
    so(cv.wait_for(l, 1h, [&] { return ready; }), "wait_for");
    once_i_wait(why::cond_wait, [&] { cv.notify_all(); });
    cv.wait(l);
}

inline void groups() {
    rt0::wait_group wg;
    wg.add(2);
    wg.done();
    once_i_wait(why::waitgroup_wait, [&] { wg.done(); });
    wg.wait();
    bool ran = false;
    wg.go([&] { ran = true; });
    wg.wait();
    so(ran, "wait_group::go");
    rt0::once o;
    rt0::chan<int> begun(0), end(0);
    wg.go([&] {
        o.call([&] {
            begun.send(1);
            end.recv();
        });
    });
    begun.recv();
    once_i_wait(why::semacquire, [=] { end.send(1); });
    o.call([] { so(false, "once: a second call"); });
    wg.wait();
    rt0::latch la(2);
    once_i_wait(why::semacquire, [&] { la.count_down(); });
    la.arrive_and_wait();
    so(la.try_wait(), "latch");
    int phases = 0;
    rt0::barrier ba(2, [&]() noexcept { phases++; });
    once_i_wait(why::semacquire, [&] { (void)ba.arrive(); });
    ba.arrive_and_wait();
    so(phases == 1, "barrier");
}

inline void semaphores() {
    rt0::semaphore s(0);
    so(!s.try_acquire(), "try_acquire");
    so(time_of([&] { so(!s.acquire_for(2ms), "acquire_for: timeout"); }) >= 2ms, "acquire_for waits");
    once_i_wait(why::semacquire, [&] { s.release(); });
    s.acquire();
    once_i_wait(why::semacquire, [&] { s.release(2); });
    so(s.acquire_for(1h) && s.try_acquire(), "acquire_for");
}

inline void contexts() {
    rt0::context root;
    rt0::chan<int> never(0);
    int v = 0;
    rt0::context child = root.with_value("key", 11).child();
    so(child.value<int>("key") && *child.value<int>("key") == 11 && !child.value<int>("other"), "context: value");
    once_i_wait(why::chan_receive, [=] { root.cancel(); });
    so(never.recv(v, child.stop_token()) == op_status::canceled, "context: cancel reaches a descendant");
    so(child.stop_token().stop_requested() && !child.deadline(), "context: stop_token and deadline");
    rt0::context timed = rt0::context().child(2ms);
    so(timed.deadline() && time_of([&] { rt0::select(rt0::done(timed.stop_token(), [] {}), rt0::recv(never, [] {})); }) < 1h,
       "context: timeout");
    so(std::chrono::steady_clock::now() >= *timed.deadline(), "context: not before its deadline");
    rt0::context dated = rt0::context().child(std::chrono::steady_clock::now() + 2ms);
    so(never.recv(v, dated.stop_token()) == op_status::canceled, "context: deadline");
}

inline void nurseries() {
    rt0::chan<int> c(0);
    bool joined = false;
    {
        rt0::nursery n;
        n.go([&, c] {
            c.recv();
            joined = true;
        });
        once_i_wait(why::waitgroup_wait, [=] { c.send(1); });
    }
    so(joined, "nursery: waits");
    {
        rt0::nursery n;
        n.go([&](std::stop_token st) {
            int v;
            joined = c.recv(v, st) == op_status::canceled;
        });
        once_i_wait(why::waitgroup_wait, [&n] { n.cancel(); });
    }
    so(joined, "nursery: cancel");
    bool thrown = false;
    try {
        rt0::nursery n;
        n.go([] { throw 12; });
        n.go([c](std::stop_token st) {
            int v;
            c.recv(v, st);
        });
    } catch (int e) {
        thrown = e == 12;
    }
    so(thrown, "nursery: the exception of one");
}

// ---- time

inline void timers() {
    const auto begin = std::chrono::steady_clock::now();
    rt0::timer t(2ms);
    const auto at = t.channel().recv();
    so(at && *at >= begin + 2ms, "timer");
    so(!t.stop() && !t.reset(1h) && t.reset(1ms) && t.channel().recv(), "timer: reset");
    rt0::chan<int> ran(0);
    rt0::timer f(1ms, [=] { ran.send(1); });
    so(ran.recv() == 1, "timer with a function");
    rt0::timer late(1h, [=] { ran.send(2); });
    so(late.stop() && !late.stop(), "timer: stop");
    rt0::chan<rt0::time_point> c(1);
    rt0::timer own(1ms, c);
    so(c.recv().has_value(), "timer with a channel");
    const auto asked = std::chrono::steady_clock::now();
    const auto then = rt0::after(2ms).recv();
    so(then && *then >= asked + 2ms, "after");
}

inline void tickers() {
    rt0::ticker t(1ms);
    const auto first = t.channel().recv(), second = t.channel().recv(), third = t.channel().recv();
    so(*first < *second && *second < *third, "ticker");
    t.reset(2ms);
    so(t.channel().recv() > third, "ticker: reset");
    t.stop();
    const auto quiet = t.channel();
    so(rt0::select(rt0::recv(quiet, [] {}), rt0::after(5ms, [] {})) == 1, "ticker: stop");
}

// ---- goroutines and the process

inline void goroutines() {
    rt0::chan<std::string> name(0);
    rt0::go({.name = "named", .stack_size = 128 << 10}, [=](int) { name.send(std::string(this_goroutine::name())); }, 1);
    so(name.recv() == "named", "go with options");
    rt0::chan<int> c(0);
    auto t = rt0::spawn([=] { return *c.recv() + 1; });
    so(t.joinable() && !t.done(), "spawn");
    once_i_wait(why::waitgroup_wait, [=] { c.send(20); });
    so(t.join() == 21, "join");
    int caught = 0;
    try {
        rt0::spawn([] { throw 22; }).join();
    } catch (int e) {
        caught = e;
    }
    so(caught == 22, "join: an exception");
    once_i_wait(why::chan_receive, [=] { c.send(23); });
    so(rt0::blocking([=] { return c.recv(); }) == 23, "blocking that calls rt0");
    const auto id = this_goroutine::id();
    this_goroutine::yield();
    so(time_of([] { this_goroutine::sleep_for(2ms); }) >= 2ms, "sleep_for");
    const auto until = std::chrono::steady_clock::now() + 2ms;
    this_goroutine::sleep_until(until);
    so(std::chrono::steady_clock::now() >= until, "sleep_until");
    this_goroutine::lock_os_thread();
    this_goroutine::unlock_os_thread();
    so(this_goroutine::id() == id && this_goroutine::name().empty(), "id and name");
}

[[gnu::noinline]] inline std::size_t deeper() {
    volatile char frame[8192] = {};
    return this_goroutine::stack_remaining() + static_cast<std::size_t>(frame[0]);
}

inline void process() {
    const std::size_t here = this_goroutine::stack_remaining(), below = deeper();
    so(here > 16384 && below + 8192 <= here, "stack_remaining");
    const int procs = rt0::gomaxprocs(3);
    so(procs >= 1 && rt0::gomaxprocs() >= 1, "gomaxprocs");
    so(rt0::num_cpu() >= 1 && rt0::num_goroutine() >= 1 && rt0::num_thread() >= 2, "num_cpu, num_goroutine and num_thread");
    so(rt0::set_max_threads(10'000) == 10'000, "set_max_threads");
    (void)rt0::args();
}

inline void dumps() {
    rt0::chan<int> c(0);
    rt0::go({.name = "waits", .stack_size = 0}, [=] { c.recv(); });
    while (rt0::stack_dump().find(" [chan receive, \"waits\"]:") == std::string::npos) {}
    c.send(1);
}

inline void lines() {
    for (int i = 0; i < 10; i++) rt0::println("a line of", 5, "words:", i);
}

inline constexpr struct {
    const char* name;
    void (*make)();
} calls[] = {
    {"channels", channels},
    {"channels_with_timeout", channels_with_timeout},
    {"channels_with_stop_token", channels_with_stop_token},
    {"selects", selects},
    {"select_sets", select_sets},
    {"mutexes", mutexes},
    {"shared_mutexes", shared_mutexes},
    {"conditions", conditions},
    {"groups", groups},
    {"semaphores", semaphores},
    {"contexts", contexts},
    {"nurseries", nurseries},
    {"timers", timers},
    {"tickers", tickers},
    {"goroutines", goroutines},
    {"process", process},
    {"dumps", dumps},
    {"lines", lines},
};

}  // namespace every_call
