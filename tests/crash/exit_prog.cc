// Ways to end without dying: exit_prog NAME.  Each prints what ran, once.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "base/throw.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"
#include "tests/support/parked.h"

namespace {

struct announced {
    const char* what;
    explicit announced(const char* w) : what(w) {}
    ~announced() { std::printf("static destructor: %s\n", what); }
};
announced global("global");

void at_exit() { std::printf("atexit\n"); }

void busy(std::atomic<int>& running) {
    running++;
    for (;;) rt0::this_goroutine::yield();
}
void start_busy(std::atomic<int>& running, int n) {
    for (int i = 0; i < n; i++) rt0::go([&running] { busy(running); });
    while (running < n) rt0::this_goroutine::yield();
}

std::atomic<int> running{0};

constexpr int many = test::tsan ? 1000 : 10'000;  // its fibers take a millisecond each where there are as many
void return_while_many_run() { start_busy(running, many); }
void exit_while_many_run() {
    start_busy(running, many);
    rt0::exit(5);
}
void std_exit_while_many_run() {
    start_busy(running, 1000);
    std::exit(14);
}
void exit_while_channels_are_used() {
    rt0::chan<int> c(8);
    for (int i = 0; i < 200; i++) {
        rt0::go([c]() mutable {
            running++;
            for (int k = 0;; k++) c.send(k);
        });
        rt0::go([c]() mutable {
            running++;
            for (;;) c.recv();
        });
    }
    while (running < 400) rt0::this_goroutine::yield();
    rt0::exit(6);
}
void exit_while_some_block() {
    for (int i = 0; i < 4; i++)
        rt0::go([] {
            rt0::blocking([] {
                running++;
                pause();
            });
        });
    while (running < 4) rt0::this_goroutine::yield();
    rt0::exit(7);
}
void exit_from_goroutine() {
    rt0::chan<int> never(0);
    rt0::go([] { rt0::exit(4); });
    never.recv();
}
void two_exits() {
    rt0::chan<int> never(0);
    for (int i = 0; i < 8; i++) rt0::go([] { rt0::exit(3); });
    never.recv();
}
void std_exit() {
    rt0::chan<int> never(0);
    rt0::go([] { std::exit(8); });
    never.recv();
}
void rt0_in_atexit() {
    // rt0 inside an atexit handler: it must not hang and not crash.
    std::atexit([] { rt0::println("println in atexit"); });
    rt0::exit(9);
}


// ---- calls that come too late (EX1)

std::atomic<bool> ending{false};
std::atomic<int> late[3];  // ids of threads that are about to cross

// Says so if a thread that calls the runtime while the process ends comes back.
void went_on(const char* who) { std::printf("%s went on\n", who); }

void until_asleep(int tid) {
    std::string file = "/proc/self/task/" + std::to_string(tid) + "/stat", word;
    for (int in_a_row = 0; in_a_row < 20; usleep(1000)) {
        std::ifstream stat(file);
        for (int i = 0; i < 3; i++) stat >> word;  // names have no blanks here
        in_a_row = word == "S" ? in_a_row + 1 : 0;
    }
}
void all_are_marked() {
    using namespace rt0::runtime;
    runtime_call rc;
    rcu_reader r;
    int unmarked = 0;
    for (m* mp : allm()) unmarked += !(mp->retake.load() & rt_exiting);
    std::printf("ms that may go on: %d\n", unmarked);
}
void look_at_the_late() {
    ending = true;
    std::thread([] {  // one that is new to the runtime
        late[2] = gettid();
        rt0::this_goroutine::yield();
        went_on("a new thread");
    }).detach();
    for (auto& tid : late) {
        while (tid == 0) usleep(100);
        until_asleep(tid);
    }
    all_are_marked();
}
void late_calls() {
    rt0::gomaxprocs(3);
    std::thread([] {
        {
            rt0::runtime::runtime_call rc;  // it has a P as long as this lasts
            late[0] = gettid();
            while (!ending) {}
        }
        went_on("a thread inside");
    }).detach();
    rt0::go([] {
        late[1] = gettid();
        while (!ending) {}
        rt0::blocking([] { went_on("a call"); });
    });
    while (late[0] == 0 || late[1] == 0) rt0::this_goroutine::yield();
    std::atexit(look_at_the_late);
    rt0::exit(10);
}

// ---- the number of processors is asked to change when the others have been stopped for good
void late_gomaxprocs() {
    rt0::gomaxprocs(3);
    std::atexit([] {
        const int n = rt0::gomaxprocs(0);
        std::printf("%d %d\n", rt0::gomaxprocs(2) == n, rt0::gomaxprocs(0) == n);
    });
    for (int i = 0; i < 8; i++)
        rt0::go([] {
            while (!ending) rt0::this_goroutine::yield();
        });
    for (int i = 0; i < 100; i++) rt0::this_goroutine::yield();
    rt0::exit(19);
}

// ---- a report that would begin between the last handler and the end (RP5)

enum { none, waits_for_the_end, is_waited_for, its_own } late_report = none;

struct last_of_all {  // made before the boot: destroyed after the runtime's own handler
    ~last_of_all() {
        if (late_report == none) return;
        if (late_report == its_own) rt0::runtime::fatal("too late");
        static std::atomic<int> tid{0};
        std::thread reporter([] {
            tid = gettid();
            rt0::runtime::fatal("too late");
        });
        if (late_report == is_waited_for) reporter.join();
        reporter.detach();
        while (tid == 0) usleep(100);
        until_asleep(tid);
    }
} last_of_all;

// ---- channels of static storage

struct loud {
    const char* where = nullptr;
    explicit loud(const char* w) : where(w) {}
    loud(loud&& o) noexcept : where(std::exchange(o.where, nullptr)) {}
    loud& operator=(loud&& o) noexcept {
        std::swap(where, o.where);
        return *this;
    }
    ~loud() {
        if (where) std::printf("destroyed: %s\n", where);
    }
};
// Destroyed with what is in them, unless somebody is parked there.
void channels_of_static_storage() {
    static rt0::chan<loud> unused(1), waited_for(1);
    unused.send(loud("in a channel that nobody uses"));
    waited_for.send(loud("where a sender waits"));
    static std::atomic<std::uint64_t> id{0};
    rt0::go([] {
        id = rt0::this_goroutine::id();
        waited_for.send(loud("by that sender"));
    });
    while (!testing_support::parked(id, rt0::runtime::wait_reason::chan_send)) rt0::this_goroutine::yield();
    rt0::exit(15);
}

struct {
    const char* name;
    void (*run)();
} const ways[] = {
    {"return", [] {}},
    {"exit0", [] { rt0::exit(0); }},
    {"exit3", [] { rt0::exit(3); }},
    {"exit255", [] { rt0::exit(255); }},
    {"exit_from_goroutine", exit_from_goroutine},
    {"two_exits", two_exits},
    {"std_exit", std_exit},
    {"std_exit_main", [] { std::exit(11); }},
    {"std_exit_while_many_run", std_exit_while_many_run},
    {"quick_exit", [] { std::quick_exit(12); }},
    {"_exit", [] { _exit(13); }},
    {"return_while_many_run", return_while_many_run},
    {"exit_while_many_run", exit_while_many_run},
    {"exit_while_channels_are_used", exit_while_channels_are_used},
    {"exit_while_some_block", exit_while_some_block},
    {"rt0_in_atexit", rt0_in_atexit},
    {"late_calls", late_calls},
    {"late_gomaxprocs", late_gomaxprocs},
    {"exit_in_atexit", [] {
         std::atexit([] { rt0::exit(20); });
     }},
    {"exit_twice", [] {
         std::atexit([] { rt0::exit(21); });
         rt0::exit(1);
     }},
    {"channels_of_static_storage", channels_of_static_storage},
    {"late_report", [] { late_report = waits_for_the_end, rt0::exit(16); }},
    {"late_report_of_its_own", [] { late_report = its_own, rt0::exit(18); }},
    {"late_report_that_must_end", [] { late_report = is_waited_for, rt0::exit(17); }},
};

}  // namespace

void main_main() {
    auto args = rt0::args();
    static announced local("local");
    std::atexit(at_exit);
    std::printf("buffered by stdio\n");
    std::cout << "buffered by iostream\n";
    for (auto& w : ways)
        if (args.size() > 1 && std::strcmp(args[1], w.name) == 0) {
            w.run();
            return;
        }
    std::fprintf(stderr, "no such way to end\n");
    rt0::exit(99);
}
