// Scenes for tests/crash/signal_test.cc: signal_prog NAME.  The test names these functions
// and this file in what it expects of the traces.
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include <rt0/rt0.h>

#include "sched/sched.h"
#include "tests/support/kthreads.h"

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
void fault_on_thread() {  // one that called rt0 before
    std::thread t([] {
        rt0::this_goroutine::yield();
        read_null();
    });
    rt0::blocking([&] { t.join(); });
}
void fault_on_unknown_thread() {
    std::thread t([] { read_null(); });
    rt0::blocking([&] { t.join(); });
}
void fault_on_small_altstack() {
    std::thread t([] {
        static char small[8192];
        stack_t ss = {};
        ss.ss_sp = small;
        ss.ss_size = sizeof small;
        sigaltstack(&ss, nullptr);
        rt0::this_goroutine::yield();
        read_null();
    });
    rt0::blocking([&] { t.join(); });
}
void overflow_thread() {
    std::thread t([] {
        rt0::this_goroutine::yield();
        recurse(0);
    });
    rt0::blocking([&] { t.join(); });
}
struct what_faults : std::exception {
    const char* what() const noexcept override {
        read_null();
        return "";
    }
};
void fault_while_reporting() { throw what_faults(); }
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
void start_all_kinds() {
    rt0::chan<int> never(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [never] { wait_here(never); });
    rt0::go({.name = "locked", .stack_size = 0}, [never] {
        rt0::this_goroutine::lock_os_thread();
        wait_here(never);
    });
    static std::atomic<int> started{0};
    rt0::go({.name = "blocked", .stack_size = 0}, [] {
        rt0::blocking([] {
            started++;
            sleep_in_kernel();
        });
    });
    while (started == 0) rt0::this_goroutine::yield();
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
void quit_wedged() {  // nobody will ever get the scheduler's lock again
    rt0::chan<int> never(0);
    for (int i = 0; i < 4; i++) rt0::go({.name = "waiter", .stack_size = 0}, [never] { wait_here(never); });
    await("[chan receive, \"waiter\"]:", 4);
    rt0::runtime::sched.lock.lock();
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
void quit_loader_locked() {
    static std::atomic<bool> held{false};
    rt0::chan<int> never(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [never] { wait_here(never); });
    for (int i = 0; i < 10; i++) rt0::this_goroutine::yield();
    std::thread t([] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        dl_iterate_phdr(
            [](dl_phdr_info*, std::size_t, void*) -> int {
                held = true;
                for (;;) pause();
            },
            nullptr);
    });
    t.detach();
    while (!held) sched_yield();
    send(SIGQUIT);
    spin_here();
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
void dump_wedged() {
    int real;
    start_all_kinds();
    catch_dumps(&real);
    std::thread t([real] {
        send(SIGUSR1);
        put(real, next_dump());
        _exit(0);
    });
    t.detach();
    rt0::runtime::sched.lock.lock();
    for_ever();
}

// ---- handlers of the program
sigjmp_buf way_out;
void jump_out(int) { siglongjmp(way_out, 1); }
void say_and_exit(int sig, siginfo_t* info, void*) {
    char text[64];
    int n = std::snprintf(text, sizeof text, "own handler: %d at %p\n", sig, info->si_addr);
    if (write(1, text, static_cast<std::size_t>(n)) != n) _exit(9);
    _exit(7);
}
void say_quit(int) {
    if (write(1, "own handler: quit\n", 18) != 18) _exit(9);
    _exit(6);
}
void handle(int sig, void (*fn)(int, siginfo_t*, void*), int flags, std::initializer_list<int> wait = {}) {
    struct sigaction sa = {};
    sa.sa_sigaction = fn;
    sa.sa_flags = SA_SIGINFO | flags;
    for (int s : wait) sigaddset(&sa.sa_mask, s);
    sigaction(sig, &sa, nullptr);
}

// Faults whose handler removes the cause and returns.  What it saw goes into a text that says the same whenever and on
// whatever thread it is called.
struct mending {
    char* page[2];  // not to be touched; with the first one the handler itself touches the second
    char* past_end;
    int fd;
    std::string seen;
};
thread_local mending* now = nullptr;

std::string blocked() {
    sigset_t set;
    std::string r;
    pthread_sigmask(SIG_SETMASK, nullptr, &set);
    for (int s = 1; s < NSIG; s++)
        if (sigismember(&set, s) == 1) r += " " + std::to_string(s);
    return r;
}
void skip_instruction(void* uc) {
    auto& mc = static_cast<ucontext_t*>(uc)->uc_mcontext;
#if defined(__x86_64__)
    mc.gregs[REG_RIP] += 2;
#else
    mc.pc += 4;
#endif
}
void mend(int sig, siginfo_t* info, void* uc) {
    auto* at = static_cast<char*>(info->si_addr);
    now->seen += std::to_string(sig) + " blocked" + blocked();
    if (sig != SIGILL) now->seen += " code " + std::to_string(info->si_code);  // of that each processor has its own
    if (sig == SIGSEGV) {
        now->seen += at == now->page[0] ? " first" : at == now->page[1] ? " second" : " nowhere";
        if (at == now->page[0]) *static_cast<volatile char*>(now->page[1]) = 1;
        mprotect(at, 4096, PROT_READ | PROT_WRITE);
    }
    if (sig == SIGBUS) {
        now->seen += at == now->past_end ? " past the end" : " nowhere";
        if (ftruncate(now->fd, 4096) != 0) _exit(9);
    }
    if (sig == SIGILL) skip_instruction(uc);
    now->seen += " done\n";
}
void mend_plain(int sig) { now->seen += std::to_string(sig) + " blocked" + blocked() + " done\n"; }

NOINLINE void meet_illegal() {
#if defined(__x86_64__)
    asm volatile("ud2");
#else
    asm volatile("udf #0");
#endif
}
std::string mend_each() {
    mending m;
    now = &m;
    for (char*& p : m.page) p = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    m.fd = memfd_create("signal_prog", 0);
    m.past_end = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0));
    *static_cast<volatile char*>(m.page[0]) = 2;
    *static_cast<volatile char*>(m.past_end) = 3;
    meet_illegal();
    raise(SIGFPE);
    m.seen += "after them blocked" + blocked() + "\n";
    if (m.page[0][0] != 2 || m.page[1][0] != 1 || m.past_end[0] != 3) m.seen += "not stored\n";
    for (char* p : {m.page[0], m.page[1], m.past_end}) munmap(p, 4096);
    close(m.fd);
    return m.seen;
}
std::string by_the_kernel;  // before the boot

