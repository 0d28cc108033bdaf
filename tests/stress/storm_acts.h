// The acts of the storm: each draws its sizes from a seeded generator, knows what must come out (counts,
// sums, exactly once) and checks it, ST1-ST3 in storm_prog.cc.
#pragma once
#include <rt0/rt0.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/stress/storm.h"
#include "tests/stress/storm_stalls.h"

namespace {

using std::chrono::steady_clock;

// ---- channels: producers and consumers, closed when the last producer is done
void pipeline(rng r) {
    rt0::chan<parcel> ch(static_cast<std::size_t>(pick(r, 0, 1) ? pick(r, 0, 64) : 0));
    ledger books;
    rt0::wait_group producers, consumers;
    int n = pick(r, 1, 6), m = pick(r, 1, 6), each = pick(r, 1, 2000);
    for (int i = 0; i < m; i++)
        consumers.go([&, yields = pick(r, 0, 1)] {
            for (parcel& p : rt0::chan<parcel>(ch)) {
                books.out("pipeline", p);
                if (yields && p.value % 7 == 0) rt0::this_goroutine::yield();
            }
        });
    for (int i = 0; i < n; i++)
        producers.go([&, i] {
            for (int k = 0; k < each; k++) {
                parcel p(1000L * k + i);
                books.in(p);
                ch.send(p);
            }
        });
    producers.wait();
    ch.close();
    consumers.wait();
    expect("pipeline", "the number sent", books.sent, long{n} * each);
    books.settle("pipeline");
}

// ---- select: senders and receivers that choose among several channels
void exchange(rng r) {
    std::array<rt0::chan<parcel>, 4> ch;
    for (auto& c : ch) c = rt0::chan<parcel>(static_cast<std::size_t>(pick(r, 0, 2)));
    rt0::chan<char> quit(0);
    ledger books;
    rt0::wait_group senders, receivers;
    int each = pick(r, 1, 800);
    for (int i = pick(r, 1, 4); i > 0; i--)
        receivers.go([&] {
            auto take = [&](std::optional<parcel> p) { books.out("exchange", *p); };
            bool more = true;
            while (more)
                rt0::select(rt0::recv(ch[0], take), rt0::recv(ch[1], take), rt0::recv(ch[2], take),
                            rt0::recv(ch[3], take), rt0::recv(quit, [&](std::optional<char>) { more = false; }));
        });
    for (int i = pick(r, 1, 4); i > 0; i--)
        senders.go([&, i] {
            for (int k = 0; k < each; k++) {
                parcel p(k * 10L + i);
                books.in(p);
                std::size_t a = static_cast<std::size_t>(k) % 4, b = (a + 1) % 4;
                int ran = 0;
                rt0::select(rt0::send(ch[a], p, [&] { ran++; }), rt0::send(ch[b], p, [&] { ran++; }));
                if (ran != 1) expect("exchange", "handlers run", ran, 1);
            }
        });
    senders.wait();
    quit.close();
    receivers.wait();
    for (auto& c : ch)  // a receiver that saw quit may have left buffered parcels
        for (parcel p; c.try_recv(p) == rt0::op_status::ok;) books.out("exchange", p);
    books.settle("exchange");
}

// ---- timed, cancelled and immediate operations racing with each other
void impatience(rng r) {
    rt0::chan<parcel> ch(static_cast<std::size_t>(pick(r, 0, 2)));
    ledger books;
    std::stop_source stop;
    rt0::wait_group senders, receivers;
    std::atomic<bool> sending{true};
    int each = pick(r, 1, 300);
    for (int i = 0; i < 3; i++)
        receivers.go([&, r2 = rng(r())]() mutable {
            for (;;) {
                parcel p;
                bool last = !sending;  // read first: what is sent afterwards is not needed
                rt0::op_status s;
                switch (pick(r2, 0, 2)) {
                case 0: s = ch.try_recv(p); break;
                case 1: s = ch.recv_for(p, std::chrono::microseconds(pick(r2, 0, 200))); break;
                default: s = ch.recv(p, stop.get_token()); break;
                }
                if (s == rt0::op_status::ok) books.out("impatience", p);
                else if (last) return;
                else if (s == rt0::op_status::would_block) rt0::this_goroutine::yield();
            }
        });
    for (int i = 0; i < 3; i++)
        senders.go([&, r2 = rng(r())]() mutable {
            for (int k = 0; k < each; k++) {
                parcel p(k);
                auto us = std::chrono::microseconds(pick(r2, 0, 100));
                rt0::op_status s = pick(r2, 0, 1) ? ch.send_for(p, us) : ch.try_send(p);
                if (s == rt0::op_status::ok) books.in(p);
                else if (!p.whole() || p.value != k) expect("impatience", "a parcel not sent", p.value, k);
            }
        });
    senders.wait();
    sending = false;
    stop.request_stop();
    receivers.wait();
    for (parcel p; ch.try_recv(p) == rt0::op_status::ok;) books.out("impatience", p);
    books.settle("impatience");
}

// ---- locks
void locks(rng r) {
    rt0::mutex mu;
    rt0::shared_mutex rw;
    rt0::semaphore two(2);
    long plain = 0, guarded = 0, mirror = 0;  // not atomic: the locks must protect them
    std::atomic<int> inside{0};
    rt0::wait_group wg;
    int n = pick(r, 2, 12), each = pick(r, 1, 500);
    for (int i = 0; i < n; i++)
        wg.go([&, i] {
            for (int k = 0; k < each; k++) {
                {
                    std::unique_lock<rt0::mutex> hold(mu, std::defer_lock);
                    if (k % 8 != 0 || !mu.try_lock_for(50us)) hold.lock();
                    else hold = std::unique_lock<rt0::mutex>(mu, std::adopt_lock);
                    plain++;
                    if (k % 16 == 0) rt0::this_goroutine::yield();
                }
                if ((k + i) % 4 == 0) {
                    std::unique_lock<rt0::shared_mutex> write(rw);
                    guarded++;
                    if (k % 32 == 0) rt0::this_goroutine::yield();
                    mirror++;
                } else {
                    std::shared_lock<rt0::shared_mutex> read(rw);
                    if (guarded != mirror) expect("locks", "what a reader saw", guarded, mirror);
                }
                two.acquire();
                if (int now = ++inside; now > 2) expect("locks", "holders of a semaphore of 2", now, 2);
                if (k % 16 == 0) rt0::this_goroutine::yield();
                --inside;
                two.release();
            }
        });
    wg.wait();
    expect("locks", "the count under a mutex", plain, long{n} * each);
    expect("locks", "the second write", mirror, guarded);
}

// ---- a bounded buffer by condition variables
void conditions(rng r) {
    rt0::mutex mu;
    rt0::condition_variable not_empty, not_full;
    std::vector<parcel> buffer;
    std::size_t cap = static_cast<std::size_t>(pick(r, 1, 4));
    ledger books;
    rt0::wait_group wg;
    int n = pick(r, 1, 4), each = pick(r, 1, 400);
    for (int i = 0; i < n; i++) {
        wg.go([&] {
            for (int k = 0; k < each; k++) {
                std::unique_lock<rt0::mutex> hold(mu);
                not_full.wait(hold, [&] { return buffer.size() < cap; });
                buffer.emplace_back(k);
                books.in(buffer.back());
                hold.unlock();
                not_empty.notify_one();
            }
        });
        wg.go([&] {
            for (int k = 0; k < each; k++) {
                std::unique_lock<rt0::mutex> hold(mu);
                while (!not_empty.wait_for(hold, 300us, [&] { return !buffer.empty(); })) {
                }
                books.out("conditions", buffer.back());
                buffer.pop_back();
                hold.unlock();
                not_full.notify_one();
            }
        });
    }
    wg.wait();
    books.settle("conditions");
}

// ---- timers: each one armed fires or is stopped, never both
void timers(rng r) {
    std::atomic<long> fired{0};
    long armed = 0, stopped = 0;
    std::vector<std::unique_ptr<rt0::timer>> all;
    for (int i = pick(r, 1, 200); i > 0; i--) {
        all.push_back(std::make_unique<rt0::timer>(std::chrono::microseconds(pick(r, 0, 3000)), [&] { fired++; }));
        armed++;
    }
    for (auto& t : all) {
        switch (pick(r, 0, 3)) {
        case 0: stopped += t->stop(); break;
        case 1:
            if (t->reset(std::chrono::microseconds(pick(r, 0, 2000)))) stopped++;  // the first arming did not fire
            armed++;
            break;
        default: break;
        }
        if (pick(r, 0, 15) == 0) rt0::this_goroutine::sleep_for(200us);
    }
    while (fired + stopped < armed) rt0::this_goroutine::sleep_for(100us);
    rt0::this_goroutine::sleep_for(3ms);  // time for one too many
    expect("timers", "fired and stopped", fired + stopped, armed);
}

void sleepers(rng r) {
    rt0::wait_group wg;
    for (int i = pick(r, 1, 300); i > 0; i--)
        wg.go([d = std::chrono::microseconds(pick(r, 0, 5000))] {
            auto start = steady_clock::now();
            rt0::this_goroutine::sleep_for(d);
            if (steady_clock::now() - start < d) expect("sleepers", "a sleep ended early: this", 1, 0);
        });
    wg.wait();
}

// ---- spawn and exit
void family(int depth, std::atomic<long>& ended) {
    if (depth > 0) {
        rt0::wait_group children;
        for (int i = 0; i < 3; i++) children.go([&, depth] { family(depth - 1, ended); });
        children.wait();
    }
    ended++;
}

void spawns(rng r) {
    struct on_end {
        std::atomic<long>& n;
        ~on_end() { n++; }
    };
    int depth = pick(r, 1, 6);
    std::atomic<long> ended{0};
    family(depth, ended);
    long want = 0;
    for (long level = 1, i = 0; i <= depth; i++, level *= 3) want += level;
    expect("spawns", "the goroutines of a family", ended, want);

    std::atomic<long> destroyed{0};
    int n = pick(r, 1, 500);
    rt0::wait_group wg;
    wg.add(n);
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            struct done {
                rt0::wait_group& w;
                ~done() { w.done(); }
            } d{wg};
            on_end e{destroyed};
            if (i % 3 == 0) rt0::this_goroutine::exit();
            if (i % 5 == 0) rt0::this_goroutine::yield();
        });
    wg.wait();
    expect("spawns", "the destructors run", destroyed, n);

    std::vector<rt0::task<int>> tasks;
    for (int i = 0; i < n; i++)
        tasks.push_back(rt0::spawn([i] {
            if (i % 4 == 0) throw i;
            return i;
        }));
    long sum = 0, thrown = 0;
    for (auto& t : tasks) {
        try {
            sum += t.join();
        } catch (int i) {
            rt0::this_goroutine::yield();  // parks inside the catch block
            sum += i, thrown++;
        }
    }
    expect("spawns", "the sum of the tasks", sum, long{n} * (n - 1) / 2);
    expect("spawns", "the exceptions", thrown, (n + 3) / 4);
}

