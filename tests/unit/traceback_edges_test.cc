// Reports where something is missing or in the way: no memory, no symbols, no goroutine, a thread that does not
// answer.  What ends the process is a scene of this very program, in a child: TEST(Scene, DISABLED_name).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include <rt0/rt0.h>

#include "base/upcall.h"
#include "debug/traceback.h"
#include "kernel_if/inject.h"
#include "sched/upcross.h"
#include "tests/support/child.h"
#include "tests/support/kthreads.h"
#include "tests/support/on_thread.h"
#include "tests/support/report.h"

using testing_support::child_result;
using testing_support::parse_dump;
using testing_support::report;
using testing_support::report_block;

namespace rt = rt0::runtime;

namespace {

const std::string me = "tests/unit/traceback_edges_test.cc";

void keep_frame() { asm volatile("" ::: "memory"); }
[[gnu::noinline]] void wait_here(rt0::chan<int> c) {
    c.recv();
    keep_frame();
}
// Until n goroutines stand in the dump so.
report dump_when(const std::string& header_end, int n) {
    for (;;) {
        report r = parse_dump(rt0::stack_dump());
        if (!r.error.empty() || r.count(header_end) >= n) return r;
        rt0::this_goroutine::yield();
    }
}
// ---- reports

child_result scene(const std::string& name, const std::string& traceback = {}) {
    testing_support::child_options o{.limit_s = 120, .env = {{"RT0TRACEBACK", traceback}, {"RT0DEBUG", ""}}};  // no line of a seed
    return testing_support::run_child({testing_support::self_path(), "--gtest_also_run_disabled_tests",
                                       "--gtest_filter=Scene.DISABLED_" + name}, o);
}
struct ReportEdges : testing::Test {
    report rep;
    void SetUp() override {
        if (test::tsan) GTEST_SKIP() << "ThreadSanitizer holds signals back";
    }
    // Status 2, and a report in the right format.
    child_result expect(const std::string& name, const std::string& head, const std::string& traceback = {}) {
        child_result r = scene(name, traceback);
        rep = testing_support::parse_report(r.err);
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_EQ(rep.error, "") << r.summary();
        EXPECT_TRUE(rep.head.starts_with(head)) << r.summary();
        EXPECT_FALSE(rep.blocks.empty()) << r.summary();
        if (rep.blocks.empty()) rep.blocks.emplace_back();
        return r;
    }
};

[[gnu::noinline]] void quit_here() {
    raise(SIGQUIT);
    keep_frame();
}
void spin() {
    for (;;) asm volatile("");
}

TEST(Scene, DISABLED_panic) {
    rt0::chan<int> c(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [c] { wait_here(c); });
    dump_when("[chan receive, \"waiter\"]:", 1);
    rt0::panic("boom");
}
// RT0TRACEBACK: the numbers mean what the words do, and nothing is what is not set.
TEST_F(ReportEdges, LevelsAsNumbers) {
    EXPECT_EQ(scene("panic", "0").err, "panic: boom\n");
    expect("panic", "panic: boom", "single");
    EXPECT_EQ(rep.blocks.size(), 1u);
    expect("panic", "panic: boom", "1");
    EXPECT_EQ(rep.blocks.size(), 2u);
    EXPECT_EQ(rep.count("[chan receive, \"waiter\"]:"), 1);
    child_result r = expect("panic", "panic: boom", "2");
    EXPECT_GT(rep.blocks.size(), 2u) << r.summary();
    EXPECT_TRUE(rep.blocks[0].frames.at(0).function.starts_with("rt0::")) << r.summary();
    r = testing_support::run_child({"/usr/bin/env", "RT0TRACEBACK=", "RT0DEBUG=", testing_support::self_path(),
                                    "--gtest_also_run_disabled_tests", "--gtest_filter=Scene.DISABLED_panic"});
    rep = testing_support::parse_report(r.err);
    EXPECT_EQ(rep.head, "panic: boom") << r.summary();
    EXPECT_EQ(rep.blocks.size(), 1u) << r.summary();
}

void raise_foreign() {
    static _Unwind_Exception foreign = {};
    std::memcpy(&foreign.exception_class, "OTHERLNG", 8);
    _Unwind_RaiseException(&foreign);
    keep_frame();
}
[[gnu::noinline]] void end_by_foreign() {
    try {
        raise_foreign();
    } catch (...) {
        std::terminate();
    }
}
[[gnu::noinline]] void promise_none() noexcept { raise_foreign(); }
TEST(Scene, DISABLED_foreign_exception_caught) { end_by_foreign(); }
TEST(Scene, DISABLED_foreign_exception_in_noexcept) { promise_none(); }
TEST_F(ReportEdges, AnotherLanguagesException) {
    child_result r =
        expect("foreign_exception_caught", "panic: std::terminate called while a forced unwind or a foreign exception was handled");
    EXPECT_TRUE(rep.blocks[0].has("end_by_foreign", me)) << r.summary();
    // The C++ runtime does not count it as caught here, so there is nothing that would tell.
    r = expect("foreign_exception_in_noexcept", "panic: ");
    EXPECT_TRUE(rep.blocks[0].has("promise_none", me)) << r.summary();
}

TEST(Scene, DISABLED_deadlock) { wait_here(rt0::chan<int>(0)); }
TEST_F(ReportEdges, TheSystemStackThatFoundADeadlock) {
    expect("deadlock", "fatal error: all goroutines are asleep - deadlock!");
    EXPECT_EQ(rep.count("runtime stack:"), 0);
    expect("deadlock", "fatal error: all goroutines are asleep - deadlock!", "system");
    EXPECT_EQ(rep.blocks[0].header, "runtime stack:");
    EXPECT_EQ(rep.count("goroutine 1 [chan receive]:"), 1);
}

TEST(Scene, DISABLED_quit_on_g0) { rt::systemstack([] { quit_here(); }); }
TEST_F(ReportEdges, QuitOnASystemStack) {
    expect("quit_on_g0", "SIGQUIT: quit\n");
    EXPECT_EQ(rep.count("runtime stack:"), 0);
    EXPECT_EQ(rep.blocks[0].header, "goroutine 1 [running]:");
    expect("quit_on_g0", "SIGQUIT: quit\n", "system");
    EXPECT_TRUE(rep.blocks[0].header == "runtime stack:" && rep.blocks[0].has("quit_here", me));
}

TEST(Scene, DISABLED_quit_on_known_thread) { testing_support::on_known_thread(quit_here); }
TEST(Scene, DISABLED_quit_on_unknown_thread) { testing_support::on_unknown_thread(quit_here); }
TEST_F(ReportEdges, QuitOnThreads) {
    child_result r = expect("quit_on_known_thread", "SIGQUIT: quit\n");
    EXPECT_TRUE(rep.blocks[0].header.ends_with(" [running, locked to thread]:")) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("quit_here", me)) << r.summary();
    r = expect("quit_on_unknown_thread", "SIGQUIT: quit\n");
    EXPECT_NE(rep.head.find(" m=-1 "), std::string::npos) << r.summary();
    EXPECT_TRUE(rep.blocks[0].header.ends_with(" [running, no goroutine]:")) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("quit_here", me)) << r.summary();
}

