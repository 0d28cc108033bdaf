// Scenes for tests/crash/sched_test.cc: argv[1] names one.  RT0_TEST_INJECT arms faults (armed.h).
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>

#include "base/throw.h"
#include "kernel_if/activity.h"
#include "kernel_if/inject.h"
#include "kernel_if/thread.h"
#include "sched/sched.h"
#include "sched/template.h"
#include "sched/upcross.h"
#include "tests/support/armed.h"
#include "tests/support/kthreads.h"
#include "tests/support/limited.h"
#include "tests/support/locked_at_the_limit.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

// Static constructors may use the runtime, which boots then; main_main comes on the initial thread, a foreign one.
const int early = [] {
    int n = 0;
    if (std::getenv("RT0_TEST_EARLY")) rt0::spawn([&n] { n++; }).join();
    return n;
}();

bool initial_ended = false;  // as far as the runtime knows: its thread sleeps for good then

// n goroutines, each with a thread of its own.
void need_threads(int n) {
    std::atomic<int> here{0};
    rt0::wait_group all;  // what num_goroutine() tells orders nothing
    for (int i = 0; i < n; i++)
        all.go([&] {
            this_goroutine::lock_os_thread();
            if (gettid() == getpid()) initial_ended = true;
            here++;
            while (here.load() < n) this_goroutine::yield();
        });
    all.wait();
    while (rt0::num_goroutine() > 1) this_goroutine::yield();
}

// ThreadSanitizer has one of its own.
int our_threads() { return rt0::kernel::count_threads() - test::tsan; }

// Numbers that must agree, once what comes and goes has come or gone.
void until_equal(const char* what, auto count, auto expected) {
    for (int i = 0; count() != expected(); i++) {
        if (i < 20'000) {
            this_goroutine::sleep_for(1ms);
            continue;
        }
        rt0::println(what, count(), expected());
        rt0::exit(1);
    }
}

