// Scenes for tests/crash/handlers_test.cc: handlers_prog NAME, with the handlers that RT0_TEST_HANDLERS names installed before
// the boot.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <thread>

#include <rt0/rt0.h>

#include "tests/support/on_thread.h"

namespace {

volatile bool sure = true;
int* volatile nowhere = nullptr;

__attribute__((noinline, no_sanitize("null"))) void read_null() {  // the fault is what it is for
    if (*nowhere == 1) std::puts("not reached");
}
void fault_on_goroutine() {
    rt0::wait_group wg;
    wg.go(read_null);
    wg.wait();
}
void fault_on_thread() { testing_support::on_known_thread([] { read_null(); }); }
void fault_on_unknown_thread() { testing_support::on_unknown_thread([] { read_null(); }); }
[[gnu::noinline]] int recurse(int n) {
    volatile char frame[64];
    frame[0] = static_cast<char>(n);
    int r = sure ? recurse(n + 1) : 0;
    return r + frame[0];
}
void overflow() {
    rt0::wait_group wg;
    wg.go([] { recurse(0); });
    wg.wait();
}

// ---- handlers
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

[[gnu::noinline]] void meet_illegal() {
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

#define SCENE(name) {#name, name}
const struct {
    const char* name;
    void (*fn)();
} scenes[] = {
    SCENE(read_null), SCENE(fault_on_goroutine), SCENE(fault_on_thread), SCENE(fault_on_unknown_thread), SCENE(overflow),
    SCENE(survive), SCENE(mended), SCENE(sent_faults), SCENE(late_handler), SCENE(quit_self), SCENE(usr1_self),
};

}  // namespace

void main_main() {
    auto args = rt0::args();
    for (auto& s : scenes)
        if (args.size() == 2 && !std::strcmp(s.name, args[1])) return s.fn();
    std::fprintf(stderr, "no such scene\n");
    rt0::exit(99);
}