TEST(Scene, DISABLED_quit_on_system_goroutine) {
    {
        rt::runtime_call rc;
        rt::newproc_system(
            [](void* first) {
                while (rt::readgstatus(static_cast<rt::g*>(first)) != rt::gwaiting) rt::gosched();
                quit_here();
            },
            rc.gp, "of the runtime");
    }
    wait_here(rt0::chan<int>(0));
}
// The runtime's own goroutine is none of the user's: the thread is shown.  Where it is shown too its stack is not asked
// for: nobody but the reporting thread could answer.
TEST_F(ReportEdges, QuitOnAGoroutineOfTheRuntime) {
    for (const char* traceback : {"", "system"}) {
        child_result r = expect("quit_on_system_goroutine", "SIGQUIT: quit\n", traceback);
        EXPECT_TRUE(rep.blocks[0].header.ends_with(" [running, no goroutine]:")) << r.summary();
        EXPECT_TRUE(rep.blocks[0].has("quit_here", me)) << r.summary();
        EXPECT_EQ(rep.count("goroutine 1 [chan receive]:"), 1) << r.summary();
        const report_block* own = rep.find("[running, \"of the runtime\"]:");
        EXPECT_EQ(own != nullptr, *traceback != 0) << r.summary();
        EXPECT_TRUE(!own || own->unavailable) << r.summary();
    }
}

