// Scenes for tests/crash/sched_test.cc: argv[1] names one.  RT0_TEST_INJECT=call:nth:err:count
// arms a fault before main, from a static constructor.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <rt0/go.h>

#include "kernel_if/inject.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

struct armed {
    armed() {
        const char* s = std::getenv("RT0_TEST_INJECT");
        unsigned call, nth;
        int err, count;
        if (s && std::sscanf(s, "%u:%u:%d:%d", &call, &nth, &err, &count) == 4)
            rt0::kernel::inject_fail(static_cast<rt0::kernel::inject>(call), nth, err, count);
    }
} armed_before_main;

// n goroutines, each with a thread of its own.
void need_threads(int n) {
    std::atomic<int> here{0};
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            this_goroutine::lock_os_thread();
            here++;
            while (here.load() < n) this_goroutine::yield();
        });
    while (here.load() < n || rt0::num_goroutine() > 1) this_goroutine::yield();
}

struct at_exit_yields {
    bool on = false;
    ~at_exit_yields() {
        if (!on) return;
        for (int i = 0; i < 10; i++) this_goroutine::yield();
        rt0::println("destructor ran");
    }
} late;

void exit_under_load(int code) {
    late.on = true;
    for (int i = 0; i < 10'000; i++)
        rt0::go([i] {
            for (;;) {
                if (i % 4 == 0) this_goroutine::sleep_for(std::chrono::microseconds(i % 500));
                if (i % 2000 == 1) rt0::blocking([] { usleep(10); });
                this_goroutine::yield();
            }
        });
    // Long enough for sysmon to have asked this goroutine to yield.
    auto end = std::chrono::steady_clock::now() + 50ms;
    while (std::chrono::steady_clock::now() < end) {}
    std::printf("bye ");  // left in stdio's buffer
    if (code >= 0) rt0::exit(code);
}

std::atomic<int> destroyed{0};

struct at_thread_exit {
    std::string name;
    ~at_thread_exit() {
        if (name == "of a locked goroutine") destroyed++;
        rt0::println("thread_local destructor", name);
    }
};

// The initial thread stays when its locked goroutine ends, all others end.
void locked_thread_local() {
    constexpr int n = 4;
    std::atomic<int> here{0}, initial{0};
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            this_goroutine::lock_os_thread();
            static thread_local at_thread_exit mine;
            mine.name = "of a locked goroutine";
            if (gettid() == getpid()) initial++;
            here++;
            while (here.load() < n) this_goroutine::yield();
        });
    while (here.load() < n || rt0::num_goroutine() > 1) this_goroutine::yield();
    while (destroyed.load() < n - initial.load()) this_goroutine::yield();
    rt0::println("all gone");
}

void fork_and_exec() {
    int good = 0;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/true", "true", nullptr);
            _exit(127);
        }
        int status = -1;
        rt0::blocking([&] { waitpid(pid, &status, 0); });
        if (status == 0) good++;
        this_goroutine::yield();
    }
    rt0::println("children", good);
}

void swallow() {
    try {
        this_goroutine::exit();
    } catch (...) {
    }
}

void limits(const std::string& what) {
    if (what == "up") rt0::println("up", rt0::kernel::inject_hits(rt0::kernel::inject::check));
    if (what == "procs") rt0::println("procs", rt0::gomaxprocs());
    if (what == "threads") {
        need_threads(8);
        rt0::println("done", rt0::kernel::inject_hits(rt0::kernel::inject::clone));
    }
    if (what == "limit") {
        rt0::set_max_threads(12);
        need_threads(40);
    }
    if (what == "lower-limit") rt0::set_max_threads(1);
    if (what == "bad-limit") rt0::set_max_threads(0);
}

void ends(const std::string& what) {
    if (what == "exit") exit_under_load(7);
    if (what == "return") exit_under_load(-1);
    if (what == "exit-outside") rt0::blocking([] { rt0::exit(9); });
    if (what == "sleep-at-exit") {
        std::atexit([] { this_goroutine::sleep_for(1ms); });
        rt0::exit(0);
    }
    if (what == "deadlock-after-locked") {
        rt0::go([] { this_goroutine::lock_os_thread(); });
        this_goroutine::exit();
    }
    if (what == "main-exits") {
        rt0::go([] {
            this_goroutine::sleep_for(5ms);
            rt0::println("others go on");
        });
        this_goroutine::exit();
    }
    if (what == "swallowed" || what == "pthread-exit") {
        rt0::go([what] { what == "swallowed" ? swallow() : pthread_exit(nullptr); });
        this_goroutine::sleep_for(10s);
    }
    if (what == "locked-thread-local") locked_thread_local();
    if (what == "fork") fork_and_exec();
}

}  // namespace

void main_main() {
    std::string what = rt0::args().size() > 1 ? rt0::args()[1] : "up";
    limits(what);
    ends(what);
}
