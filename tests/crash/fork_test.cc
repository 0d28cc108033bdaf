// fork: any goroutine may start programs; a child that calls rt0 says so and ends.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernel_if/inject.h"
#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using namespace testing_support;
using rt0::kernel::inject;

namespace {

child_result scene(const std::string& name, const std::string& a = "", const std::string& b = "", const child_options& o = {}) {
    return run_child({built_program("tests/crash/fork_prog"), name, a, b}, o);
}

const std::string fatal_line = "fatal error: rt0 called in a forked child; only exec and _exit are possible there\n";

// The full count once, at two Ps; at others, and in the slower builds, a part of it.
TEST(Fork, ExecFromAnyGoroutine) {
    const char* p = std::getenv("RT0_MAXPROCS");
    const bool full = !p || std::string(p) == "2";
    std::string n = test::tsan ? "200" : !full ? "500" : test::sanitized ? "2000" : "10000";  // TSan's fork copies its shadow
    child_result r = scene("exec", n);
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "children " + n + "\n");
    EXPECT_EQ(r.err, "");
}

const char* const forbidden[] = {"go", "spawn", "blocking", "println", "gomaxprocs", "num_goroutine", "num_thread",
                                 "set_max_threads", "stack_dump", "rt0::exit", "id", "yield", "sleep_for", "lock_os_thread",
                                 "goroutine_exit", "make_chan", "send", "recv", "close", "select", "lock", "join", "timer",
                                 "wait_group"};

// Where the kernel refuses membarrier every crossing takes the slow path.
struct ForkOn : testing::TestWithParam<bool> {
    static child_result child(const std::string& call, const std::string& how) {
        child_options o;
        auto refuse = std::to_string(static_cast<unsigned>(rt0::kernel::inject::membarrier));
        if (GetParam()) o.env = {{"RT0_TEST_INJECT", refuse + ":1:" + std::to_string(ENOSYS) + ":-1"}};
        return scene("child", call, how, o);
    }
};
// TSan cannot see membarrier: there it is never asked for.
INSTANTIATE_TEST_SUITE_P(Kernels, ForkOn, testing::ValuesIn(test::tsan ? std::vector{true} : std::vector{false, true}),
                         [](auto& i) { return i.param ? "WithoutMembarrier" : "WithMembarrier"; });

TEST_P(ForkOn, EachCallInAChildIsOneClearLine) {
    for (const char* how : {"fork", "blocking", "thread"})
        for (const char* call : forbidden) {
            if (std::string(how) == "thread" && std::string(call) == "goroutine_exit") continue;  // no goroutine
            child_result r = child(call, how);
            EXPECT_EQ(r.out, "ended 2\n") << call << " " << how << r.summary();
            EXPECT_EQ(r.err, fatal_line) << call << " " << how;
        }
}

// A thread that rt0 has not seen before forks, and its child calls.
TEST(Fork, ChildOfAStrangeThread) {
    for (const char* call : {"go", "yield", "make_chan", "send", "println", "num_thread"}) {
        child_result r = scene("child", call, "new-thread");
        EXPECT_EQ(r.out, "ended 2\n") << call << r.summary();
        EXPECT_EQ(r.err, fatal_line) << call;
    }
}

TEST(Fork, ThreadMadeInTheChildIsSeenToo) {
    if (test::sanitized) GTEST_SKIP() << "TSan refuses threads in the child of a process that had several; a lock of ASan's "
                                         "allocator may be held there for good by one that is not";
    child_result r = scene("child", "thread", "fork");
    EXPECT_EQ(r.out, "ended 2\n") << r.summary();
    EXPECT_EQ(r.err, fatal_line);
}

// Forked without libc's handlers: by main, by one who stands in blocking(), and on a thread that is no M's.
TEST_P(ForkOn, RawForksAreSeen) {
    for (const char* how : {"raw", "_Fork", "raw-blocking", "raw-thread"})
        for (const char* call : forbidden) {
            if (std::string(how) == "raw-thread" && std::string(call) == "goroutine_exit") continue;  // no goroutine
            child_result r = child(call, how);
            EXPECT_EQ(r.out, "ended 2\n") << call << " " << how << r.summary();
            EXPECT_EQ(r.err, fatal_line) << call << " " << how;
        }
}