void mend_set_up() {
    handle(SIGSEGV, mend, SA_NODEFER, {SIGUSR2});
    handle(SIGBUS, mend, SA_ONSTACK, {SIGHUP, SIGSEGV});
    handle(SIGILL, mend, SA_NODEFER);
    std::signal(SIGFPE, mend_plain);
    by_the_kernel = mend_each();
}

void say_once(int, siginfo_t*, void*) {
    static bool called = false;
    if (called) _exit(8);
    called = true;
    if (write(1, "once\n", 5) != 5) _exit(9);
}
void ignore_faults() {
    for (int sig : {SIGSEGV, SIGFPE, SIGILL}) std::signal(sig, SIG_IGN);
    struct sigaction sa = {};
    sa.sa_handler = SIG_IGN;
    sa.sa_flags = SA_SIGINFO;  // means nothing here
    sigaction(SIGBUS, &sa, nullptr);
}

// Before the runtime boots.
struct early {
    early() {
        const char* s = std::getenv("RT0_TEST_HANDLERS");
        std::string which = s ? s : "";
        if (which == "exit") handle(SIGSEGV, say_and_exit, 0);
        if (which == "jump") std::signal(SIGSEGV, jump_out);
        if (which == "quit") std::signal(SIGQUIT, say_quit);
        if (which == "ignore_quit") std::signal(SIGQUIT, SIG_IGN);
        if (which == "usr1") std::signal(SIGUSR1, say_quit);
        if (which == "mend") mend_set_up();
        if (which == "once") handle(SIGSEGV, say_once, SA_RESETHAND);
        if (which == "ignore_faults") ignore_faults();
    }
} before_boot;

void survive() {  // faults a thousand times and jumps out of its handler
    static int i;  // the jump may lose a local
    for (i = 0; i < 1000; i++)
        if (sigsetjmp(way_out, 1) == 0) read_null();
    rt0::chan<int> c(0);
    rt0::go([c]() mutable { c.send(1); });
    c.recv();
    std::puts("survived");
}
void mended() {  // on a thread of each kind
    static std::string on[4];
    on[0] = mend_each();
    rt0::wait_group wg;
    wg.go([] { on[1] = mend_each(); });
    wg.wait();
    std::thread known([] {
        rt0::this_goroutine::yield();
        on[2] = mend_each();
    });
    std::thread unknown([] { on[3] = mend_each(); });
    rt0::blocking([&] {
        known.join();
        unknown.join();
    });
    for (auto& s : on)
        if (s != by_the_kernel) std::printf("not as the kernel does it:\n%s", s.c_str());
    std::fputs(by_the_kernel.c_str(), stdout);
}
void sent_faults() {
    for (int sig : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        raise(sig);
        kill(getpid(), sig);
        sigqueue(getpid(), sig, {});
    }
    std::puts("alive");
}
void late_handler() {
    handle(SIGSEGV, say_and_exit, 0);
    read_null();
}
void quit_self() {
    raise(SIGQUIT);  // to this thread: handled, or not, before it returns
    std::puts("alive");
}
void usr1_self() {
    raise(SIGUSR1);
    std::puts("alive");
}
void up() { std::puts("up"); }

#define SCENE(name) {#name, name}
const struct {
    const char* name;
    void (*fn)();
} scenes[] = {
    SCENE(overflow), SCENE(overflow_large), SCENE(overflow_big_frame), SCENE(overflow_libc), SCENE(overflow_main),
    SCENE(overflow_g0), SCENE(overflow_many), SCENE(overflow_thread), SCENE(stray_own_guard), SCENE(stray_other_guard),
    SCENE(read_null), SCENE(write_wild), SCENE(call_null), SCENE(divide), SCENE(illegal), SCENE(read_past_end),
    SCENE(raise_segv), SCENE(broken_stack), SCENE(fault_on_g0), SCENE(fault_on_goroutine), SCENE(fault_on_thread),
    SCENE(fault_on_unknown_thread), SCENE(fault_on_small_altstack), SCENE(fault_while_reporting), SCENE(two_faults),
    SCENE(abort_here), SCENE(quit_all_kinds), SCENE(quit_others_run), SCENE(quit_blocked_mask), SCENE(quit_idle),
    SCENE(quit_wedged), SCENE(quit_in_malloc), SCENE(quit_loader_locked), SCENE(quit_while_panicking),
    SCENE(dump_usr1), SCENE(dump_usr2), SCENE(dump_wedged), SCENE(survive), SCENE(late_handler), SCENE(quit_self),
    SCENE(usr1_self), SCENE(up), SCENE(quit_detached), SCENE(mended), SCENE(sent_faults),
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
