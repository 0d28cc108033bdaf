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
// From here on standard error is a short pipe.  A process that reads it begins when `wait` is over, leaves out `skip` bytes and
// hands the rest on.
void put_reader(int skip, auto wait) {
    int real = dup(2), fds[2];
    if (pipe(fds) != 0 || fcntl(fds[1], F_SETPIPE_SZ, 4096) < 0) _exit(9);
    const pid_t reader = fork();
    if (reader < 0) _exit(9);
    if (reader == 0) {
        close(fds[1]);
        wait();
        char c;
        for (int at = 0; read(fds[0], &c, 1) == 1; at++)
            if (at >= skip && write(real, &c, 1) != 1) _exit(9);
        _exit(0);
    }
    dup2(fds[1], 2);
    close(fds[1]);
}
// Another thread holds the loader's lock for good, or until the report is another thread's: then there is a byte in `over`.
void lock_loader(int over = -1) {
    static std::atomic<bool> held{false};
    rt0::chan<int> never(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [never] { wait_here(never); });
    for (int i = 0; i < 10; i++) rt0::this_goroutine::yield();
    std::thread t([over]() mutable {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        dl_iterate_phdr(
            [](dl_phdr_info*, std::size_t, void* fd) -> int {
                held = true;
                if (*static_cast<int*>(fd) < 0) for (;;) pause();
                int owner;
                while ((owner = rt0::runtime::report_thread()) == 0) usleep(1000);
                while (rt0::runtime::report_thread() == owner) {}
                return 1;
            },
            &over);
        usleep(100'000);  // for who was stuck to get on
        if (write(1, "taken over\n", 11) != 11 || write(over, "o", 1) != 1) _exit(9);
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
// Who was stuck gets on while the watchdog, on the initial thread, has more to print than the pipe holds.
void stuck_gets_on() {
    rt0::this_goroutine::lock_os_thread();
    int over[2];
    if (pipe(over) != 0) _exit(9);
    put_reader(0, [over] {
        char c;
        if (read(over[0], &c, 1) != 1) _exit(9);
    });
    rt0::chan<int> never(0);
    for (int i = 0; i < 200; i++) rt0::go([never] { wait_here(never); });
    lock_loader(over[1]);
    rt0::go([] {
        while (gettid() == getpid()) rt0::this_goroutine::yield();
        rt0::panic("without names");
    });
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

// Standard error is a pipe with room for the head of the report and no more.
void quit_unread() {
    const int size = 4096 - 100;
    put_reader(size, [] { sleep(rt0::runtime::cfg::report_patience / 1'000'000'000 + 2); });
    if (write(2, std::string(static_cast<std::size_t>(size), 'x').data(), static_cast<std::size_t>(size)) != size) _exit(9);
    quit_here();
}

// Standard error is a short pipe, which a goroutine reads: it needs the one P for that.
void quit_read_by_a_goroutine() {
    rt0::gomaxprocs(1);
    rt0::chan<int> never(0);
    for (int i = 0; i < 200; i++) rt0::go([never] { wait_here(never); });
    int real = dup(2), fds[2];
    if (pipe(fds) != 0 || fcntl(fds[1], F_SETPIPE_SZ, 4096) < 0) _exit(9);
    dup2(fds[1], 2);
    rt0::go([=] {
        char text[512];
        for (ssize_t n; (n = rt0::blocking([&] { return read(fds[0], text, sizeof text); })) > 0;)
            if (write(real, text, static_cast<std::size_t>(n)) != n) _exit(9);
    });
    rt0::this_goroutine::yield();
    raise(SIGQUIT);  // not on the reader's thread
}

}  // namespace

void main_main() {
    const std::string name = rt0::args().size() == 2 ? rt0::args()[1] : "";
    if (name == "quit_loader_locked") quit_loader_locked();
    if (name == "panic_loader_locked") panic_loader_locked();
    if (name == "watchdog_faults") watchdog_faults();
    if (name == "stuck_gets_on") stuck_gets_on();
    if (name == "quit_read_by_a_goroutine") quit_read_by_a_goroutine();
    if (name == "quit_unread") quit_unread();
    rt0::exit(99);
}
