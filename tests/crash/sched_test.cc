// Boot, limits and ends of the process, seen from outside: text and status of programs
// that run one scene each.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <regex>
#include <set>
#include <string>

#include "kernel_if/inject.h"
#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using namespace testing_support;
using rt0::kernel::inject;

namespace {

child_result scene(const std::string& name, child_options o = {}) {
    return run_child({built_program("tests/crash/sched_prog"), name}, o);
}
child_result scene_at(const char* p, const std::string& name) {
    child_options o;
    o.env = {{"RT0_MAXPROCS", p}};
    return scene(name, o);
}
std::string fault(inject call, int nth, int err, int count) {
    return std::to_string(static_cast<unsigned>(call)) + ":" + std::to_string(nth) + ":" + std::to_string(err) + ":" +
           std::to_string(count);
}
child_result with(const std::string& name, const std::string& key, const std::string& value) {
    child_options o;
    o.env = {{key, value}};
    return scene(name, o);
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
int lines(const std::string& text) {
    int n = 0;
    for (char c : text) n += c == '\n';
    return n;
}

// Each assumption of check(), broken one at a time: one line that names it, status 2.
TEST(Boot, EveryAssumptionIsChecked) {
    std::set<std::string> seen;
    for (int nth = 1;; nth++) {
        ASSERT_LT(nth, 100);
        child_result r = with("up", "RT0_TEST_INJECT", fault(inject::check, nth, EINVAL, 1));
        if (r.status == 0) {
            EXPECT_EQ(r.out, "up 0\n");
            break;
        }
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_EQ(r.out, "");
        EXPECT_EQ(lines(r.err), 1) << r.err;
        EXPECT_EQ(r.err.rfind("rt0: check: ", 0), 0u) << r.err;
        EXPECT_TRUE(contains(r.err, " does not hold; rt0 cannot run here\n")) << r.err;
        EXPECT_TRUE(seen.insert(r.err).second) << "the same line twice: " << r.err;
    }
    EXPECT_GE(seen.size(), 7u);
}

TEST(Boot, StationsComeInOrder) {
    child_result r = with("up", "RT0DEBUG", "boottrace=1");
    EXPECT_EQ(r.status, 0) << r.summary();
    const char* order[] = {"rt0_go", "check", "args", "osinit", "tracebackinit", "mallocinit", "mcommoninit",
                           "alginit", "msigsave", "goargs goenvs", "parsedebugvars", "gcinit", "procresize",
                           "initsig", "newproc", "mstart", "runtime_main", "sysmon", "gcenable", "main_main"};
    std::size_t at = 0;
    for (const char* station : order) {
        std::size_t next = r.err.find(station, at);
        ASSERT_NE(next, std::string::npos) << station << " missing or out of order in\n" << r.err;
        at = next + 1;
    }
}

TEST(Boot, GarbageInRt0debugIsWarnedOf) {
    for (const char* v : {"boottrace", "boottrace=", "boottrace=x", "boottrace=-1", "boottrace=99999999999999999999",
                          "boottrace=2147483648", "nosuch=1", "=", "=1", "chaos=1=2", "schedseed=-1", "schedseed=x"}) {
        child_result r = with("up", "RT0DEBUG", v);
        EXPECT_EQ(r.status, 0) << v << r.summary();
        EXPECT_EQ(r.out, "up 0\n");
        EXPECT_EQ(lines(r.err), 1) << v << "\n" << r.err;
        EXPECT_EQ(r.err.rfind("rt0: RT0DEBUG: ", 0), 0u) << r.err;
    }
    child_result two = with("up", "RT0DEBUG", ",,a,,b=c,");
    EXPECT_EQ(lines(two.err), 2) << two.err;
    EXPECT_EQ(with("up", "RT0DEBUG", std::string(100'000, 'x') + "=1").status, 0);
}

TEST(Boot, GarbageInMaxprocsIsWarnedOf) {
    for (const char* name : {"RT0_MAXPROCS", "GOMAXPROCS"}) {
        for (const char* v : {"x", "0", "-3", "4x", " 4", "99999999999999999999", "1025", "+4", "0x4"}) {
            child_options o;
            o.env = {{std::string(name) == "GOMAXPROCS" ? "RT0_MAXPROCS" : "GOMAXPROCS", ""}, {name, v}};
            child_result r = scene("procs", o);
            EXPECT_EQ(r.status, 0) << name << v << r.summary();
            EXPECT_TRUE(contains(r.err, std::string(name) + "='" + v + "'")) << r.err;
            EXPECT_EQ(lines(r.err), 1) << r.err;
        }
    }
}

TEST(Boot, ByAStaticConstructor) {
    EXPECT_EQ(scene("early").out, "early 0 2\n");
    child_options o;
    o.env = {{"RT0_TEST_EARLY", "1"}};
    child_result r = scene("early", o);
    EXPECT_EQ(r.out, "early 1 2\n") << r.summary();
    EXPECT_EQ(r.status, 0) << r.summary();
}

TEST(Boot, NeedsAThreadWhereAConstructorBoots) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer needs address space of its own";
    child_options o;
    o.env = {{"RT0_TEST_EARLY", "1"}, {"RT0_TEST_LIMIT", "as:0"}};  // none is left for its stack
    child_result r = scene("early", o);
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(r.err, "rt0: cannot create the first thread of the runtime (see ulimit -u)\n");
}

TEST(Boot, NumberOfPs) {
    child_options o;
    o.env = {{"RT0_MAXPROCS", ""}, {"GOMAXPROCS", "5"}};
    EXPECT_EQ(scene("procs", o).out, "procs 5\n");
    o.env = {{"RT0_MAXPROCS", "3"}, {"GOMAXPROCS", "5"}};
    EXPECT_EQ(scene("procs", o).out, "procs 3\n");
    o.env = {{"RT0_MAXPROCS", "junk"}, {"GOMAXPROCS", "5"}};
    EXPECT_EQ(scene("procs", o).out, "procs 5\n") << "the next source counts";
    o.env = {{"RT0_MAXPROCS", "1024"}};
    EXPECT_EQ(scene("procs", o).out, "procs 1024\n");
}

// The lines before the first trace.
std::string head_of(const std::string& err) { return err.substr(0, err.find("\n\n") + 1); }
std::string failed_to_create(int e, const std::string& advice) {
    return R"(runtime: failed to create new OS thread \(have \d+ already; errno=)" + std::to_string(e) + "\\)\n" + advice +
           "fatal error: newosproc\n";
}
bool is(const std::string& text, const std::string& pattern) { return std::regex_match(text, std::regex(pattern)); }

TEST(Threads, CloneFailsForEver) {
    child_result r = with("threads", "RT0_TEST_INJECT", fault(inject::clone, 4, EAGAIN, -1));
    EXPECT_EQ(r.status, 2) << r.summary();
    std::string advice = "runtime: may need to increase max user processes .ulimit -u.\n";
    EXPECT_TRUE(is(head_of(r.said()), failed_to_create(EAGAIN, advice))) << r.err;
}

TEST(Threads, CloneFailsAFewTimes) {
    child_result r = with("threads", "RT0_TEST_INJECT", fault(inject::clone, 3, EAGAIN, 3));
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "done 3\n");
}

TEST(Threads, CloneFailsOtherwise) {
    child_result r = with("threads", "RT0_TEST_INJECT", fault(inject::clone, 3, EPERM, 1));
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(is(head_of(r.said()), failed_to_create(EPERM, ""))) << r.err;
}

TEST(Threads, NoMemoryForAThread) {
    child_result r = with("threads", "RT0_TEST_INJECT", fault(inject::tls_alloc, 3, ENOMEM, -1));
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(is(head_of(r.said()), failed_to_create(ENOMEM, "runtime: may need to increase memory .*\n"))) << r.err;
}

std::string exhausted(int limit) {
    return "runtime: program exceeds " + std::to_string(limit) + "-thread limit\n"
           "runtime: may need to raise it (rt0::set_max_threads)\n"
           "fatal error: thread exhaustion\n";
}

// What could be done without at the limit may have said so before.
std::string without_warning(const std::string& err) {
    return err.starts_with("rt0: warning: no further thread") ? err.substr(err.find('\n') + 1) : err;
}

TEST(Threads, Limit) {
    child_result r = scene("limit");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(head_of(without_warning(r.said())), exhausted(12));
    r = scene("lower-limit");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(head_of(r.said()), exhausted(1));
    for (const char* misuse : {"bad-limit", "negative-limit"}) {
        r = scene(misuse);
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_EQ(head_of(r.said()), "panic: rt0::set_max_threads: the limit must be positive\n") << r.err;
    }
    r = scene("enough");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "former 10000 16\n");
}

// "At the limit: no retake and one warning naming it."
TEST(Threads, AtTheLimitTheRestWaits) {
    for (const char* how : {"crowd-declared", "crowd-undeclared", "crowd-looping"})
        for (const char* p : {"1", "2", "8"}) {
            child_result r = scene_at(p, how);
            EXPECT_EQ(r.status, 0) << how << " " << p << r.summary();
            EXPECT_EQ(r.out, "back 40\n") << how << " " << p;
            EXPECT_TRUE(contains(r.err, "the limit of rt0::set_max_threads is reached")) << how << " " << p << r.err;
            EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
        }
}

// Nobody was left without an M: what cannot go on is a deadlock, at the limit too.
TEST(Threads, ADeadlockAtTheLimitIsOne) {
    for (const char* p : {"1", "2", "8"}) {
        child_result r = scene_at(p, "deadlock-at-the-limit");
        EXPECT_EQ(r.status, 2) << p << r.summary();
        EXPECT_TRUE(without_warning(r.said()).starts_with("fatal error: all goroutines are asleep - deadlock!\n")) << r.err;
    }
}

// Where each goroutine has a thread of its own none is missing.
TEST(Threads, LockedOnesGoOnAtTheLimit) {
    for (const char* p : {"1", "1", "1", "2", "2", "8"}) {
        child_result r = scene_at(p, "locked-at-the-limit");
        EXPECT_EQ(r.status, 0) << p << r.summary();
        EXPECT_EQ(r.out, "right 200\n") << p;
    }
}

TEST(Threads, TheLimitIsRaisedFromOutside) {
    for (const char* p : {"1", "2", "8"}) {
        child_result r = scene_at(p, "crowd-raised");
        EXPECT_EQ(r.status, 0) << p << r.summary();
        EXPECT_EQ(r.out, "of 16\nback 40\n") << p;
    }
}

// num_thread and num_goroutine against what the kernel and the program know.
TEST(Threads, Counts) {
    for (const char* p : {"1", "2", "8"}) {
        child_result r = scene_at(p, "counts");
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.out, "counts right\n");
    }
}

TEST(Hogs, StayAsTheyAreWhereRootWasGivenUp) {
    child_result r = scene("hogs-without-root");
    if (r.out == "not permitted\n") GTEST_SKIP() << "not root";
    EXPECT_EQ(r.out, "idle 0\n") << r.summary();
    EXPECT_EQ(r.err, "");
}

// EPERM at the boot's look.
TEST(Hogs, ForkAsksForNothingWhereTheyAreNotPermitted) {
    child_result r = with("fork-without-idle-class", "RT0_TEST_INJECT", fault(inject::idle_class, 1, EPERM, 1));
    EXPECT_EQ(r.out, "permitted false asked 0 in the child 0\n") << r.summary();
}

TEST(Hogs, TakeTurns) {
    for (const char* how : {"hogs", "hogs-later"}) {
        child_result r = scene(how);
        if (r.out == "not permitted\n") GTEST_SKIP() << r.out;
        EXPECT_EQ(r.out, "stepped back: all\n") << how << r.summary();
    }
}

TEST(Hogs, StayWithHogidleOff) {
    child_options o;
    o.env = {{"RT0DEBUG", "hogidle=0"}};
    child_result r = scene("hogs-stay", o);
    if (r.out == "not permitted\n") GTEST_SKIP() << r.out;
    EXPECT_EQ(r.out, "stepped back: none\n") << r.summary();
}

// SG8: handlers of the program do not run there.
TEST(Sysmon, TakesFaultsOnly) { EXPECT_EQ(scene("sysmon-signals").out, "blocks USR1 PROF TERM QUIT\n"); }

TEST(End, ExitWithTenThousandGoroutines) {
    for (const char* p : {"1", "2", "8"}) {
        child_result r = scene_at(p, "exit");
        EXPECT_EQ(r.status, 7) << p << r.summary();
        EXPECT_EQ(r.err, "");
        EXPECT_EQ(r.out, "destructor ran\nbye ") << "stdio is flushed last";
        r = scene_at(p, "return");
        EXPECT_EQ(r.status, 0) << p << r.summary();
        EXPECT_EQ(r.err, "");
        EXPECT_TRUE(contains(r.out, "bye ")) << r.out;
    }
    EXPECT_EQ(scene("exit-outside").status, 9);
}

TEST(End, ExitDoesNotCutAReportOff) {
    child_result r = scene("exit-in-a-report");
    EXPECT_EQ(r.status, 2) << r.status;
    EXPECT_TRUE(contains(r.err, "fatal error: sync: unlock of unlocked mutex\n")) << r.err.substr(0, 500);
}

TEST(End, WaitingInAnExitHandlerSaysSo) {
    child_result r = scene("sleep-at-exit");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(contains(r.err, "rt0: an atexit handler or static destructor waits")) << r.err;
}

TEST(End, DeadlockIsSeenAfterALockedGoroutineTookItsThreadAlong) {
    for (const char* p : {"1", "2", "8"}) {
        child_result r = scene_at(p, "deadlock-after-locked");
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_TRUE(contains(r.err, "fatal error: no goroutines (main called this_goroutine::exit) - deadlock!\n")) << r.err;
    }
}

TEST(End, MainGoroutineMayEndFirst) {
    child_result r = scene("main-exits");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(r.out, "others go on\n");
    EXPECT_TRUE(contains(r.err, "fatal error: no goroutines")) << r.err;
}

// ---- whose guard it was (SG4)

struct Guards : testing::Test {
    void SetUp() override {
        if (test::sanitized) GTEST_SKIP() << "the sanitizer reports it";
    }
    static child_result run(const char* name, const char* key = "RT0DEBUG", const std::string& value = "") {
        child_options o;
        o.env = {{key, value}};
        return run_child({built_program("tests/crash/guards_prog"), name}, o);
    }
    static void expect_fault(const child_result& r, const std::string& where = "fault") {
        EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
        EXPECT_TRUE(contains(r.err, "fatal error: " + where + "\n[signal SIGSEGV: segmentation violation ")) << r.err;
    }
};

TEST_F(Guards, FaultsOfTheInitialThreadAreNoOverflows) {
    expect_fault(run("fault-on-initial"));
    expect_fault(run("fault-above-initial"));
    // Libc did not tell where its stack is: first it is asked for the fork handlers, then for this.
    expect_fault(run("fault-on-initial", "RT0_TEST_INJECT", fault(inject::libc, 2, ENOMEM, 1)));
}

// From far below, from the stack of g0, from high up on a stack that is not known to be the thread's.
TEST_F(Guards, OneHitFromElsewhereIsNoOverflow) {
    for (const char* how : {"stray-from-below", "stray-from-g0", "stray-strange"}) {
        child_result r = run(how);
        expect_fault(r, std::string(how) == "stray-from-g0" ? "unexpected signal during runtime execution" : "fault");
        EXPECT_TRUE(contains(r.err, "runtime: the address lies in the guard below the stack of goroutine ")) << how << r.err;
    }
}

// On the way to g0, on the way out, above the stack of g0, and where the thread is another goroutine as far as it knows.
TEST_F(Guards, OverflowsOfGoroutines) {
    for (const char* how : {"overflow-to-g0", "overflow-leaving", "overflow-above-g0", "overflow-strange"}) {
        child_result r = run(how);
        EXPECT_EQ(r.status, 2) << how << r.summary();
        EXPECT_TRUE(r.err.starts_with("runtime: goroutine stack exceeds ")) << how << r.err;
        EXPECT_TRUE(contains(r.err, "\nfatal error: stack overflow\n")) << how << r.err;
    }
}

TEST_F(Guards, OfTheG0OfAForeignThread) {
    child_result r = run("overflow-foreign-g0");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(r.err.starts_with("runtime: system stack exceeds ")) << r.err;
    EXPECT_TRUE(contains(r.err, "\nfatal error: stack overflow on the system stack\n")) << r.err;
}

TEST_F(Guards, AFaultIsNoRequestForADump) { expect_fault(run("fault", "RT0DEBUG", "dumpsignal=1")); }

// What cannot be looked up is left as it is: SIGQUIT, after those of the faults, each looked up and set.
TEST_F(Guards, ASignalThatCannotBeLookedUpIsNotOurs) {
    EXPECT_EQ(run("quit-handled").status, 1);
    EXPECT_EQ(run("quit-handled", "RT0_TEST_INJECT", fault(inject::sigaction, 9, EINVAL, 1)).status, 0);
}

TEST(Unwinding, SwallowedExitIsFatal) {
    child_result r = scene("swallowed");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(contains(r.err, "fatal error: this_goroutine::exit: exception not rethrown\n")) << r.err;
}

TEST(Unwinding, PthreadExitIsOneClearLine) {
    if (test::tsan) GTEST_SKIP() << "TSan's pthread_exit wants the thread's own fiber";
    child_result r = scene("pthread-exit");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(contains(r.err, "fatal error: pthread_exit or cancellation inside a goroutine\n")) << r.err;
}

TEST(Threads, ThreadLocalsOfALockedGoroutineAreDestroyed) {
    child_result r = scene("locked-thread-local");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_TRUE(contains(r.out, "all gone\n")) << r.out;
    EXPECT_TRUE(contains(r.out, "thread_local destructor of a locked goroutine\n")) << r.out;
}

// The thread of an M that has ended is any other thread, until it is gone.
TEST(Threads, LastWordsAreHeard) {
    if (test::sanitized) GTEST_SKIP() << "its threads run the destructors later, beside their own";
    for (const char* p : {"1", "2", "8"}) {
        child_result r = with("last-words", "RT0_MAXPROCS", p);
        EXPECT_EQ(r.out, "heard 7\n") << r.summary();
        EXPECT_EQ(r.status, 0) << r.summary();
        r = with("no-last-words", "RT0_MAXPROCS", p);
        EXPECT_TRUE(contains(r.err, "fatal error: all goroutines are asleep - deadlock!")) << r.summary();
        EXPECT_EQ(r.status, 2) << r.summary();
    }
}

// SS3, though sysmon takes no P back.
TEST(OwnMain, LeavesTheSeedsProcessorToATimer) {
    child_options o;
    o.env = {{"RT0DEBUG", "schedseed=1"}};
    child_result r = run_child({built_program("tests/crash/own_main_prog"), "timer"}, o);
    EXPECT_EQ(r.status, 8) << r.summary();
}

TEST(OwnMain, NobodyKnowsWhatItWillSend) {
    child_result r = run_child({built_program("tests/crash/own_main_prog"), "late"}, {});
    EXPECT_EQ(r.err, "") << r.summary();
    EXPECT_EQ(r.status, 4) << r.summary();
}

TEST(OwnMain, MayItselfWaitForEver) {
    child_result r = run_child({built_program("tests/crash/own_main_prog"), "parked"}, {});
    EXPECT_EQ(r.err, "") << r.summary();
    EXPECT_EQ(r.out, "the handler ran\n") << r.summary();
    EXPECT_EQ(r.status, 6) << r.summary();
}

TEST(OwnMain, BootsAtTheFirstCall) {
    std::string prog = built_program("tests/crash/own_main_prog");
    for (const char* early : {"", "1"}) {
        for (const char* p : {"1", "2", "8"}) {
            child_options o;
            o.env = {{"RT0_TEST_EARLY", early}, {"RT0_MAXPROCS", p}};
            child_result r = run_child({prog, "one"}, o);
            EXPECT_EQ(r.status, 3) << r.summary();
            EXPECT_EQ(r.out, std::string("ran ") + (*early ? "21" : "20") + " goroutines 1\n");
            r = run_child({prog, "many"}, o);
            EXPECT_EQ(r.status, 3) << r.summary();
            EXPECT_EQ(r.out, std::string("ran ") + (*early ? "321" : "320") + " goroutines 1\n");
            r = run_child({prog, "exit"}, o);
            EXPECT_EQ(r.status, 5) << r.summary();
            EXPECT_EQ(r.err, "");
            r = run_child({prog, "busy"}, o);
            EXPECT_EQ(r.status, 5) << r.summary();
            EXPECT_EQ(r.out, "the handler ran\n");
        }
    }
}

}  // namespace
