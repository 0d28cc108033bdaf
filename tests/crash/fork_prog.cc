// Scenes for tests/crash/fork_test.cc: fork_prog SCENE [ARGUMENT].
//
// "exec N": N children that exec, from goroutines and from inside blocking(), while
// others keep the runtime's locks busy.  "child CALL HOW": a child forked HOW makes one
// CALL of rt0; the parent says how it ended.
#include <rt0/rt0.h>

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "kernel_if/activity.h"
#include "tests/support/armed.h"

extern char** environ;

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

char* const bin_true[] = {const_cast<char*>("true"), nullptr};

// What an ordinary program has; ours may have been started by an M, which has another.
struct ordinary_slack {
    ordinary_slack() { prctl(PR_SET_TIMERSLACK, 50'000); }
} before_main;

struct statics {  // freed by whoever calls exit()
    rt0::chan<std::string> c{4};
    rt0::mutex m;
    rt0::wait_group wg;
    rt0::timer timer{1h, [] {}};
    rt0::ticker ticker{1h};
    rt0::context parent, child = parent.child(1h);
};
std::unique_ptr<statics> global;

pid_t must(pid_t pid, const char* what) {
    if (pid >= 0) return pid;
    std::perror(what);
    _exit(99);
}

// ---- ways to start a program

pid_t by_fork() {
    pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        execve("/bin/true", bin_true, environ);
        _exit(127);
    }
    return pid;
}
[[gnu::noinline]] pid_t by_vfork() {
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/bin/true", bin_true, environ);
        _exit(127);
    }
    return must(pid, "vfork");
}
pid_t by_spawn() {
    pid_t pid = -1;
    if (int e = posix_spawn(&pid, "/bin/true", nullptr, nullptr, bin_true, environ)) {
        std::fprintf(stderr, "posix_spawn: %s\n", std::strerror(e));
        _exit(99);
    }
    return pid;
}
// What a child may do before it execs: libc, as far as it goes.
pid_t by_busy_fork() {
    pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        std::string s(5000, 'x');
        char text[64];
        std::snprintf(text, sizeof text, "%zu", s.size());
        if (std::strcmp(text, "5000") != 0 || prctl(PR_GET_TIMERSLACK) != 50'000) _exit(126);
        execve("/bin/true", bin_true, environ);
        _exit(127);
    }
    return pid;
}
pid_t by_raw_fork() {
    pid_t pid = must(static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)), "clone");
    if (pid == 0) {
        execve("/bin/true", bin_true, environ);
        _exit(127);
    }
    return pid;
}
pid_t (*const ways[])() = {by_fork, by_vfork, by_spawn, by_busy_fork, by_raw_fork};

