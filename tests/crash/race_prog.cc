// Scenes for tests/crash/race_test.cc: argv[1] names one.  Two goroutines on two threads use one plain
// variable: without order, or ordered by one of rt0's means, or by none of them but an atomic.
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <string>

#include <rt0/rt0.h>

namespace {

constexpr int rounds = 200;
long plain = 0;

std::atomic<int> here{0};
// Both callers run, each on a thread of its own, when it returns.  relaxed: no order comes of it, and
// as nothing but the use of `plain` follows, none comes of the scheduler either.
void meet(int guests = 2) {
    here.fetch_add(1, std::memory_order_relaxed);
    while (here.load(std::memory_order_relaxed) < guests) {}
}

// f(0) and f(1) at once.
template <class F>
void two(F f) {
    rt0::wait_group both;
    for (int i = 0; i < 2; i++)
        both.go([f, i]() mutable {
            meet();
            f(i);
        });
    both.wait();
}

// ---- without order

// Often: of two uses at the very same moment ThreadSanitizer may see neither in time for the other.
void use_often() {
    for (int k = 0; k < 10'000; k++) {
        plain++;
        asm volatile("" : : : "memory");  // or it becomes one addition
    }
}

void unordered() {
    two([](int) { use_often(); });
}

std::atomic<bool> flag{false};
template <std::memory_order Store, std::memory_order Load>
void by_flag() {
    two([](int i) {
        if (i == 0) {
            use_often();
            flag.store(true, Store);
        } else {
            while (!flag.load(Load)) {}
            use_often();
        }
    });
}

// What comes after the send is not ordered by it.
void after_send() {
    rt0::chan<int> c(1);
    two([c](int i) mutable {
        if (i == 0) c.send(1);
        else c.recv();
        meet(4);
        use_often();
    });
}

// ---- with order

void by_turns(std::size_t room) {
    rt0::chan<int> there(room), back(room);
    two([there, back](int i) mutable {
        for (int k = 0; k < rounds; k++) {
            if (i == 1) there.recv();
            plain++;
            if (i == 0) {
                there.send(k);
                back.recv();
            } else {
                back.send(k);
            }
        }
    });
}

void by_close() {
    rt0::chan<int> c(0);
    two([c](int i) mutable {
        if (i == 0) {
            plain++;
            c.close();
        } else {
            c.recv();
            plain++;
        }
    });
}

void by_select() {
    rt0::chan<int> there(0), back(0), never;
    two([=](int i) mutable {
        for (int k = 0; k < rounds; k++) {
            if (i == 1) rt0::select(rt0::recv(never, [](std::optional<int>) {}), rt0::recv(there, [](std::optional<int>) {}));
            plain++;
            if (i == 0) {
                rt0::select(rt0::send(there, k), rt0::recv(never, [](std::optional<int>) {}));
                back.recv();
            } else {
                rt0::select(rt0::recv(never, [](std::optional<int>) {}), rt0::send(back, k));
            }
        }
    });
}

template <class Lock>
void by_lock() {
    static Lock m;
    two([](int) {
        for (int k = 0; k < rounds; k++) {
            std::lock_guard<Lock> l(m);
            plain++;
        }
    });
}

void by_readers() {
    static rt0::shared_mutex m;
    two([](int i) {
        long sum = 0;
        for (int k = 0; k < rounds; k++) {
            if ((k + i) % 2) {
                std::shared_lock<rt0::shared_mutex> l(m);
                sum += plain;
            } else {
                std::unique_lock<rt0::shared_mutex> l(m);
                plain++;
            }
        }
        if (sum < 0) rt0::panic("race_prog: a sum of counts");
    });
}

void by_condition() {
    static rt0::mutex m;
    static rt0::condition_variable cv;
    static int turn = 0;
    two([](int i) {
        for (int k = 0; k < rounds; k++) {
            {
                std::unique_lock<rt0::mutex> l(m);
                cv.wait(l, [i] { return turn == i; });
            }
            plain++;
            std::unique_lock<rt0::mutex> l(m);
            turn = 1 - i;
            cv.notify_one();
        }
    });
}

void by_wait_group() {
    static rt0::wait_group done;
    done.add(1);
    two([](int i) {
        if (i == 1) done.wait();
        plain++;
        if (i == 0) done.done();
    });
}

void by_once() {
    static rt0::once o;
    two([](int) {
        o.call([] { plain++; });
        if (plain != 1) rt0::panic("race_prog: once");
    });
}

void by_semaphore() {
    static rt0::semaphore s(1);
    two([](int) {
        for (int k = 0; k < rounds; k++) {
            s.acquire();
            plain++;
            s.release();
        }
    });
}

void by_latch() {
    static rt0::latch l(1);
    two([](int i) {
        if (i == 1) l.wait();
        plain++;
        if (i == 0) l.count_down();
    });
}

void by_barrier() {
    static rt0::barrier<> b(2);
    two([](int i) {
        for (int k = 0; k < rounds; k++) {
            if (k % 2 == i) plain++;
            b.arrive_and_wait();
        }
    });
}

void by_context() {
    rt0::context ctx;
    two([ctx](int i) {
        if (i == 0) {
            plain++;
            ctx.cancel();
        } else {
            while (!ctx.stop_token().stop_requested()) {}
            plain++;
        }
    });
}

void by_timer() {
    for (int k = 0; k < 5; k++) {
        plain++;
        rt0::chan<int> fired(0);
        rt0::timer t(std::chrono::milliseconds(1), [fired]() mutable {
            plain++;
            fired.send(1);
        });
        fired.recv();
        plain++;
    }
}

// What the parent did before go() is seen; what ends, by whoever runs on the same memory next.
void by_birth() {
    for (int k = 0; k < rounds; k++) {
        plain++;
        rt0::wait_group one;
        one.go([] { rt0::blocking([] { plain++; }); });
        one.wait();
    }
}

const std::map<std::string, void (*)()> scenes = {
    {"unordered", unordered},
    {"relaxed_flag", by_flag<std::memory_order_relaxed, std::memory_order_relaxed>},
    {"after_send", after_send},
    {"flag", by_flag<std::memory_order_release, std::memory_order_acquire>},
    {"chan", [] { by_turns(0); }},
    {"buffer", [] { by_turns(1); }},
    {"close", by_close},
    {"select", by_select},
    {"mutex", by_lock<rt0::mutex>},
    {"shared_mutex", by_lock<rt0::shared_mutex>},
    {"readers", by_readers},
    {"condition", by_condition},
    {"wait_group", by_wait_group},
    {"once", by_once},
    {"semaphore", by_semaphore},
    {"latch", by_latch},
    {"barrier", by_barrier},
    {"context", by_context},
    {"timer", by_timer},
    {"birth", by_birth},
};

}  // namespace

void main_main() { scenes.at(rt0::args()[1])(); }
