// Scenes for tests/crash/seed_test.cc, run under RT0DEBUG=schedseed=N: argv[1] names one.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <rt0/rt0.h>

#include "base/mix.h"
#include "sched/choose.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

// What happened, in its order.
struct history {
    std::uint64_t hash = 0;
    void note(std::uint64_t what) { hash = rt0::runtime::mix64(hash ^ what); }
};

// So long that it would lose its P: in a call, for some asleep without saying so, or in a loop.
void take_long(int id, history& log) {
    rt0::blocking([&] {
        usleep(200);
        log.note(50'000 + id);
    });
    if (id == 1) usleep(15'000);
    if (id == 2)
        for (auto end = std::chrono::steady_clock::now() + 15ms; std::chrono::steady_clock::now() < end;) {}
    log.note(90'000 + id);
}

// Goroutines that race with each other on all that the runtime offers, for an order-dependent log.
void race() {
    history log;
    rt0::chan<int> un(0), buf(3);
    rt0::mutex m;
    rt0::condition_variable cv;
    rt0::semaphore no_permit(0);
    int turns = 0;
    rt0::wait_group all;
    for (int id = 0; id < 5; id++) {
        all.go([&, id] {
            for (int i = 0; i < 8; i++) {
                un.send(100 * id + i);
                log.note(1000 + id);
            }
        });
        all.go([&] {
            for (int i = 0; i < 8; i++) {
                rt0::select(rt0::recv(un, [&](std::optional<int> v) { log.note(*v); }),
                            rt0::recv(buf, [&](std::optional<int> v) { log.note(10'000 + *v); }));
            }
            for (int i = 0; i < 4; i++) this_goroutine::yield();
        });
        all.go([&, id] {
            {
                std::lock_guard l(m);
                log.note(++turns * 16 + id);
                cv.notify_all();
            }
            std::unique_lock l(m);
            cv.wait(l, [&] { return turns == 5; });
            log.note(20'000 + id);
        });
        all.go([&, id] {
            this_goroutine::sleep_for(std::chrono::microseconds(50 * (id % 2)));
            rt0::select(rt0::send(buf, id, [&] { log.note(30'000 + id); }), rt0::after(20us, [&] { log.note(40'000 + id); }));
            log.note(no_permit.acquire_for(std::chrono::microseconds(10 * id)));
            log.note(80'000 + id);
            if (id == 0) this_goroutine::lock_os_thread();
            all.go([&, id] { log.note(this_goroutine::id() << 8 | id); });
            take_long(id, log);
        });
    }
    // What they leave behind, so that all of them end.
    std::atomic<bool> done{false};
    auto sweeper = rt0::spawn([&] {
        for (int v; !done;) {
            if (un.try_recv(v) == rt0::op_status::ok) log.note(60'000 + v);
            int seven = 7;
            buf.try_send(seven);
            this_goroutine::yield();
        }
    });
    all.wait();
    done = true;
    sweeper.join();
    rt0::println(log.hash, rt0::runtime::seeded_hash(), rt0::now().time_since_epoch().count());
}

// More goroutines than a ring or the newborns of a P hold.
void crowd() {
    history log;
    rt0::wait_group all;
    for (int id = 0; id < 3000; id++)
        all.go([&, id] {
            this_goroutine::yield();
            log.note(id);
        });
    all.wait();
    rt0::println(log.hash, rt0::runtime::seeded_hash());
}

// A race of the user's: between check and act stands a lock, and at a lock others may run.
void overdrawn() {
    rt0::mutex m;
    int balance = 100;
    auto withdraw = [&] {
        bool enough;
        {
            std::lock_guard l(m);
            enough = balance >= 100;
        }
        std::lock_guard l(m);
        if (enough) balance -= 100;
        if (balance < 0) rt0::panic("overdrawn");
    };
    rt0::wait_group all;
    for (int i = 0; i < 2; i++) all.go(withdraw);
    all.wait();
    rt0::println("balance", balance);
}

// Two locks in two orders.
void embrace() {
    rt0::mutex a, b;
    rt0::wait_group all;
    auto both = [](rt0::mutex& x, rt0::mutex& y) {
        std::lock_guard l(x);
        std::lock_guard k(y);
    };
    all.go([&] { both(a, b); });
    all.go([&] { both(b, a); });
    all.wait();
    rt0::println("apart");
}

void wrong_status() {
    rt0::chan<int> c(2);
    rt0::wait_group all;
    for (int i = 0; i < 2; i++) all.go([&, i] { c.send(i); });
    all.wait();
    rt0::exit(*c.recv());
}

// An hour of each kind.
void hour() {
    auto start = rt0::now();
    std::vector<int> order;
    rt0::wait_group all;
    for (int i = 4; i > 0; i--)
        all.go([&, i] {
            this_goroutine::sleep_for(std::chrono::minutes(15 * i));
            order.push_back(i);
        });
    all.wait();
    bool in_order = order == std::vector<int>{1, 2, 3, 4};
    auto slept = rt0::now() - start;
    rt0::println("slept", slept >= 60min && slept < 60min + 1s ? "an hour" : "something else", in_order);
    this_goroutine::sleep_until(std::chrono::steady_clock::now() + 1h);
    this_goroutine::sleep_until(std::chrono::system_clock::now() + 1h);
    rt0::mutex m;
    rt0::condition_variable cv;
    std::unique_lock l(m);
    rt0::println(cv.wait_for(l, 1h, [] { return false; }));
    rt0::println(cv.wait_until(l, std::chrono::system_clock::now() + 1h, [] { return false; }));
    rt0::context c = rt0::context().child(1h);
    rt0::select(rt0::done(c.stop_token(), [] { rt0::println("deadline"); }), rt0::after(2h, [] { rt0::println("late"); }));
    rt0::ticker t(1h);
    for (int i = 0; i < 24; i++) t.channel().recv();
    rt0::println("ticked");
    for (auto end = rt0::now() + 10ms; rt0::now() < end;) {}
    for (auto end = rt0::now() + 10ms; rt0::now() < end;) this_goroutine::yield();
    rt0::println("polled");
}

// More goroutines that yield for ever than the P's ring holds: the one that ends them has its turn, too.
void full_ring() {
    bool over = false;
    rt0::wait_group all;
    for (int i = 0; i < 600; i++)
        all.go([&] {
            while (!over) this_goroutine::yield();
        });
    for (int i = 0; i < 10; i++) this_goroutine::yield();
    over = true;
    all.wait();
    rt0::println("over");
}

// A timer that never fires is nothing to skip to, while a thread takes its time.
void never() {
    rt0::go([] { this_goroutine::sleep_for(std::chrono::nanoseconds::max()); });
    rt0::chan<int> c(0);
    std::thread slow([c]() mutable {
        std::this_thread::sleep_for(50ms);
        c.send(1);
    });
    c.recv();
    slow.join();
    auto start = rt0::now();
    this_goroutine::sleep_for(1h);
    auto slept = rt0::now() - start;
    rt0::println(slept >= 60min && slept < 61min ? "an hour" : "something else");
}

// Another number of Ps is not to be had.
void procs() { rt0::println(rt0::gomaxprocs(4), rt0::gomaxprocs()); }

void asleep() {
    rt0::go([] {
        this_goroutine::sleep_for(1h);
        rt0::println("an hour later");
    });
    rt0::chan<int>(0).recv();
}

// How often who is made ready, and should be next as soon as its waker yields, is not: without a seed never.
void surprises() {
    rt0::chan<int> c(0);
    std::atomic<int> turns{0}, before{0};  // one P, but who loses it in user code runs on
    std::atomic<bool> over{false};
    int late = 0;
    rt0::wait_group all;
    for (int i = 0; i < 3; i++)
        all.go([&] {
            while (!over) {
                this_goroutine::yield();
                turns++;
            }
        });
    all.go([&] {
        while (c.recv()) late += turns != before;
    });
    for (int i = 0; i < 10; i++) this_goroutine::yield();
    for (int i = 0; i < 500; i++) {
        before = turns.load();
        c.send(i);
        for (int k = 0; k < 5; k++) this_goroutine::yield();
    }
    over = true;
    c.close();
    all.wait();
    rt0::println(late);
}

void fault() {
    static int* volatile nowhere = nullptr;
    *nowhere = 1;
}

// A failed assert.
void aborts() { std::abort(); }

}  // namespace

void main_main() {
    const std::string name = rt0::args().size() > 1 ? rt0::args()[1] : "";
    const std::pair<const char*, void (*)()> scenes[] = {
        {"race", race}, {"crowd", crowd}, {"overdrawn", overdrawn}, {"embrace", embrace}, {"status", wrong_status},
        {"full_ring", full_ring}, {"never", never},
        {"hour", hour}, {"procs", procs}, {"asleep", asleep}, {"surprises", surprises}, {"fault", fault},
        {"aborts", aborts}};
    for (auto [n, f] : scenes)
        if (name == n) return f();
    rt0::println("no such scene:", name);
    rt0::exit(3);
}
