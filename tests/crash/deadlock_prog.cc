// Programs in which everything sleeps, and some in which only nearly everything does:
// deadlock_prog NAME.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <cstring>
#include <mutex>
#include <thread>

#include <rt0/chan.h>
#include <rt0/context.h>
#include <rt0/go.h>
#include <rt0/select.h>
#include <rt0/sync.h>
#include <rt0/time.h>

#include "sched/sched.h"

#define NOINLINE [[gnu::noinline]]

using namespace std::chrono_literals;

namespace {

void keep_frame() { asm volatile(""); }

NOINLINE void wait_for(rt0::chan<int> c) {
    c.recv();
    keep_frame();
}
NOINLINE void send_to(rt0::chan<int> c) {
    c.send(1);
    keep_frame();
}
void on_mutex() {
    rt0::mutex m;
    m.lock();
    m.lock();
}
void on_rwmutex(bool reader) {
    rt0::shared_mutex m;
    m.lock();
    if (reader) m.lock_shared();
    else m.lock();
}
void on_condition() {
    rt0::mutex m;
    rt0::condition_variable cv;
    std::unique_lock l(m);
    cv.wait(l);
}
void on_wait_group() {
    rt0::wait_group wg;
    wg.add(1);
    wg.wait();
}
void on_semaphore() {
    rt0::semaphore s(0);
    s.acquire();
}
void on_select() {
    rt0::chan<int> a(0), b(0);
    rt0::select(rt0::recv(a, [](std::optional<int>) {}), rt0::send(b, 1, [] {}));
}
void several() {
    rt0::chan<int> c(0);
    for (int i = 0; i < 3; i++) rt0::go([c] { send_to(c); });
    rt0::go({.name = "listener", .stack_size = 0}, [] { wait_for(rt0::chan<int>(0)); });
    rt0::mutex m;
    m.lock();
    for (int i = 0; i < 3; i++) c.recv();
    m.lock();
}
void in_catch_block() {
    try {
        throw 1;
    } catch (int) {
        wait_for(rt0::chan<int>(0));
    }
}
void many() {
    rt0::chan<int> c(0);
    for (int i = 0; i < 2000; i++) rt0::go([c] { wait_for(c); });
    wait_for(c);
}
void locked() {
    rt0::this_goroutine::lock_os_thread();
    wait_for(rt0::chan<int>(0));
}
// A thread that rt0 did not make was here, and is gone.
void thread_came_and_went() {
    std::thread t([] { rt0::this_goroutine::yield(); });
    t.join();
    wait_for(rt0::chan<int>(0));
}
// It ends after sysmon went to its deep sleep, and sends nothing.
void thread_ends_last() {
    std::thread([] {
        rt0::this_goroutine::yield();
        usleep(2'000'000);
    }).detach();
    wait_for(rt0::chan<int>(0));
}
// The same, and it never called rt0.
void unknown_thread_ends_last() {
    std::thread([] { usleep(1'500'000); }).detach();
    wait_for(rt0::chan<int>(0));
}
// Its deadline, when an M would wake for it, is an hour away.
void timer_stopped() {
    rt0::timer t(1h);
    rt0::this_goroutine::sleep_for(5ms);
    t.stop();
    wait_for(rt0::chan<int>(0));
}
void ticker_stopped() {
    rt0::ticker t(1h);
    rt0::this_goroutine::sleep_for(5ms);
    t.stop();
    wait_for(rt0::chan<int>(0));
}
// The deadline goes with the last handle: who has the token alone waits for nothing.
void deadline_dropped() {
    std::stop_token st;
    {
        rt0::context deadline = rt0::context().child(1h);
        st = deadline.stop_token();
        rt0::this_goroutine::sleep_for(5ms);
    }
    int v;
    rt0::chan<int>(0).recv(v, st);
    keep_frame();
}
void timeout_not_needed() {
    rt0::chan<int> c(0);
    rt0::go([c] {
        rt0::this_goroutine::sleep_for(5ms);
        send_to(c);
    });
    int v;
    c.recv_for(v, 1h);
    wait_for(rt0::chan<int>(0));
}
// Some locked, one whose thread ended with it.
void locked_among_others() {
    rt0::chan<int> c(0);
    for (int i = 0; i < 3; i++)
        rt0::go([c] {
            rt0::this_goroutine::lock_os_thread();
            send_to(c);
            wait_for(rt0::chan<int>(0));
        });
    rt0::go([c] {
        rt0::this_goroutine::lock_os_thread();
        send_to(c);
    });
    for (int i = 0; i < 4; i++) c.recv();
    wait_for(c);
}
void main_exits() { rt0::this_goroutine::exit(); }
void main_exits_others_wait() {
    rt0::go([] { wait_for(rt0::chan<int>(0)); });
    rt0::this_goroutine::exit();
}
void unlock_on_thread() {
    rt0::mutex m;
    std::thread t([&] {
        m.unlock();
        keep_frame();
    });
    t.join();
}

// ---- nobody may call these dead: they print "alive" and end with 0
void with_sleeper() {
    rt0::chan<int> c(0);
    rt0::go([c] {
        rt0::this_goroutine::sleep_for(150ms);
        send_to(c);
    });
    c.recv();
}
void with_timed_receive() {
    rt0::chan<int> c(0);
    int v;
    if (c.recv_for(v, 150ms) != rt0::op_status::timeout) std::abort();
}
void with_timer_function() {
    rt0::chan<int> c(0);
    rt0::timer t(150ms, [c] { send_to(c); });
    c.recv();
}
void with_ticker() {
    rt0::ticker t(70ms);
    for (int i = 0; i < 3; i++)
        if (!t.channel().recv()) std::abort();
}
void with_after() {
    if (!rt0::after(150ms).recv()) std::abort();
}
void with_select_after() {
    rt0::chan<int> c(0);
    if (rt0::select(rt0::recv(c, [] {}), rt0::after(150ms, [] {})) != 1) std::abort();
}
void with_select_done() {
    rt0::chan<int> c(0);
    rt0::context deadline = rt0::context().child(150ms);
    if (rt0::select(rt0::recv(c, [] {}), rt0::done(deadline.stop_token(), [] {})) != 1) std::abort();
}
void with_stop_at_deadline() {
    rt0::chan<int> c(0);
    rt0::context deadline = rt0::context().child(150ms), child = deadline.child();
    int v;
    if (c.recv(v, child.stop_token()) != rt0::op_status::canceled) std::abort();
}
void with_thread() {
    rt0::chan<int> c(0);
    std::thread t([c]() mutable {
        std::this_thread::sleep_for(150ms);
        c.send(1);
    });
    c.recv();
    t.join();
}
// Itself waits for ever, and nothing else can run: who knows what a handler of the program would do.
void with_thread_that_waits() {
    std::signal(SIGALRM, [](int) {
        (void)!write(STDOUT_FILENO, "alive\n", 6);
        _exit(0);
    });
    std::thread([] { wait_for(rt0::chan<int>(0)); }).detach();
    rt0::this_goroutine::sleep_for(5ms);
    alarm(2);  // past sysmon's deep sleep
    wait_for(rt0::chan<int>(0));
}
// Everybody waits for one who blocks, undeclared, and ends it later.
template <class W, class E>
void woken_late(W wait, E end) {
    rt0::go([=]() mutable {
        usleep(150'000);
        end();
    });
    wait();
}
void with_mutex() {
    rt0::mutex m;
    m.lock();
    woken_late([&] { m.lock(); }, [&m] { m.unlock(); });
}
void with_rwmutex(bool reader) {
    rt0::shared_mutex m;
    m.lock();
    woken_late([&] { reader ? m.lock_shared() : m.lock(); }, [&m] { m.unlock(); });
}
void with_condition() {
    rt0::mutex m;
    rt0::condition_variable cv;
    std::unique_lock l(m);
    woken_late([&] { cv.wait(l); },
               [&] {
                   std::lock_guard both(m);
                   cv.notify_one();
               });
}
void with_wait_group() {
    rt0::wait_group wg;
    wg.add(1);
    woken_late([&] { wg.wait(); }, [&wg] { wg.done(); });
}
void with_semaphore() {
    rt0::semaphore s(0);
    woken_late([&] { s.acquire(); }, [&s] { s.release(); });
}
void with_latch() {
    rt0::latch l(1);
    woken_late([&] { l.wait(); }, [&l] { l.count_down(); });
}
void with_join() {
    rt0::task<int> t = rt0::spawn([] {
        usleep(150'000);
        return 1;
    });
    if (t.join() != 1) std::abort();
}
void with_sender() {
    rt0::chan<int> c(0);
    woken_late([&] { send_to(c); }, [c]() mutable { c.recv(); });
}
void with_select() {
    rt0::chan<int> a(0), b(0);
    woken_late([&] { rt0::select(rt0::recv(a, [](std::optional<int>) {}), rt0::send(b, 1, [] {})); },
               [b]() mutable { b.recv(); });
}
void with_catch_block() {
    rt0::chan<int> c(0);
    try {
        throw 1;
    } catch (int) {
        woken_late([&] { c.recv(); }, [c] { send_to(c); });
    }
}
// All but one are locked and wait.
void with_locked_among_others() {
    rt0::chan<int> c(0), all(0);
    for (int i = 0; i < 3; i++)
        rt0::go([=]() mutable {
            rt0::this_goroutine::lock_os_thread();
            c.recv();
            send_to(all);
        });
    rt0::this_goroutine::lock_os_thread();
    woken_late([&] { for (int i = 0; i < 3; i++) all.recv(); }, [c]() mutable { c.close(); });
}
void with_blocking() {
    rt0::chan<int> c(0);
    rt0::go([c] {
        rt0::blocking([] { usleep(150'000); });
        send_to(c);
    });
    c.recv();
}
void with_main_in_blocking() {
    rt0::chan<int> c(1);
    rt0::go([c] { send_to(c); });
    rt0::blocking([] { usleep(150'000); });
    c.recv();
}
void with_locked(void (*wait)()) {
    rt0::chan<int> c(0);
    rt0::go([=] {
        rt0::this_goroutine::lock_os_thread();
        wait();
        send_to(c);
    });
    c.recv();
}
void with_busy(void (*work)()) {  // it loses its P meanwhile
    rt0::chan<int> c(0);
    for (int i = 0; i < 8; i++)
        rt0::go([=] {
            work();
            if (i == 0) send_to(c);
        });
    c.recv();
}
// The only one that does not wait has been seen to be without a P, and all Ps idle while it is.
void with_one_detached() {
    rt0::chan<int> c(0);
    std::atomic<rt0::runtime::m*> blocked{nullptr};
    std::atomic<bool> seen{false};
    rt0::go([&, c] {
        blocked = rt0::runtime::getg()->mp;
        while (!seen) usleep(1000);
        usleep(300'000);
        send_to(c);
    });
    rt0::wait_group others;  // whom it keeps from running, until then
    for (int i = 0; i < 2 * rt0::gomaxprocs(); i++)
        others.go([&] {
            for (; !seen; rt0::this_goroutine::yield())
                for (auto end = clock() + CLOCKS_PER_SEC / 500; clock() < end;) {}
        });
    while (!blocked || (blocked.load()->retake.load() & rt0::runtime::rt_phase) != rt0::runtime::rt_taken)
        rt0::this_goroutine::yield();
    seen = true;
    others.wait();
    c.recv();
}
// Main waits for what nobody could ever do.
void beside(void (*wait)()) {
    rt0::go([] {
        usleep(150'000);
        std::puts("alive");
        rt0::exit(0);
    });
    wait();
}
template <class F>
void with_main_gone(F pause) {
    rt0::go([=] {
        pause();
        std::puts("alive");
        rt0::exit(0);
    });
    rt0::this_goroutine::exit();
}

struct way {
    const char* name;
    void (*run)();
};
const way ways[] = {
    {"recv", [] { wait_for(rt0::chan<int>(0)); }},
    {"send", [] { send_to(rt0::chan<int>(0)); }},
    {"recv_nil", [] { wait_for(rt0::chan<int>()); }},
    {"send_nil", [] { send_to(rt0::chan<int>()); }},
    {"select", on_select},
    {"select_none", [] { rt0::select(); }},
    {"mutex", on_mutex},
    {"rwmutex_lock", [] { on_rwmutex(false); }},
    {"rwmutex_rlock", [] { on_rwmutex(true); }},
    {"condition", on_condition},
    {"wait_group", on_wait_group},
    {"semaphore", on_semaphore},
    {"once", [] { rt0::once o; o.call([&] { o.call([] {}); }); }},
    {"barrier", [] { rt0::barrier(2).arrive_and_wait(); }},
    {"join", [] { rt0::spawn([] { wait_for(rt0::chan<int>(0)); }).join(); }},
    {"nursery", [] { rt0::nursery().go([] { wait_for(rt0::chan<int>(0)); }); }},
    {"several", several},
    {"in_catch_block", in_catch_block},
    {"many", many},
    {"locked", locked},
    {"thread_came_and_went", thread_came_and_went},
    {"thread_ends_last", thread_ends_last},
    {"unknown_thread_ends_last", unknown_thread_ends_last},
    {"timer_stopped", timer_stopped},
    {"ticker_stopped", ticker_stopped},
    {"deadline_dropped", deadline_dropped},
    {"timeout_not_needed", timeout_not_needed},
    {"locked_among_others", locked_among_others},
    {"with_locked_sleeper", [] { with_locked([] { rt0::this_goroutine::sleep_for(150ms); }); }},
    {"with_locked_in_blocking", [] { with_locked([] { rt0::blocking([] { usleep(150'000); }); }); }},
    {"with_locked_in_the_kernel", [] { with_locked([] { usleep(150'000); }); }},
    {"with_one_in_the_kernel", [] { with_busy([] { usleep(150'000); }); }},
    {"with_one_that_loops", [] { with_busy([] { for (auto end = clock() + CLOCKS_PER_SEC / 7; clock() < end;) {} }); }},
    {"main_exits", main_exits},
    {"main_exits_others_wait", main_exits_others_wait},
    {"with_sleeper", with_sleeper},
    {"with_timed_receive", with_timed_receive},
    {"with_timer_function", with_timer_function},
    {"with_ticker", with_ticker},
    {"with_after", with_after},
    {"with_select_after", with_select_after},
    {"with_select_done", with_select_done},
    {"with_stop_at_deadline", with_stop_at_deadline},
    {"with_thread", with_thread},
    {"with_thread_that_waits", with_thread_that_waits},
    {"with_mutex", with_mutex},
    {"with_rwmutex_lock", [] { with_rwmutex(false); }},
    {"with_rwmutex_rlock", [] { with_rwmutex(true); }},
    {"with_condition", with_condition},
    {"with_wait_group", with_wait_group},
    {"with_semaphore", with_semaphore},
    {"with_latch", with_latch},
    {"with_join", with_join},
    {"with_sender", with_sender},
    {"latch", [] { rt0::latch(1).wait(); }},
    {"with_blocking", with_blocking},
    {"with_main_in_blocking", with_main_in_blocking},
    {"with_select", with_select},
    {"with_catch_block", with_catch_block},
    {"with_locked_among_others", with_locked_among_others},
    {"with_recv_nil", [] { beside([] { wait_for(rt0::chan<int>()); }); }},
    {"with_send_nil", [] { beside([] { send_to(rt0::chan<int>()); }); }},
    {"with_select_none", [] { beside([] { rt0::select(); }); }},
    {"with_one_detached", with_one_detached},
    {"with_main_gone_and_sleeper", [] { with_main_gone([] { rt0::this_goroutine::sleep_for(150ms); }); }},
    {"with_main_gone_and_one_in_the_kernel", [] { with_main_gone([] { usleep(150'000); }); }},
    {"unlock_mutex",
     [] {
         rt0::mutex m;
         m.unlock();
     }},
    {"unlock_on_thread", unlock_on_thread},
    {"unlock_rwmutex",
     [] {
         rt0::shared_mutex m;
         m.unlock();
     }},
    {"runlock_rwmutex",
     [] {
         rt0::shared_mutex m;
         m.unlock_shared();
     }},
    {"negative_wait_group",
     [] {
         rt0::wait_group wg;
         wg.done();
     }},
};

}  // namespace

void main_main() {
    auto args = rt0::args();
    for (auto& w : ways)
        if (args.size() > 1 && std::strcmp(args[1], w.name) == 0) {
            w.run();
            keep_frame();
            std::puts("alive");
            return;
        }
    std::fprintf(stderr, "no such way to wait\n");
    rt0::exit(99);
}
