// Under RT0DEBUG=chaos=SEED every window of base/chaos.h is come to: a list of windows that nothing passes by would
// prove nothing.
//
// Scenes that go through the protocols, again and again until all have been seen.  One that never is fails the test,
// by its number in the enumeration.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>

#include <rt0/rt0.h>

#include "base/chaos.h"
#include "kernel_if/activity.h"
#include "kernel_if/syscall.h"
#include "sched/debugvars.h"

using namespace std::chrono_literals;
using std::chrono::steady_clock;
namespace rt = rt0::runtime;
namespace this_goroutine = rt0::this_goroutine;

namespace {

void raw_nanosleep(long ns) {
    timespec t{0, ns};
    rt0::kernel::sysc_sure(SYS_nanosleep, &t, nullptr);
}
void compute_for(std::chrono::microseconds d) {
    for (const auto end = steady_clock::now() + d; steady_clock::now() < end;) {}
}

void channels_and_select() {
    rt0::chan<int> a(0), b(3), quit(0);
    std::stop_source stop;
    rt0::wait_group senders, receivers;
    for (int i = 0; i < 4; i++) {
        senders.go([=]() mutable {
            for (int k = 0; k < 50; k++) rt0::select(rt0::send(a, k), rt0::send(b, k));
        });
        receivers.go([=, token = stop.get_token()]() mutable {
            for (bool more = true; more;) {
                int v;
                a.try_recv(v);
                rt0::select(rt0::recv(a, [](auto) {}), rt0::recv(b, [](auto) {}), rt0::after(20us, [] {}),
                            rt0::done(token, [&] { more = false; }));
            }
            quit.recv();
        });
    }
    for (int k = 0; k < 20; k++) {
        a.recv_for(k, 50us);
        rt0::select(rt0::after(30us, [] {}));
    }
    senders.wait();
    stop.request_stop();
    quit.close();
    receivers.wait();
}

void locks_and_timers() {
    rt0::mutex mu;
    rt0::semaphore one(1);
    rt0::wait_group wg;
    for (int i = 0; i < 6; i++)
        wg.go([&] {
            for (int k = 0; k < 30; k++) {
                if (mu.try_lock_for(20us)) {
                    this_goroutine::yield();
                    mu.unlock();
                }
                std::lock_guard hold(mu);
                one.acquire();
                this_goroutine::sleep_for(10us);
                one.release();
            }
        });
    wg.wait();
}

// More than a deque of newborns holds, and than a ring when they are let go at once.
void crowd() {
    rt0::chan<int> gate(0);
    rt0::wait_group wg;
    for (int i = 0; i < 1500; i++) wg.go([=]() mutable { gate.recv(); });
    this_goroutine::sleep_for(2ms);
    gate.close();
    wg.wait();
}

// Declared and undeclared, short and long, and loops enough for hogs beside a world that stops.
void blocked_and_busy() {
    rt0::wait_group wg;
    for (int i = 0; i < 6; i++)
        wg.go([i] {
            for (int k = 0; k < 10; k++) {
                rt0::blocking([&] { raw_nanosleep(1000L << k); });
                raw_nanosleep(100'000L * i);
                compute_for(200us);
                this_goroutine::yield();
            }
        });
    for (int i = 0; i < 5; i++)
        wg.go([] {
            for (int k = 0; k < 3; k++) {
                compute_for(15ms);
                this_goroutine::yield();
            }
        });
    const int p = rt0::gomaxprocs();
    for (int k = 0; k < 10; k++) {
        rt0::gomaxprocs(p + k % 2);
        this_goroutine::sleep_for(1ms);
    }
    rt0::gomaxprocs(p);
    wg.wait();
}

std::uint64_t wanted() {
#ifdef RT0_DEBUG
    const int n = static_cast<int>(rt::window::count);
#else
    const int n = static_cast<int>(rt::first_debug_window);
#endif
    std::uint64_t all = ~std::uint64_t{0} >> (64 - n);
    const auto idle_class = std::uint64_t{1} << static_cast<int>(rt::window::idle_class);
    if (!rt::debug.hogidle || !rt0::kernel::idle_class_permitted()) all &= ~idle_class;
    return all;
}

TEST(ChaosWindows, EachIsComeTo) {
    const int procs = rt0::gomaxprocs(4);
    const std::uint64_t before = rt::chaos_seed(), want = wanted();
    const auto end = steady_clock::now() + 150s;
    auto missing = [&] { return want & ~rt::chaos_seen.load(); };
    for (std::uint64_t seed = 1; missing() != 0 && steady_clock::now() < end; seed++) {
        rt::chaos_state = seed;
        channels_and_select();
        locks_and_timers();
        crowd();
        blocked_and_busy();
        rt0::wait_group wg;
        for (int i = 0; i < 3; i++) wg.go([] { this_goroutine::sleep_for(3ms); });  // and an idle moment
        wg.wait();
    }
    rt::chaos_state = before;
    rt0::gomaxprocs(procs);
    std::string never;
    for (int w = 0; w < 64; w++)
        if (missing() >> w & 1) never += " " + std::to_string(w);
    EXPECT_EQ(never, "");
}

}  // namespace
