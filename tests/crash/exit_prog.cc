// Ways to end without dying: exit_prog NAME.  Each prints what ran, once.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <rt0/chan.h>
#include <rt0/go.h>

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

void return_while_many_run() { start_busy(running, 10'000); }
void exit_while_many_run() {
    start_busy(running, 10'000);
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