TEST(Scene, DISABLED_quit_without_watchdog) {
    rt0::kernel::inject_fail(rt0::kernel::inject::sigaction, 1, EPERM);
    quit_here();
}
TEST_F(ReportEdges, QuitWithoutTheWatchdog) {
    child_result r = expect("quit_without_watchdog", "SIGQUIT: quit\n");
    EXPECT_TRUE(rep.blocks[0].has("quit_here", me)) << r.summary();
}

// Code of the program's own making, which no unwinder knows, calls a function of the C library.
TEST(Scene, DISABLED_quit_from_made_code) {
    rt0::chan<int> c(0);
    rt0::go({.name = "waiter", .stack_size = 0}, [c] { wait_here(c); });
    dump_when("[chan receive, \"waiter\"]:", 1);
    auto* code = static_cast<unsigned char*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(code, MAP_FAILED);
#ifdef __x86_64__
    const unsigned char call[] = {0x48, 0x83, 0xec, 0x08, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,  // sub $8, %rsp; mov $f, %rax
                                  0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3};  // call *%rax; add $8, %rsp; ret
    const int at = 6;
#else
    const unsigned char call[] = {0xfd, 0x7b, 0xbf, 0xa9, 0x90, 0, 0, 0x58,  // stp x29, x30, [sp, -16]!; ldr x16, f
                                  0x00, 0x02, 0x3f, 0xd6, 0xfd, 0x7b, 0xc1, 0xa8,  // blr x16; ldp x29, x30, [sp], 16
                                  0xc0, 0x03, 0x5f, 0xd6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // ret; f at 24
    const int at = 24;
#endif
    std::memcpy(code, call, sizeof call);
    auto* f = &::syscall;
    std::memcpy(code + at, &f, sizeof f);
    __builtin___clear_cache(reinterpret_cast<char*>(code), reinterpret_cast<char*>(code + sizeof call));
    reinterpret_cast<decltype(f)>(code)(SYS_tgkill, getpid(), gettid(), SIGQUIT);
}
TEST_F(ReportEdges, QuitFromCodeThatNobodyKnows) {
    child_result r = expect("quit_from_made_code", "SIGQUIT: quit\n");
    const report_block* waiter = rep.find("[chan receive, \"waiter\"]:");
    ASSERT_NE(waiter, nullptr) << r.summary();
    EXPECT_TRUE(waiter->has("wait_here", me)) << r.summary();
    EXPECT_NE(r.err.find("wait_here(rt0::chan<int>)"), std::string::npos) << "names by the demangler: " << r.summary();
}

// ---- faults
struct FaultEdges : ReportEdges {
    void SetUp() override {
        if (test::sanitized) GTEST_SKIP() << "the sanitizer reports it";
    }
};

int* volatile nowhere = nullptr;
int not_code = 1;
TEST(Scene, DISABLED_call_data) {
    auto f = reinterpret_cast<void (*)()>(&not_code);
    f();
    keep_frame();
}
TEST_F(FaultEdges, ACallOfData) {
    child_result r = scene("call_data");
    rep = testing_support::parse_report(r.err);
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_EQ(rep.error, "") << r.summary();
    EXPECT_TRUE(rep.head.starts_with("unexpected fault address 0x")) << r.summary();
    ASSERT_FALSE(rep.blocks.empty()) << r.summary();
    EXPECT_EQ(rep.blocks[0].header, "goroutine 1 [running]:") << r.summary();
    ASSERT_FALSE(rep.blocks[0].frames.empty()) << r.summary();
    EXPECT_NE(rep.blocks[0].frames[0].function.find("not_code"), std::string::npos) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("Scene_DISABLED_call_data_Test::TestBody", me)) << r.summary();  // its caller
}

