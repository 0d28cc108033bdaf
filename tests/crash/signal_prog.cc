// Scenes for tests/crash/signal_test.cc: signal_prog NAME.  The test names these functions
// and this file in what it expects of the traces.
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <rt0/rt0.h>

#include "chan/hchan.h"
#include "sched/gstatus.h"
#include "sched/m.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"
#include "tests/support/on_thread.h"

#define NOINLINE [[gnu::noinline]]

namespace {

volatile bool sure = true;
volatile int zero = 0;
int* volatile nowhere = nullptr;
void keep_frame() { asm volatile("" ::: "memory"); }

// To the process: the kernel picks a thread.  ThreadSanitizer holds a signal back until the thread next calls libc, and
// one that sleeps in the runtime does not: there the caller takes it itself.
void send(int sig) { test::tsan ? raise(sig) : kill(getpid(), sig); }
[[noreturn]] void for_ever() {
    for (;;) asm volatile("");
}

// ---- overflows
NOINLINE int recurse(int n) {
    volatile char frame[64];
    frame[0] = static_cast<char>(n);
    int r = sure ? recurse(n + 1) : 0;
    return r + frame[0];
}
NOINLINE int recurse_big(int n) {
    volatile char frame[100'000];
    frame[0] = static_cast<char>(n);
    frame[sizeof frame - 1] = 1;
    int r = sure ? recurse_big(n + 1) : 0;
    return r + frame[0];
}
int compare_deeper(const void*, const void*) {
    int two[2] = {1, 2};
    std::qsort(two, 2, sizeof two[0], compare_deeper);
    return two[0];
}
NOINLINE void recurse_in_libc() {
    compare_deeper(nullptr, nullptr);
    keep_frame();
}
template <class F>
void on_goroutine(rt0::go_options o, F f) {
    rt0::chan<int> never(0);
    rt0::go(o, f);
    never.recv();
}
void overflow() {
    on_goroutine({.name = "deep", .stack_size = 0}, [] { recurse(0); });
}
void overflow_large() {
    on_goroutine({.name = {}, .stack_size = 1 << 20}, [] { recurse(0); });
}
void overflow_big_frame() {
    on_goroutine({}, [] { recurse_big(0); });
}
void overflow_libc() {
    on_goroutine({}, [] { recurse_in_libc(); });
}
void overflow_main() { recurse(0); }
void overflow_g0() {
    on_goroutine({}, [] { rt0::runtime::systemstack([] { recurse(0); }); });
}
void overflow_many() {  // every goroutine at once: one report
    rt0::chan<int> never(0);
    for (int i = 0; i < 16; i++) rt0::go([] { recurse(0); });
    never.recv();
}
// Below the stack pointer by far: a pointer that went astray, no overflow.
NOINLINE void write_into_guard(const rt0::runtime::g* gp) {
    *reinterpret_cast<volatile char*>(gp->stk.slot + 100) = 1;
    keep_frame();
}
void stray_own_guard() {
    on_goroutine({}, [] { write_into_guard(rt0::runtime::getg()); });
}
void stray_other_guard() {
    const rt0::runtime::g* gp = rt0::runtime::getg();
    on_goroutine({}, [gp] { write_into_guard(gp); });
}

// ---- faults
NOINLINE void read_null() {
    if (*nowhere == 1) std::puts("not reached");
    keep_frame();
}
NOINLINE void write_wild() {
    *reinterpret_cast<volatile int*>(0x123456789000) = 1;
    keep_frame();
}
NOINLINE void call_null() {
    reinterpret_cast<void (*)()>(nowhere)();
    keep_frame();
}
NOINLINE void divide() {
    std::printf("%d\n", 100 / zero);
    keep_frame();
}
NOINLINE void illegal() {
    __builtin_trap();
}
NOINLINE void read_past_end() {
    char name[] = "/tmp/rt0-signal-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    auto* p = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0));
    if (*p == 1) std::puts("not reached");
    keep_frame();
}
NOINLINE void raise_segv() {
    raise(SIGSEGV);
    std::puts("not reached");
}
NOINLINE void broken_stack() {  // no unwinder gets far from here
#if defined(__x86_64__)
    asm volatile("movq $8, %rsp\n\tmovq $8, %rbp\n\tmovl $0, 0");
#else
    asm volatile("mov x29, #16\n\tmov sp, x29\n\tstr xzr, [sp]");
#endif
}
void fault_on_g0() {
    rt0::runtime::systemstack([] { read_null(); });
}
void fault_on_goroutine() {
    on_goroutine({.name = "faulty", .stack_size = 0}, [] { read_null(); });
}
void fault_on_thread() { testing_support::on_known_thread([] { read_null(); }); }
void fault_on_unknown_thread() { testing_support::on_unknown_thread([] { read_null(); }); }
void on_small_altstack(void (*fault)()) {
    testing_support::on_unknown_thread([fault] {
        static char small[8192];
        stack_t ss = {};
        ss.ss_sp = small;
        ss.ss_size = sizeof small;
        sigaltstack(&ss, nullptr);
        rt0::this_goroutine::yield();
        fault();
    });
}
void fault_on_small_altstack() { on_small_altstack(read_null); }
void broken_on_small_altstack() { on_small_altstack(broken_stack); }
void overflow_thread() { testing_support::on_known_thread([] { recurse(0); }); }
void overflow_unknown_thread() { testing_support::on_unknown_thread([] { recurse(0); }); }
struct what_faults : std::exception {
    const char* what() const noexcept override {
        read_null();
        return "";
    }
};
void fault_while_reporting() { throw what_faults(); }
// A name that no demangler takes, and one longer than what is put together of the demangler's pieces at a time.
NOINLINE void odd_name() asm("_Znonsense");
void odd_name() {
    read_null();
    keep_frame();
}
template <class A, class B>
struct two {};
template <int N>
struct doubled {
    using half = typename doubled<N - 1>::type;
    using type = two<half, half>;
};
template <>
struct doubled<0> {
    using type = int;
};
void throw_long_name() { throw doubled<7>::type(); }
void two_faults() {
    rt0::chan<int> never(0);
    for (int i = 0; i < 16; i++) rt0::go([] { read_null(); });
    never.recv();
}
void abort_here() { std::abort(); }

// ---- SIGQUIT
NOINLINE void spin_here() { for_ever(); }
NOINLINE void wait_here(rt0::chan<int> c) {
    c.recv();
    keep_frame();
}
NOINLINE void sleep_in_kernel() {
    for (;;) pause();
}
// Until n goroutines stand in the dump so.
void await(const char* header_end, int n) {
    for (int seen = 0; seen < n;) {
        std::string text = rt0::stack_dump();
        seen = 0;
        for (std::size_t at = 0; (at = text.find(header_end, at)) != text.npos; at++) seen++;
        rt0::this_goroutine::yield();
    }
}
rt0::chan<int> waited_for() {
    static rt0::chan<int> c(0);
    return c;
}
rt0::runtime::g* named(const char* name) {
    rt0::runtime::runtime_call rc;
    rt0::runtime::rcu_reader reading;
    char text[sizeof(rt0::runtime::g::name)];
    for (auto* gp : rt0::runtime::allgs()) {
        rt0::runtime::watched_copy(text, gp->name, sizeof text);
        if (!std::strcmp(text, name)) return gp;
    }
    return nullptr;
}
void start_all_kinds() {
    rt0::go({.name = "waiter", .stack_size = 0}, [] { wait_here(waited_for()); });
    rt0::go({.name = "locked", .stack_size = 0}, [] {
        rt0::this_goroutine::lock_os_thread();
        wait_here(waited_for());
    });
    static std::atomic<int> started{0};
    rt0::go({.name = "blocked", .stack_size = 0}, [] {
        rt0::blocking([] {
            started++;
            sleep_in_kernel();
        });
    });
    while (started == 0) rt0::this_goroutine::yield();
    rt0::go({.name = "ends", .stack_size = 0}, [] {});  // stays in the books as a dead one
    while (named("ends")) rt0::this_goroutine::yield();
    await("[chan receive, \"waiter\"]:", 1);
    await("[chan receive, locked to thread, \"locked\"]:", 1);
}
void quit_all_kinds() {
    start_all_kinds();
    send(SIGQUIT);
    spin_here();
}
void quit_detached() {
    rt0::gomaxprocs(1);
    rt0::go({.name = "taken from", .stack_size = 0}, [] { sleep_in_kernel(); });
    await("[running, detached, \"taken from\"]:", 1);
    named("taken from")->waitsince += -(5 * 60'000'000'000 + 1);
    send(SIGQUIT);
    spin_here();
}
void quit_others_run() {  // taken by the spinning main thread, the others are asked
    static std::atomic<int> spinning{0};
    int n = rt0::gomaxprocs() - 1;
    for (int i = 0; i < n; i++)
        rt0::go({.name = "spinner", .stack_size = 0}, [] {
            spinning++;
            spin_here();
        });
    while (spinning < n) rt0::this_goroutine::yield();
    send(SIGQUIT);
    spin_here();
}
void quit_blocked_mask() {  // one that takes no signal at all
    static std::atomic<bool> ready{false};
    rt0::go({.name = "deaf", .stack_size = 0}, [] {
        rt0::blocking([] {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, nullptr);
            ready = true;
            spin_here();
        });
    });
    while (!ready) rt0::this_goroutine::yield();
    send(SIGQUIT);
    spin_here();
}
void quit_idle() {
    std::thread t([] {
        while (rt0::stack_dump().find("goroutine 1 [chan receive]:") == std::string::npos) sched_yield();
        send(SIGQUIT);
        for (;;) pause();  // without this thread it would be a deadlock, which might be seen first
    });
    t.detach();
    rt0::chan<int> never(0);
    wait_here(never);
}
// What is held for ever in a wedged process.
void hold_sched() { rt0::runtime::sched.lock.lock(); }
void hold_retake() { rt0::runtime::retakelock.lock(); }
std::atomic<bool> sender_runs{false}, channel_held{false};
void hold_channel() {
    waited_for().raw()->lock.lock();
    channel_held = true;
}
void hold_scan() {  // as if another dump had come no further
    namespace rt = rt0::runtime;
    rt::g* gp = named("waiter");
    while (!rt::castogscanstatus(gp, rt::gwaiting, rt::gwaiting | rt::gscan)) sched_yield();
}
NOINLINE void want_channel() {
    sender_runs = true;
    while (!channel_held) sched_yield();
    waited_for().send(1);
    keep_frame();
}
template <void (*hold)()>
void quit_wedged() {
    for (int i = 0; i < 4; i++) rt0::go({.name = "waiter", .stack_size = 0}, [] { wait_here(waited_for()); });
    await("[chan receive, \"waiter\"]:", 4);
    // With one P it would find no lock: nobody else is there then (CH6).
    if (hold == hold_channel && rt0::gomaxprocs() > 1) {
        rt0::go({.name = "sender", .stack_size = 0}, want_channel);
        while (!sender_runs) rt0::this_goroutine::yield();
    }
    hold();
    send(SIGQUIT);
    spin_here();
}
std::atomic<bool> churning{false};
NOINLINE void churn() {
    churning = true;
    std::vector<void*> kept(64);
    for (unsigned i = 0;; i++) {
        void*& p = kept[i % kept.size()];
        std::free(p);
        p = std::malloc(i * 37 % 5000 + 1);
        static_cast<char*>(p)[0] = 1;
    }
}
void quit_in_malloc() {
    std::thread t([] {
        while (!churning) sched_yield();
        usleep(static_cast<unsigned>(getpid()) % 97 * 10);  // another moment each time
        send(SIGQUIT);
    });
    t.detach();
    churn();
}
void quit_while_panicking() {
    send(SIGQUIT);
    rt0::panic("one of the two");
}

// ---- dumps that do not end the process
int dumps[2];  // a pipe in the place of standard error
void catch_dumps(int* real) {
    *real = dup(2);
    if (pipe(dumps) != 0) _exit(9);
    dup2(dumps[1], 2);
}
// What was written up to the end of the next dump.
std::string next_dump() {
    std::string text;
    char c;
    while (text.find("rt0: end of dump") == text.npos || text.back() != '\n')
        if (read(dumps[0], &c, 1) == 1) text += c;
    return text;
}
void put(int fd, const std::string& s) {
    if (write(fd, s.data(), s.size()) != static_cast<ssize_t>(s.size())) _exit(9);
}
void dump(int sig) {
    static std::atomic<bool> done{false};
    int real, interrupted = 0;
    start_all_kinds();
    catch_dumps(&real);
    std::thread t([sig, real] {
        for (int i = 0; i < 20; i++) {
            send(sig);
            std::string text = next_dump();
            if (i == 0) put(real, text);
        }
        done = true;
    });
    while (!done) {
        timespec left = {0, 1'000'000};
        if (nanosleep(&left, nullptr) != 0) interrupted++;  // no restart after a handler
    }
    rt0::blocking([&] { t.join(); });
    std::printf("alive, interrupted %d times\n", interrupted);
}
void dump_usr1() { dump(SIGUSR1); }
void dump_usr2() { dump(SIGUSR2); }
template <void (*hold)()>
void dump_wedged() {
    static std::atomic<bool> wedged{false};
    int real;
    start_all_kinds();
    catch_dumps(&real);
    std::thread t([real] {
        while (!wedged) sched_yield();
        send(SIGUSR1);
        put(real, next_dump());
        _exit(0);
    });
    t.detach();
    hold();
    wedged = true;
    for_ever();
}

void up() { std::puts("up"); }

#define SCENE(name) {#name, name}
const struct {
    const char* name;
    void (*fn)();
} scenes[] = {
    SCENE(overflow), SCENE(overflow_large), SCENE(overflow_big_frame), SCENE(overflow_libc), SCENE(overflow_main),
    SCENE(overflow_g0), SCENE(overflow_many), SCENE(overflow_thread), SCENE(overflow_unknown_thread),
    SCENE(stray_own_guard), SCENE(stray_other_guard),
    SCENE(read_null), SCENE(write_wild), SCENE(call_null), SCENE(divide), SCENE(illegal), SCENE(read_past_end),
    SCENE(raise_segv), SCENE(broken_stack), SCENE(fault_on_g0), SCENE(fault_on_goroutine), SCENE(fault_on_thread),
    SCENE(fault_on_unknown_thread), SCENE(fault_on_small_altstack), SCENE(broken_on_small_altstack),
    SCENE(fault_while_reporting), SCENE(two_faults),
    SCENE(abort_here), SCENE(odd_name), SCENE(throw_long_name),
    SCENE(quit_all_kinds), SCENE(quit_others_run), SCENE(quit_blocked_mask), SCENE(quit_idle),
    SCENE(quit_in_malloc), SCENE(quit_while_panicking),
    SCENE(dump_usr1), SCENE(dump_usr2), SCENE(up), SCENE(quit_detached),
    {"quit_wedged", quit_wedged<hold_sched>}, {"quit_retake_wedged", quit_wedged<hold_retake>},
    {"quit_channel_wedged", quit_wedged<hold_channel>}, {"quit_scanned", quit_wedged<hold_scan>},
    {"dump_wedged", dump_wedged<hold_sched>}, {"dump_retake_wedged", dump_wedged<hold_retake>},
    {"dump_channel_wedged", dump_wedged<hold_channel>}, {"dump_scanned", dump_wedged<hold_scan>},
};

}  // namespace

void main_main() {
    auto args = rt0::args();
    for (auto& s : scenes)
        if (args.size() == 2 && !std::strcmp(s.name, args[1])) {
            s.fn();
            keep_frame();
            return;
        }
    std::fprintf(stderr, "no such scene\n");
    rt0::exit(99);
}