// Without the page that says so (the first mmap of a process, or the first madvise, fails), or the first M in pages that can be
// wiped (mremap fails), forks are seen all the same.  Where the kernel wipes nothing at all raw ones are not: the call runs on
// the child's own copy, and comes back.
TEST(Fork, WithoutAWipedPage) {
    struct {
        inject what;
        const char *times, *raw;
    } const kernels[] = {
        {inject::mmap, "1", "ended 2\n"}, {inject::madvise, "1", "ended 2\n"}, {inject::madvise, "-1", "ended 50\n"},
        {inject::mremap, "1", "ended 2\n"}};
    for (auto& k : kernels)
        for (auto [how, call, out] : {std::array{"fork", "make_chan", "ended 2\n"}, {"fork", "send", "ended 2\n"},
                                      {"thread", "yield", "ended 2\n"}, {"new-thread", "go", "ended 2\n"},
                                      {"blocking", "println", "ended 2\n"}, {"raw", "make_chan", k.raw},
                                      {"raw", "_exit", "ended 5\n"}}) {
            child_options o;
            const std::string what = std::to_string(static_cast<unsigned>(k.what));
            o.env = {{"RT0_TEST_INJECT", what + ":1:" + std::to_string(ENOMEM) + ":" + k.times}};
            child_result r = run_child({built_program("tests/crash/fork_prog"), "child", call, how}, o);
            EXPECT_EQ(r.out, out) << call << " " << how << r.summary();
            EXPECT_EQ(r.err, std::string(out) == "ended 2\n" ? fatal_line : "") << call << " " << how;
        }
}

TEST_P(ForkOn, WhatNeedsNoRuntimeWorks) {
    for (const char* how : {"fork", "blocking", "thread", "new-thread", "raw", "raw-blocking", "_Fork"}) {
        child_result r = child("_exit", how);
        EXPECT_EQ(r.out, "ended 5\n") << how << r.summary();
        EXPECT_EQ(r.err, "");
        r = child("exit", how);
        EXPECT_EQ(r.out, "ended 6\n") << how << r.summary();
        EXPECT_EQ(r.err, "");
        r = child("stdio", how);
        EXPECT_EQ(r.out, "yyy\nended 7\n") << how << r.summary();
        EXPECT_EQ(r.err, "");
        r = child("abort", how);
        EXPECT_EQ(r.out, "ended 1006\n") << how << r.summary();
        r = child("fault", how);
        if (!test::sanitized) {
            EXPECT_EQ(r.out, "ended 1011\n") << how << r.summary();
            EXPECT_NE(r.err.find("in_child("), std::string::npos) << how << r.err;  // with its trace
        }
    }
}

TEST(Fork, GoroutineThatGoesOnInTheChild) {
    for (const char* where : {"blocking", "return"}) {
        child_result r = scene("goes-on", where);
        EXPECT_EQ(r.out, "ended 2\n") << where << r.summary();
        EXPECT_EQ(r.err, fatal_line) << where;
    }
}

// A vforked child dies by the signal, unreported: the memory, and with it the report, is its parent's, who may need it.
TEST(Fork, VforkedChildEndsByItsSignal) {
    if (test::tsan) GTEST_SKIP() << "ThreadSanitizer makes a fork of it";
    for (auto [how, ended] : {std::array{"fault", "ended 1011\n"}, {"quit", "ended 1003\n"}, {"panic", "ended 2\n"}}) {
        if (test::sanitized && std::string_view(how) == "fault") continue;  // faults are the sanitizer's
        child_result r = scene("vfork", how);
        EXPECT_EQ(r.out, ended) << r.summary();
        EXPECT_EQ(r.status, 2) << r.summary();
        const std::string before = std::string_view(how) == "panic" ? fatal_line : "";
        EXPECT_TRUE(r.said().starts_with(before + "panic: the parent's own\n\ngoroutine 1 [running]:")) << r.summary();
    }
}

// Locks that others hold at the moment of the fork stay locked in the child.
TEST(Fork, NoChildHangsOnAnothersLock) {
    if (test::sanitized) GTEST_SKIP() << "a sanitizer's own locks may be held at the fork, too, and the child waits for them";
    child_result r = scene("traffic", "400");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "children 400\n") << r.summary();
}

// FO5.
TEST(Fork, ChildrenOfHogsHaveTheirOrdinaryClassAgain) {
    child_options o;
    o.env = {{"RT0_MAXPROCS", "1"}};  // or work need not wait, and nobody is taken for a hog
    child_result r = run_child({built_program("tests/crash/fork_prog"), "hogs", "50"}, o);
    if (r.out == "not permitted\n") GTEST_SKIP() << "a thread may not become SCHED_IDLE and leave it again here";
    EXPECT_EQ(r.out, "idle: some, of the children 0\n") << r.summary();
}

TEST(Fork, ChildHasTheClassThatTheProgramChose) {
    for (const char* hogidle : {"hogidle=1", "hogidle=0"}) {
        child_options o;
        o.env = {{"RT0_MAXPROCS", "1"}, {"RT0DEBUG", hogidle}};
        child_result r = run_child({built_program("tests/crash/fork_prog"), "by-choice"}, o);
        EXPECT_EQ(r.out, "children: idle, idle; thread: idle\n") << r.summary();
    }
}

TEST(Fork, WhileTheProcessExits) {
    child_result r = scene("in-exit");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "ended 3\n");
    EXPECT_EQ(r.err, "");
}

}  // namespace