int end_of(pid_t pid) {
    int status = -1;
    rt0::blocking([&] {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    });
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// ---- traffic: every lock of the runtime is held often by somebody else

std::atomic<bool> stop{false};

void traffic() {
    rt0::chan<int> c(1);
    for (int i = 0; i < 4; i++) {
        rt0::go([c]() mutable {
            while (!stop) c.send(1);
            c.send(1);
        });
        rt0::go([c]() mutable {
            while (!stop) {
                c.recv();
                rt0::go([] { delete new rt0::chan<int>(8); });
                this_goroutine::sleep_for(std::chrono::microseconds(10));
            }
        });
    }
}

void many_execs(int n) {
    rt0::chan<int> work(0);
    std::atomic<int> good{0};
    rt0::wait_group all;
    traffic();
    for (int k = 0; k < 4; k++)
        all.go([&, k] {
            if (k == 3) this_goroutine::lock_os_thread();
            for (int i : rt0::chan<int>(work)) {
                auto way = ways[i % 5];
                if (k == 2) std::this_thread::sleep_for(std::chrono::microseconds(100));  // it loses its P, most likely
                pid_t pid = k == 1 ? rt0::blocking(way) : way();
                if (end_of(pid) == 0) good++;
            }
        });
    for (int i = 0; i < n; i++) work.send(i);
    work.close();
    all.wait();
    stop = true;
    rt0::println("children", good.load());
}

// ---- children that call rt0

struct call {
    const char* name;
    void (*make)();
};
rt0::chan<int>* made_before;
rt0::mutex* locked_before;
rt0::task<int>* task_before;

const call calls[] = {
    {"go", [] { rt0::go([] {}); }},
    {"spawn", [] { rt0::spawn([] { return 1; }).join(); }},
    {"blocking", [] { rt0::blocking([] { write(1, "no\n", 3); }); }},
    {"println", [] { rt0::println("no"); }},
    {"gomaxprocs", [] { rt0::gomaxprocs(3); }},
    {"num_goroutine", [] { rt0::num_goroutine(); }},
    {"num_thread", [] { rt0::num_thread(); }},
    {"set_max_threads", [] { rt0::set_max_threads(100); }},
    {"stack_dump", [] { rt0::stack_dump(); }},
    {"rt0::exit", [] { rt0::exit(0); }},
    {"id", [] { this_goroutine::id(); }},
    {"yield", [] { this_goroutine::yield(); }},
    {"sleep_for", [] { this_goroutine::sleep_for(1ms); }},
    {"lock_os_thread", [] { this_goroutine::lock_os_thread(); }},
    {"goroutine_exit", [] { this_goroutine::exit(); }},
    {"make_chan", [] { rt0::chan<int> c(1); }},
    {"send", [] { made_before->send(1); }},
    {"recv", [] { made_before->recv(); }},
    {"close", [] { made_before->close(); }},
    {"select", [] { rt0::select(rt0::recv(*made_before, [](std::optional<int>) {})); }},
    {"lock", [] { locked_before->lock(); }},
    {"join", [] { task_before->join(); }},
    {"timer", [] { rt0::timer t(1s, [] {}); }},
    {"wait_group", [] {
         rt0::wait_group wg;
         wg.add(1);
         wg.wait();
     }},
    {"thread", [] { std::thread([] { rt0::go([] {}); }).join(); }},
    // Allowed:
    {"_exit", [] { _exit(5); }},
    {"exit", [] { std::exit(6); }},
    {"abort", [] {
         signal(SIGABRT, SIG_DFL);
         std::abort();
     }},
    {"fault", [] { *static_cast<volatile int*>(nullptr) = 1; }},
    {"stdio", [] {
         std::printf("%s\n", std::string(3000, 'y').substr(0, 3).c_str());
         std::exit(7);
     }},
};

pid_t fork_as(const std::string& how) {
    if (how.starts_with("raw")) return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (how == "_Fork") return _Fork();
    return fork();
}

void in_child(const std::string& name, pid_t pid) {
    if (pid != 0) return;
    for (const call& c : calls)
        if (name == c.name) c.make();
    _exit(50);  // the call came back
}

void one_child(const std::string& name, const std::string& how) {
    rt0::chan<int> c(0);
    rt0::mutex m;
    m.lock();
    rt0::task<int> task = rt0::spawn([&] { return *c.recv(); });
    made_before = &c, locked_before = &m, task_before = &task;
    global = std::make_unique<statics>();
    std::atexit([] { global.reset(); });
    pid_t pid = -1;
    if (how == "blocking" || how == "raw-blocking") {
        rt0::blocking([&] { in_child(name, pid = fork_as(how)); });
    } else if (how == "thread" || how == "raw-thread") {
        std::thread t([&] {
            this_goroutine::yield();
            in_child(name, pid = fork_as(how));
        });
        rt0::blocking([&] { t.join(); });
    } else if (how == "new-thread") {
        std::thread([&] { in_child(name, pid = fork()); }).join();
    } else {
        in_child(name, pid = fork_as(how));
    }
    rt0::println("ended", end_of(must(pid, "fork")));
    c.send(1);
}

// The goroutine that forked goes on in the child by leaving blocking(), or by returning.
void child_goes_on(const std::string& where) {
    pid_t pid = -1;
    rt0::chan<pid_t> parent(1);
    rt0::go([&] {
        if (where == "blocking") rt0::blocking([&] { pid = fork(); });
        else if ((pid = fork()) == 0) return;
        parent.send(pid);
    });
    rt0::println("ended", end_of(*parent.recv()));
}

// Whether a child, forked here, is SCHED_IDLE.
bool has_idle_child() {
    pid_t pid = must(fork(), "fork");
    if (pid == 0) _exit(sched_getscheduler(0) == SCHED_OTHER ? 0 : 1);
    int status = 0;
    waitpid(pid, &status, 0);  // undeclared: a hog stays one
    return status != 0;
}

// Of more goroutines that hog their processor than there are processors, some run as
// SCHED_IDLE, in turns; their children do not.
void children_of_hogs(int each) {
    if (!rt0::kernel::idle_class_permitted()) return rt0::println("not permitted");
    std::atomic<int> idle{0}, idle_children{0};
    std::atomic<bool> seen{false};
    rt0::wait_group all;
    for (int i = 0; i < rt0::num_cpu() + 2; i++)
        all.go([&] {
            // The first fork follows a change of class at once, the others meet changes anywhere.
            while (!seen && sched_getscheduler(0) != SCHED_IDLE) {}
            seen = true;
            for (int k = 0; k < each; k++) {
                idle += sched_getscheduler(0) == SCHED_IDLE;
                idle_children += has_idle_child();
            }
        });
    all.wait();
    std::printf("idle: %s, of the children %d\n", idle > 0 ? "some" : "none", idle_children.load());
}

// The program's own choice is the child's, too, and stays the thread's when it was a hog and is one no more.
void child_by_choice() {
    rt0::this_goroutine::lock_os_thread();
    sched_param none = {};
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) std::abort();
    const char* before = has_idle_child() ? "idle" : "ordinary";
    std::atomic<int> turns{0};
    for (int i = 0; i < 2; i++) rt0::go([&] { turns++; });
    while (turns < 2) {}  // with one P: until it has lost it as a hog
    rt0::this_goroutine::yield();
    const char* after = has_idle_child() ? "idle" : "ordinary";
    const bool same = sched_getscheduler(0) == SCHED_IDLE;
    (void)sched_setscheduler(0, SCHED_OTHER, &none);  // not for the last steps beside who knows what load
    std::printf("children: %s, %s; thread: %s\n", before, after, same ? "idle" : "ordinary");
}