void nurseries(rng r) {
    std::atomic<long> started{0}, left{0};
    bool caught = false;
    int n = pick(r, 2, 50), bad = pick(r, 0, n - 1);
    try {
        rt0::nursery all;
        for (int i = 0; i < n; i++)
            all.go([&, i](std::stop_token stop) {
                started++;
                if (i == bad) {
                    left++;
                    throw std::runtime_error("one of them fails");
                }
                rt0::select(rt0::done(stop, [] {}));
                left++;
            });
    } catch (const std::runtime_error&) {
        caught = true;
    }
    expect("nurseries", "the failure", caught, true);
    expect("nurseries", "those that left", left, started);

    rt0::context root;
    rt0::context top = root.child();
    std::vector<rt0::context> tree{top};
    for (int i = 0; i < n; i++) tree.push_back(tree[static_cast<std::size_t>(pick(r, 0, i))].child(1h));
    rt0::wait_group wg;
    for (auto& c : tree) wg.go([c] { rt0::select(rt0::done(c.stop_token(), [] {})); });
    top.cancel();
    wg.wait();
    for (auto& c : tree) expect("nurseries", "a cancelled context", c.stop_token().stop_requested(), true);
}

// ---- leaving the scheduler
void outside(rng r) {
    rt0::wait_group wg;
    std::atomic<long> back{0};
    int n = pick(r, 1, 12);
    for (int i = 0; i < n; i++)
        wg.go([&, us = pick(r, 0, 500)] {
            rt0::blocking([us] { std::this_thread::sleep_for(std::chrono::microseconds(us)); });
            back++;
        });
    wg.wait();
    expect("outside", "those that came back", back, n);

    wg.go([&] {
        rt0::this_goroutine::lock_os_thread();
        auto me = std::this_thread::get_id();
        for (int i = 0; i < 20; i++) {
            rt0::this_goroutine::yield();
            if (i % 4 == 0) rt0::this_goroutine::sleep_for(50us);
            if (std::this_thread::get_id() != me) expect("outside", "a locked goroutine on another thread: this", 1, 0);
        }
        rt0::this_goroutine::unlock_os_thread();
    });
    wg.wait();
}

struct act {
    const char* name;
    void (*run)(rng);
};
constexpr act acts[] = {
    {"pipeline", pipeline}, {"exchange", exchange},   {"impatience", impatience}, {"locks", locks},
    {"conditions", conditions}, {"timers", timers},   {"sleepers", sleepers},     {"spawns", spawns},
    {"nurseries", nurseries},   {"outside", outside}, {"stalls", stalls}, {"strangers", strangers}, {"resizes", resizes},
};

}  // namespace