[[gnu::noinline]] int recurse(int n) {
    volatile char frame[64];
    frame[0] = static_cast<char>(n);
    static volatile bool sure = true;
    return (sure ? recurse(n + 1) : 0) + frame[0];
}
TEST(Scene, DISABLED_overflow_in_handler) {
    struct sigaction deep = {};
    deep.sa_handler = [](int) { recurse(0); };
    deep.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &deep, nullptr);
    raise(SIGUSR1);
}
TEST_F(FaultEdges, AHandlerOverflowsTheSignalStack) {
    child_result r = expect("overflow_in_handler", "runtime: signal stack exceeds ");
    EXPECT_TRUE(rep.head.ends_with("]\nfatal error: stack overflow on the system stack")) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("recurse", me)) << r.summary();
}

// On an alternate stack of the thread's own, above all that is mapped else but the initial stack: that of its M too.
TEST(Scene, DISABLED_fault_on_own_altstack) {
    testing_support::on_unknown_thread([] {
        const auto high = (reinterpret_cast<std::uintptr_t>(environ) & ~std::uintptr_t{4095}) - (std::uintptr_t{64} << 20);
        stack_t ss = {};
        ss.ss_size = 16384;
        ss.ss_sp = mmap(reinterpret_cast<void*>(high), ss.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(ss.ss_sp, MAP_FAILED);
        sigaltstack(&ss, nullptr);
        rt0::this_goroutine::yield();
        *nowhere = 1;
        keep_frame();
    });
}
TEST_F(FaultEdges, OnAnAltstackAboveThatOfTheM) {
    child_result r = scene("fault_on_own_altstack");
    rep = testing_support::parse_report(r.err);
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_EQ(rep.error, "") << r.summary();
    ASSERT_FALSE(rep.blocks.empty()) << r.summary();
    EXPECT_TRUE(rep.blocks[0].header.ends_with(" [running, locked to thread]:")) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("operator()", me)) << r.summary();
}

// With neither symbols nor a shared library that has some: the head, and places for addr2line.
TEST_F(FaultEdges, AStaticProgramWithoutSymbols) {
    std::string whole = testing_support::built_program("tests/crash/signal_prog_static");
    if (access(whole.c_str(), X_OK) != 0) GTEST_SKIP() << whole << " is not built";
    std::string bare = whole + ".stripped." + std::to_string(getpid());
    if (access("/usr/bin/strip", X_OK) != 0) GTEST_SKIP() << "no strip";
    ASSERT_EQ(testing_support::run_child({"/usr/bin/strip", "-o", bare, whole}).status, 0);
    child_result r = testing_support::run_child({bare, "read_null"},
                                                {.limit_s = 120, .env = {{"RT0TRACEBACK", ""}, {"RT0DEBUG", ""}}});
    std::remove(bare.c_str());
    rep = testing_support::parse_report(r.err);
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_TRUE(rep.head.starts_with("unexpected fault address 0x0\n")) << r.summary();
    EXPECT_EQ(rep.error, "") << r.summary();
    ASSERT_TRUE(rep.blocks.size() == 1 && !rep.blocks[0].frames.empty()) << r.summary();
    EXPECT_TRUE(rep.blocks[0].frames[0].function == "?()" && rep.blocks[0].frames[0].file == bare) << r.summary();
}

// ---- threads that do not answer for their stacks: 10 s of waiting, so at one number of Ps only
struct Silent : ReportEdges {
    void SetUp() override {
        const char* p = std::getenv("RT0_MAXPROCS");
        if (!p || std::string_view(p) != "2") GTEST_SKIP() << "at P = 2 only";
        ReportEdges::SetUp();
    }
    void expect_unavailable(const child_result& r, const std::string& header) {
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_NE(r.err.find(header + "\n\tgoroutine running on other thread; stack unavailable\n"), std::string::npos)
            << header << r.summary();
    }
};
std::atomic<int> ready{0};