// What ends a child that has not given the memory back yet is none of the parent's failures.
[[gnu::noinline]] void vforked_child_ends(const std::string& how) {
    pid_t pid = vfork();
    if (pid == 0) {
        if (how == "fault") *static_cast<volatile int*>(nullptr) = 1;
        if (how == "quit") kill(getpid(), SIGQUIT);
        if (how == "panic") rt0::panic("the child's");
        _exit(50);
    }
    rt0::println("ended", end_of(must(pid, "vfork")));
    rt0::panic("the parent's own");
}

// Many children one after the other, each forked while the locks are busy.
void under_traffic(int n) {
    traffic();
    int good = 0;
    for (int i = 0; i < n; i++) {
        const char* how[] = {"fork", "raw", "_Fork"};
        const char* what[] = {"go", "send", "sleep_for", "println", "exit"};
        pid_t pid = must(fork_as(how[i % 3]), "fork");
        if (pid == 0) {
            made_before = new rt0::chan<int>(0);
            alarm(60);
            in_child(what[i % 5], pid);
        }
        int status = end_of(pid);
        if (status == 2 || (status == 6 && i % 5 == 4)) good++;
        else std::printf("child %d (%s, %s): %d\n", i, how[i % 3], what[i % 5], status);
    }
    stop = true;
    rt0::println("children", good);
}

}  // namespace

void main_main() {
    auto args = rt0::args();
    std::string scene = args.size() > 1 ? args[1] : "", a = args.size() > 2 ? args[2] : "", b = args.size() > 3 ? args[3] : "";
    if (scene == "exec") many_execs(std::atoi(a.c_str()));
    if (scene == "child") one_child(a, b);
    if (scene == "goes-on") child_goes_on(a);
    if (scene == "hogs") children_of_hogs(std::atoi(a.c_str()));
    if (scene == "by-choice") child_by_choice();
    if (scene == "vfork") vforked_child_ends(a);
    if (scene == "traffic") under_traffic(std::atoi(a.c_str()));
    if (scene == "in-exit") {
        std::atexit([] {
            pid_t pid = fork();
            if (pid == 0) std::exit(3);
            int status = 0;
            waitpid(pid, &status, 0);
            std::printf("ended %d\n", WEXITSTATUS(status));
        });
    }
}