void counts() {
    auto one = [] { return 1; };
    until_equal("goroutines", [] { return rt0::num_goroutine(); }, one);
    until_equal("threads", [] { return rt0::num_thread() + initial_ended; }, our_threads);
    rt0::chan<int> quit(0);
    for (int i = 0; i < 100; i++) rt0::go([quit]() mutable { quit.recv(); });
    until_equal("parked", [] { return rt0::num_goroutine(); }, [] { return 101; });
    quit.close();
    until_equal("ended", [] { return rt0::num_goroutine(); }, one);
    need_threads(8);
    until_equal("threads", [] { return rt0::num_thread() + initial_ended; }, our_threads);
    int before = rt0::num_thread();
    std::atomic<bool> in{false}, out{false};
    std::thread strange([&] {
        this_goroutine::yield();
        in = true;
        while (!out) usleep(100);
    });
    until_equal("foreign", [&] { return in.load(); }, [] { return true; });
    until_equal("threads", [] { return rt0::num_thread() + initial_ended; }, our_threads);
    out = true;
    rt0::blocking([&] { strange.join(); });
    until_equal("after the thread", [] { return rt0::num_thread() + initial_ended; }, our_threads);
    until_equal("goroutines", [] { return rt0::num_goroutine(); }, one);
    rt0::println(before > 0 ? "counts right" : "no threads");
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
    constexpr int many = test::tsan ? 1000 : 10'000;  // its fibers take a millisecond each where there are as many
    late.on = true;
    for (int i = 0; i < many; i++)
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
        rt0::println("thread_local destructor", name);
        if (name == "of a locked goroutine") destroyed++;  // main ends when all have said so
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

// What a thread of rt0's says last, when all goroutines wait already.
struct last_words {
    rt0::chan<int> to;
    ~last_words() {
        if (!to) return;
        usleep(50'000);
        to.send(7);
    }
};
void waits_for_last_words(bool any) {
    this_goroutine::lock_os_thread();  // the initial thread is ours and would stay
    rt0::chan<int> c(0);
    rt0::go([c, any] {
        this_goroutine::lock_os_thread();
        static thread_local last_words mine;
        if (any) mine.to = c;
    });
    rt0::println("heard", c.recv().value_or(0));
}

// Nobody reads sysmon's reports: threads that ended are buried all the same, and others made.
void trace_unread() {
    int fds[2];
    if (pipe(fds) != 0 || fcntl(fds[1], F_SETPIPE_SZ, 4096) < 0 || dup2(fds[1], 2) < 0) rt0::exit(98);
    int unread = 0;
    for (int before = -1; unread != before || unread < 3000; usleep(50'000)) {
        before = unread;
        if (ioctl(fds[0], FIONREAD, &unread) != 0) rt0::exit(97);
    }
    for (int round = 0; round < 20; round++) {
        rt0::chan<int> all(0);
        for (int i = 0; i < 10; i++)
            rt0::go([all]() mutable {
                this_goroutine::lock_os_thread();
                all.send(1);
            });
        for (int i = 0; i < 10; i++) all.recv();
    }
    rt0::println("all ended");
}

// Reads its own standard error until five reports came, and copies them to standard output.
void traced() {
    int fds[2];
    if (pipe(fds) != 0 || dup2(fds[1], 2) < 0) rt0::exit(98);
    close(fds[1]);
    rt0::go([] {
        for (int i = 0; i < 3; i++) this_goroutine::sleep_for(1ms);
    });
    std::string text;
    for (int heads = 0; heads < 5;) {
        char buf[64 << 10];
        ssize_t n = rt0::blocking([&] { return read(fds[0], buf, sizeof buf); });
        if (n <= 0) rt0::exit(97);
        text.append(buf, static_cast<std::size_t>(n));
        heads = 0;
        for (std::size_t at = 0; (at = text.find("SCHED ", at)) != std::string::npos; at++) heads++;
    }
    text.resize(text.rfind('\n') + 1);
    std::fputs(text.c_str(), stdout);
}

void swallow() {
    try {
        this_goroutine::exit();
    } catch (...) {
    }
}

// At the limit of threads more goroutines block or loop than there may be threads: they wait for each
// other's, and end when a thread of the program lets them.
//
// "crowd-raised": each waits for the last of them, so it takes a thread without a processor, while all are kept by
// those that wait, to raise the limit.
void crowd(const std::string& how) {
    constexpr int n = 40;
    int fd[2];
    if (pipe(fd) != 0) std::abort();
    rt0::set_max_threads(16);
    std::atomic<bool> stop{false};
    std::atomic<int> here{0}, back{0};
    std::thread outside([&] {
        while (!rt0::runtime::spare_ms_refused()) usleep(1000);  // the limit was met
        usleep(200'000);
        if (how == "crowd-raised") {
            rt0::println("of", rt0::set_max_threads(100));
            return;
        }
        stop = true;
        for (int i = 0; i < n; i++)
            if (write(fd[1], "x", 1) != 1) std::abort();
    });
    auto read_one = [&] {
        char c;
        return read(fd[0], &c, 1);
    };
    rt0::wait_group wg;
    for (int i = 0; i < n; i++)
        wg.go([&] {
            if (how == "crowd-declared") back += rt0::blocking(read_one) == 1;
            if (how == "crowd-undeclared") back += read_one() == 1;
            if (how == "crowd-raised") {
                if (++here == n)
                    for (int k = 0; k < n; k++)
                        if (write(fd[1], "x", 1) != 1) std::abort();
                back += read_one() == 1;
            }
            if (how == "crowd-looping") {
                while (!stop.load(std::memory_order_relaxed)) {}
                back++;
            }
        });
    const int procs = rt0::gomaxprocs();
    for (int i = 0; i < 20; i++) {
        rt0::gomaxprocs(procs + (i + 1) % 2);
        this_goroutine::sleep_for(1ms);
    }
    wg.wait();
    outside.join();
    rt0::println("back", back.load());
}

// Goroutines that compute without end beside main on one P, two more of them than there are processors.
// Ends when each has stepped back for the others (SCHED_IDLE) and come forward again, and all are
// ordinary threads at the end; with RT0DEBUG=hogidle=0, when none did for a while.  "hogs-later": they
// lose their P while they are blocked, and compute afterwards.  Meanwhile, and no longer, sysmon is a real-time thread.
void hogs(const std::string& how) {
    const bool step_back = how != "hogs-stay", later = how == "hogs-later";
    if (!rt0::kernel::idle_class_permitted()) return rt0::println("not permitted");
    struct hog {
        std::atomic<pid_t> tid{0};
        bool back = false, forward = false;
    };
    rt0::gomaxprocs(1);
    std::vector<hog> all(static_cast<std::size_t>(rt0::num_cpu()) + 2);
    std::atomic<bool> stop{false};
    rt0::wait_group wg;
    for (hog& h : all)
        wg.go([&] {
            h.tid = gettid();
            if (later) std::this_thread::sleep_for(5ms);
            while (!stop.load(std::memory_order_relaxed)) {}
        });
    pid_t sysmon;
    while ((sysmon = test::thread_named("rt0-sysmon")) < 0) this_goroutine::sleep_for(1ms);
    const bool comes_forward = step_back && test::realtime_permitted();
    bool ahead = false;
    std::size_t turned = 0, stepped_back = 0;
    for (int looks = 0; step_back ? turned < all.size() || ahead != comes_forward : looks < 300; looks++) {
        this_goroutine::sleep_for(1ms);
        ahead |= (sched_getscheduler(sysmon) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO;
        turned = stepped_back = 0;
        for (hog& h : all) {
            if (h.tid == 0) continue;
            bool idle = sched_getscheduler(h.tid) == SCHED_IDLE;
            h.back |= idle;
            h.forward |= h.back && !idle;
            stepped_back += h.back;
            turned += h.forward;
        }
    }
    stop = true;
    wg.wait();
    for (hog& h : all)
        // wait() may be over before that: done() needs no runtime, and the thread comes back to it, and to its
        // class, only when the goroutine ends.  For good it would be a thread left behind.
        while (sched_getscheduler(h.tid) == SCHED_IDLE) this_goroutine::sleep_for(1ms);
    if (ahead && !step_back) rt0::println("sysmon came forward");
    while ((sched_getscheduler(sysmon) & ~SCHED_RESET_ON_FORK) != SCHED_OTHER) this_goroutine::sleep_for(1ms);
    rt0::println("stepped back:", stepped_back == all.size() ? "all" : stepped_back == 0 ? "none" : "some");
}

// Nobody is made SCHED_IDLE who could not leave it again: a program that was root at its start, and is not any more.
void hogs_without_root() {
    if (!rt0::kernel::idle_class_permitted()) return rt0::println("not permitted");
    rt0::gomaxprocs(1);
    if (setresuid(65534, 65534, 65534) != 0) return rt0::println("not permitted");
    std::atomic<int> running{0}, idle{0};
    const int n = rt0::num_cpu() + 3;
    rt0::wait_group wg;
    for (int i = 0; i < n; i++)
        wg.go([&] {
            running++;
            while (running < n) {}
            for (auto end = std::chrono::steady_clock::now() + 50ms; std::chrono::steady_clock::now() < end;) {}
            idle += sched_getscheduler(0) == SCHED_IDLE;
        });
    wg.wait();
    rt0::println("idle", idle.load());
}

// Which of these sysmon's thread blocks.
void sysmon_signals() {
    pid_t sysmon;
    while ((sysmon = test::thread_named("rt0-sysmon")) < 0) this_goroutine::sleep_for(1ms);
    std::uint64_t blocked = 0;
    std::ifstream status("/proc/self/task/" + std::to_string(sysmon) + "/status");
    for (std::string word; status >> word;)
        if (word == "SigBlk:") status >> std::hex >> blocked;
    std::string s;
    for (int sig : {SIGUSR1, SIGPROF, SIGTERM, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
        if (blocked >> (sig - 1) & 1) s += std::string(" ") + sigabbrev_np(sig);
    rt0::println("blocks" + s);
}

// rt0::exit while another thread reports: the report's end is the process'.
void exit_in_a_report() {
    for (int i = 0; i < 2000; i++) rt0::go([] { rt0::chan<int>(0).recv(); });
    this_goroutine::yield();
    std::thread([] { rt0::mutex().unlock(); }).detach();
    while (rt0::runtime::panicking.load() == 0) {}
    rt0::exit(0);
}

// Every M that may be is there when the last goroutine parks.
void deadlock_at_the_limit() {
    using namespace rt0::runtime;
    {
        runtime_call rc;
        guard l(sched.lock);
        sched.maxmcount.store(mlimited());
    }
    rt0::chan<int>(0).recv();
}

// Where SCHED_IDLE is not permitted nobody asks for it, and forked children are left as they are.
void fork_without_idle_class() {
    using rt0::kernel::inject;
    rt0::kernel::inject_fail(inject::idle_class, 1, EPERM, -1);
    pid_t pid = fork();
    const unsigned asked = rt0::kernel::inject_hits(inject::idle_class);
    if (pid == 0) rt0::kernel::exit_group(asked != 0);
    int status = -1;
    waitpid(pid, &status, 0);
    rt0::println("permitted", rt0::kernel::idle_class_permitted(), "asked", asked, "in the child", status);
}

void limits(const std::string& what) {
    if (what == "deadlock-at-the-limit") deadlock_at_the_limit();
    if (what == "locked-at-the-limit") testing_support::locked_at_the_limit();
    if (what == "fork-without-idle-class") fork_without_idle_class();
    if (what == "exit-in-a-report") exit_in_a_report();
    if (what == "sysmon-signals") sysmon_signals();
    if (what == "hogs-without-root") return hogs_without_root();
    if (what.starts_with("hogs")) hogs(what);
    if (what.starts_with("crowd-")) crowd(what);
    if (what == "up") rt0::println("up", rt0::kernel::inject_hits(rt0::kernel::inject::check));
    if (what == "early") rt0::println("early", early, rt0::args().size());
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
    if (what == "negative-limit") rt0::set_max_threads(-5);
    if (what == "enough") {
        int former = rt0::set_max_threads(16);
        need_threads(8);
        rt0::println("former", former, rt0::set_max_threads(16));
    }
    if (what == "counts") counts();
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
    if (what == "last-words" || what == "no-last-words") waits_for_last_words(what == "last-words");
    if (what == "traced") traced();
    if (what == "trace-unread") trace_unread();
}

}  // namespace

void main_main() {
    std::string what = rt0::args().size() > 1 ? rt0::args()[1] : "up";
    limits(what);
    ends(what);
}
