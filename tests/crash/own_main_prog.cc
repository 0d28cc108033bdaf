// A program with a plain main: the runtime boots at the first call, from several threads
// at once when argv[1] is "many", in a static constructor when RT0_TEST_EARLY is set.
// "busy" exits beside runnable goroutines, "hold" beside parked ones, "hold!" on a thread that never called rt0; "late" and
// "parked" wait long; "timer" waits outside the runtime.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/time.h>

#include "tests/support/armed.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

static std::atomic<int> ran{0};

static struct early {
    early() {
        if (std::getenv("RT0_TEST_EARLY")) rt0::go([] { ran++; });
    }
} early_user;

static void use_the_runtime() {
    std::uint64_t id = this_goroutine::id();
    for (int k = 0; k < 20; k++) {
        rt0::go([] {
            this_goroutine::yield();
            ran++;
        });
        this_goroutine::yield();
    }
    this_goroutine::sleep_for(1ms);
    if (this_goroutine::id() != id) std::abort();
}

// A goroutine waits for a thread that is long outside the runtime: past sysmon's deep sleep.
static int send_late() {
    rt0::chan<int> c(0);
    rt0::go([c]() mutable {
        if (c.recv() == 7) ran++;
    });
    this_goroutine::yield();
    std::this_thread::sleep_for(1500ms);
    c.send(7);
    while (ran.load() == 0) this_goroutine::yield();
    return 4;
}

// Nobody but the one timer, and main never comes back.
static int wait_outside() {
    std::atomic<bool> done{false};
    rt0::timer t(1ms, [&] { done = true; });
    while (!done) usleep(1000);
    return 8;
}

// Main itself waits for ever, and no goroutine can run: who knows what a handler of the program would do.
static int park_for_ever() {
    std::signal(SIGALRM, [](int) {
        (void)!write(STDOUT_FILENO, "the handler ran\n", 16);
        _exit(6);
    });
    rt0::chan<int> c(0);
    rt0::go([c]() mutable { c.recv(); });
    this_goroutine::sleep_for(1ms);
    alarm(2);  // past sysmon's deep sleep
    c.recv();
    return 1;
}

// Goroutines that live hold memory when the process ends; for leak_test.cc.
static int end_beside_holders(bool by_stranger) {
    static rt0::chan<int> never(0);
    for (int i = 0; i < 20; i++)
        rt0::go([p = std::make_unique<char[]>(1234)] {
            ran++;
            never.recv();
        });
    while (ran.load() < 20) this_goroutine::sleep_for(100us);
    if (by_stranger) std::thread([] { std::exit(0); }).join();
    return 0;
}

// Nobody else enters the runtime once a thread of ours exits, and that thread may still use it.
static int exit_beside_others() {
    for (int i = 0; i < 100; i++)
        rt0::go([] {
            for (;;) this_goroutine::yield();
        });
    std::atexit([] {
        rt0::chan<int> c(1);
        c.send(1);
        for (int i = 0; i < 10; i++) this_goroutine::yield();
        rt0::println("the handler ran");
    });
    this_goroutine::sleep_for(1ms);
    rt0::exit(5);
}

int main(int argc, char** argv) {
    if (argc > 1 && !std::strcmp(argv[1], "busy")) return exit_beside_others();
    if (argc > 1 && !std::strcmp(argv[1], "late")) return send_late();
    if (argc > 1 && !std::strcmp(argv[1], "timer")) return wait_outside();
    if (argc > 1 && !std::strcmp(argv[1], "parked")) return park_for_ever();
    if (argc > 1 && !std::strncmp(argv[1], "hold", 4)) return end_beside_holders(argv[1][4]);
    bool many = argc > 1 && !std::strcmp(argv[1], "many");
    int n = many ? 16 : 1;
    std::vector<std::thread> ts;
    for (int i = 0; i < n; i++) ts.emplace_back(use_the_runtime);
    for (auto& t : ts) t.join();
    int want = 20 * n + (std::getenv("RT0_TEST_EARLY") ? 1 : 0);
    while (ran.load() < want) this_goroutine::sleep_for(100us);
    while (rt0::num_goroutine() > 1) this_goroutine::sleep_for(100us);
    rt0::println("ran", ran.load(), "goroutines", rt0::num_goroutine());
    if (argc > 1 && !std::strcmp(argv[1], "exit")) rt0::exit(5);
    return 3;
}
