// Scenes for tests/crash/watchdog_test.cc: watchdog_prog NAME.  The test names these functions
// and this file in what it expects of the traces.
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string>
#include <thread>

#include <rt0/rt0.h>

#include "base/config.h"
#include "base/throw.h"
#include "sched/sched.h"

#define NOINLINE [[gnu::noinline]]

namespace {

void keep_frame() { asm volatile("" ::: "memory"); }

NOINLINE void wait_here(rt0::chan<int> c) {
    c.recv();
    keep_frame();
}
// Until the signal is taken, on whichever thread.
NOINLINE void quit_here() {
    kill(getpid(), SIGQUIT);
    for (volatile bool sure = true; sure;) {}
}
// Another thread holds the loader's lock for good, or until the report is another thread's.
void lock_loader(bool for_good = true) {
    static std::atomic<bool> held{false};
    rt0::chan<int> never(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [never] { wait_here(never); });
    for (int i = 0; i < 10; i++) rt0::this_goroutine::yield();
    std::thread t([for_good] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        dl_iterate_phdr(
            [](dl_phdr_info*, std::size_t, void* ever) -> int {
                held = true;
                if (ever) for (;;) pause();
                int owner;
                while ((owner = rt0::runtime::report_thread()) == 0) usleep(1000);
                while (rt0::runtime::report_thread() == owner) {}
                return 1;
            },
            for_good ? &held : nullptr);
    });
    t.detach();
    while (!held) sched_yield();
}

void quit_loader_locked() {
    lock_loader();
    quit_here();
}
void panic_loader_locked() {
    lock_loader();
    rt0::panic("without names");
}
// Who was stuck gets on while the watchdog, on the initial thread, has much to print.
void stuck_gets_on() {
    rt0::chan<int> never(0);
    for (int i = 0; i < 200; i++) rt0::go([never] { wait_here(never); });
    lock_loader(false);
    rt0::go([] { rt0::panic("without names"); });
    rt0::blocking([] {
        for (;;) pause();
    });
}
// One of the goroutines that the watchdog goes through is rubbish.
void watchdog_faults() {
    lock_loader();
    auto gs = rt0::runtime::allgs();
    const_cast<rt0::runtime::g**>(gs.data)[gs.n - 1] = reinterpret_cast<rt0::runtime::g*>(std::uintptr_t{1} << 63);
    rt0::panic("without names");
}

// Standard error is a pipe with room for the head of the report and no more; the process that reads it begins when the watchdog
// would have lost its patience with anything else.
void quit_unread() {
    int real = dup(2), fds[2];
    if (pipe(fds) != 0) _exit(9);
    const int size = fcntl(fds[1], F_GETPIPE_SZ) - 100;
    if (size <= 0) _exit(9);
    const pid_t reader = fork();
    if (reader < 0) _exit(9);
    if (reader == 0) {
        close(fds[1]);
        sleep(rt0::runtime::cfg::report_patience / 1'000'000'000 + 2);
        char c;
        for (long at = 0; read(fds[0], &c, 1) == 1; at++)
            if (at >= size && write(real, &c, 1) != 1) _exit(9);
        _exit(0);
    }
    if (write(fds[1], std::string(static_cast<std::size_t>(size), 'x').data(), static_cast<std::size_t>(size)) != size) _exit(9);
    dup2(fds[1], 2);
    close(fds[1]);
    quit_here();
}

}  // namespace

void main_main() {
    const std::string name = rt0::args().size() == 2 ? rt0::args()[1] : "";
    if (name == "quit_loader_locked") quit_loader_locked();
    if (name == "panic_loader_locked") panic_loader_locked();
    if (name == "watchdog_faults") watchdog_faults();
    if (name == "stuck_gets_on") stuck_gets_on();
    if (name == "quit_unread") quit_unread();
    rt0::exit(99);
}