// The parent of a vfork sleeps where no signal wakes it, until the child is gone.
[[gnu::noinline]] void sleep_in_vfork() {
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        ready++;
        for (;;) pause();
    }
}
TEST(Scene, DISABLED_quit_vfork) {
    for (const char* name : {"first", "second", "third"}) {
        int before = ready;
        rt0::go({.name = name, .stack_size = 0}, [] { rt0::blocking(sleep_in_vfork); });
        while (ready == before) rt0::this_goroutine::yield();
    }
    quit_here();
}
TEST_F(Silent, ThreadsThatSleepWhereNoSignalWakesThem) {
    child_result r = expect("quit_vfork", "SIGQUIT: quit\n");
    EXPECT_TRUE(rep.blocks[0].has("quit_here", me)) << r.summary();
    for (const char* name : {"first", "second", "third"}) expect_unavailable(r, "[syscall, \"" + std::string(name) + "\"]:");
}

// A stack of which the older half cannot be read, for ever: its pages are somebody else's to fill in, and nobody does.
[[gnu::noinline]] void spin_above_missing(std::uintptr_t older) {
    std::uintptr_t lo = older & ~std::uintptr_t{4095}, hi = rt::getg()->stk.hi & ~std::uintptr_t{4095};
    int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
    uffdio_api api = {.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register all = {.range = {.start = lo, .len = hi - lo}, .mode = UFFDIO_REGISTER_MODE_MISSING, .ioctls = 0};
    bool done = fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &all) == 0 &&
                madvise(reinterpret_cast<void*>(lo), hi - lo, MADV_DONTNEED) == 0;
    ready = done ? 1 : -1;
    spin();
}
[[gnu::noinline]] void leave_room() {
    char between[16384];
    asm volatile("" : : "r"(between) : "memory");
    spin_above_missing(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
    keep_frame();
}
TEST(Scene, DISABLED_panic_walk_without_end) {
    rt0::go({.name = "stuck", .stack_size = 1 << 20}, [] { rt0::blocking(leave_room); });
    while (ready == 0) rt0::this_goroutine::yield();
    if (ready < 0) rt0::exit(77);
    rt0::go({.name = "after it", .stack_size = 1 << 20}, [] {
        rt0::blocking([] {
            ready = 2;
            spin();
        });
    });
    while (ready == 1) rt0::this_goroutine::yield();
    rt0::panic("boom");
}
// It began to answer, so that it has the place for answers: whoever would come next is not asked.
TEST_F(Silent, AThreadThatIsLostInItsWalk) {
    child_result r = scene("panic_walk_without_end", "all");
    if (r.status == 77) GTEST_SKIP() << "no userfaultfd here";
    EXPECT_TRUE(r.err.starts_with("panic: boom\n")) << r.summary();
    expect_unavailable(r, "[syscall, \"stuck\"]:");
    expect_unavailable(r, "[syscall, \"after it\"]:");
}

// ---- the scheduler's books
TEST(Scene, DISABLED_schedtrace) {
    rt::upcall_schedtrace(true);
    rt0::kernel::inject_fail(rt0::kernel::inject::mmap, 1, ENOMEM, -1);
    rt::upcall_schedtrace(true);
    rt0::kernel::inject_off();
    rt0::exit(0);
}
TEST(SchedTraceEdges, WithoutMemoryItComesInPieces) {
    child_result r = scene("schedtrace");
    EXPECT_EQ(r.status, 0) << r.summary();
    for (const char* line : {"SCHED ", "\n  P0: ", "\n  M0: ", "\n  G1: "}) {
        int n = 0;
        for (std::size_t at = 0; (at = r.err.find(line, at)) != r.err.npos; at++) n++;
        EXPECT_EQ(n, 2) << line << r.summary();
    }
    EXPECT_TRUE(r.err.ends_with("\n"));
}

}  // namespace
