// Panics, uncaught exceptions, forced unwinding: exact first lines, frames by function
// and file, status 2.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"
#include "tests/support/report.h"

using testing_support::child_result;
using testing_support::report;
using testing_support::report_block;

namespace {

const std::string prog_file = "tests/crash/fatal_prog.cc";
// An empty value unsets: the tests do not depend on what the caller has set.
child_result die(const std::string& how, const std::string& level = "") {
    return testing_support::run_child({testing_support::built_program("tests/crash/fatal_prog"), how},
                                      {.limit_s = 60, .env = {{"RT0TRACEBACK", level}, {"RT0DEBUG", ""}}});
}

// Its status, with nobody any more to read its standard error.
int status_unread(const char* how) {
    int fd[2];
    if (pipe(fd) != 0) return -1;
    close(fd[0]);
    const std::string program = testing_support::built_program("tests/crash/fatal_prog");
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 2);
        execl(program.c_str(), program.c_str(), how, nullptr);
        _exit(127);
    }
    close(fd[1]);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

struct death {
    child_result r;
    report rep;
};
// A report with this head and status 2; one goroutine, unless more are asked for.
death expect_death(const std::string& how, const std::string& head, const std::string& level = "") {
    death d{die(how, level), {}};
    d.rep = testing_support::parse_report(d.r.err);
    EXPECT_EQ(d.rep.head, head) << d.r.summary();
    EXPECT_EQ(d.rep.error, "") << d.r.summary();
    EXPECT_EQ(d.r.status, 2) << d.r.summary();
    return d;
}
// The usual: only the goroutine that failed, on top the function that failed, main_main below.
void expect_own_trace(const std::string& how, const std::string& head, const std::string& top) {
    death d = expect_death(how, head);
    ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    const report_block& b = d.rep.blocks[0];
    EXPECT_EQ(b.header, "goroutine 1 [running]:");
    ASSERT_FALSE(b.frames.empty()) << d.r.summary();
    EXPECT_NE(b.frames[0].function.find(top), std::string::npos) << d.r.summary();
    EXPECT_TRUE(b.has("main_main", prog_file)) << d.r.summary();
    EXPECT_EQ(b.frames.back().function, "main_main()") << d.r.summary();
    EXPECT_EQ(d.r.out, "");
}

TEST(Panic, TextTraceAndStatus) { expect_own_trace("panic", "panic: boom", "panic_here()"); }
TEST(Panic, EmptyText) { expect_own_trace("panic_empty", "panic: ", "operator()"); }
TEST(Panic, LongText) { expect_own_trace("panic_long", "panic: " + std::string(10000, 'x'), "operator()"); }

TEST(Panic, EveryFrameIsThere) {
    death d = expect_death("panic_deep", "panic: the bottom was reached");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    auto& f = d.rep.blocks[0].frames;
    ASSERT_GE(f.size(), 6u) << d.r.summary();
    for (int i = 0; i < 4; i++) EXPECT_NE(f[i].function.find("inner(int)"), std::string::npos) << d.r.summary();
    EXPECT_NE(f[4].function.find("deep(int)"), std::string::npos) << d.r.summary();
    EXPECT_EQ(f.back().function, "main_main()");
    for (auto& frame : f) EXPECT_TRUE(frame.file.ends_with(prog_file)) << frame.file;
    EXPECT_LT(f[0].line, f[4].line);
}

TEST(Panic, DeepStacksAreCutInTheMiddle) {
    death d = expect_death("panic_very_deep", "panic: the bottom was reached");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].elided);
    EXPECT_LE(d.rep.blocks[0].frames.size(), 100u);
    EXPECT_GE(d.rep.blocks[0].frames.size(), 90u);
    EXPECT_EQ(d.rep.blocks[0].frames.back().function, "main_main()");
    EXPECT_TRUE(d.rep.blocks[0].has("deep", prog_file));
}

TEST(Panic, InAGoroutine) {
    death d = expect_death("panic_in_goroutine", "panic: boom");
    ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    const report_block& b = d.rep.blocks[0];
    EXPECT_TRUE(b.header.ends_with(" [running, \"worker\"]:")) << b.header;
    EXPECT_TRUE(b.has("panic_here", prog_file)) << d.r.summary();
    EXPECT_FALSE(b.has("main_main", prog_file) && b.frames.back().function == "main_main()");
    EXPECT_NE(b.created_by.find("panic_in_goroutine()"), std::string::npos) << d.r.summary();
    EXPECT_EQ(b.created_in, "1");
}

TEST(Panic, OnlyOneOfManyReports) {
    for (int i = 0; i < 10; i++) {
        death d = expect_death("two_panics", "panic: one of many");
        EXPECT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    }
}

TEST(Panic, WhileTheMainGoroutineRuns) { expect_death("panic_while_running", "panic: boom"); }

TEST(Panic, OnAThread) {
    death d = expect_death("panic_on_thread", "panic: boom");
    ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("panic_here", prog_file)) << d.r.summary();
}

// Without symbols: no names, but the text, the status and places for addr2line.
TEST(Panic, InAStrippedProgram) {
    std::string whole = testing_support::built_program("tests/crash/fatal_prog");
    std::string bare = whole + ".stripped." + std::to_string(getpid());
    ASSERT_EQ(testing_support::run_child({"/usr/bin/strip", "-o", bare, whole}).status, 0);
    child_result r = testing_support::run_child({bare, "panic"}, {.limit_s = 60, .env = {{"RT0TRACEBACK", ""}}});
    std::remove(bare.c_str());
    report rep = testing_support::parse_report(r.said());
    EXPECT_EQ(rep.head, "panic: boom");
    EXPECT_EQ(rep.error, "") << r.summary();
    EXPECT_EQ(r.status, 2);
    ASSERT_EQ(rep.blocks.size(), 1u) << r.summary();
    ASSERT_FALSE(rep.blocks[0].frames.empty()) << r.summary();
    EXPECT_EQ(rep.blocks[0].frames[0].file, bare) << r.summary();
}

TEST(Panic, LevelNone) {
    death d = expect_death("panic", "panic: boom", "none");
    EXPECT_EQ(d.r.err, "panic: boom\n");
}

TEST(Panic, LevelAll) {
    death d = expect_death("panic_in_goroutine", "panic: boom", "all");
    ASSERT_EQ(d.rep.blocks.size(), 2u) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("panic_here", prog_file)) << d.r.summary();  // the one that failed comes first
    EXPECT_EQ(d.rep.blocks[1].header, "goroutine 1 [chan receive]:");
    EXPECT_TRUE(d.rep.blocks[1].has("main_main", prog_file)) << d.r.summary();
}

TEST(Panic, LevelSystem) {
    death d = expect_death("panic_in_goroutine", "panic: boom", "system");
    EXPECT_GT(d.rep.blocks.size(), 2u) << d.r.summary();
    bool plumbing = false;
    for (auto& f : d.rep.blocks.at(0).frames) plumbing |= f.function.starts_with("rt0::panic(");
    EXPECT_TRUE(plumbing) << d.r.summary();
}

TEST(Panic, LevelUnknown) {
    child_result r = die("panic", "loud");
    EXPECT_EQ(r.status, 2);
    EXPECT_TRUE(
        r.err.starts_with("rt0: RT0TRACEBACK=loud: not one of none, single, all, system; ignored\npanic: boom\n\n"))
        << r.summary();
}

// ---- exceptions

TEST(Uncaught, Values) {
    expect_own_trace("throw_std", "panic: std::runtime_error: boom", "throw_it<std::runtime_error>");
    expect_own_trace("throw_int", "panic: int: 42", "throw_it<int>");
    expect_own_trace("throw_unsigned_long", "panic: unsigned long: 18446744073709551615", "throw_it<unsigned long>");
    const std::pair<const char*, const char*> others[] = {
        {"throw_view", "std::string_view: a view"}, {"throw_bool", "bool: true"},
        {"throw_false", "bool: false"},             {"throw_char", "char: c"},
        {"throw_unsigned", "unsigned int: 7"},      {"throw_signed_long", "long: -8"},
        {"throw_long_long", "long long: -9"},       {"throw_unsigned_long_long", "unsigned long long: 18446744073709551615"}};
    for (auto& [how, says] : others) expect_own_trace(how, std::string("panic: ") + says, "throw_it<");
    expect_own_trace("throw_cstr", "panic: char const*: a literal", "throw_it<char const*>");
    expect_own_trace("throw_null_cstr", "panic: char const*: (null)", "throw_it<char const*>");
    expect_own_trace("throw_string", "panic: std::string: a string", "throw_it<std::string");
    expect_own_trace("throw_long", "panic: std::runtime_error: " + std::string(3000, 'y'),
                     "throw_it<std::runtime_error>");
    expect_own_trace("throw_custom", "panic: (anonymous namespace)::custom_error",
                     "throw_it<(anonymous namespace)::custom_error>");
    expect_own_trace("closed_channel", "panic: rt0::closed_channel: send on closed channel",
                     "rt0::chan<int>::send(int)");
}

TEST(Uncaught, TraceAtTheThrow) {
    death d = expect_death("throw_nested", "panic: std::runtime_error: nested");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].has("middle", prog_file)) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("main_main", prog_file)) << d.r.summary();
}

TEST(Uncaught, Rethrown) { expect_own_trace("rethrow", "panic: std::out_of_range: first seen", "rethrow_it()"); }
TEST(Uncaught, InNoexcept) {
    death d = expect_death("noexcept", "panic: std::runtime_error: promise broken");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].has("promises", prog_file)) << d.r.summary();
}
TEST(Uncaught, None) {
    expect_own_trace("terminate", "panic: std::terminate called without an active exception", "operator()");
    expect_own_trace("joinable_thread", "panic: std::terminate called without an active exception", "std::thread");
}
TEST(Uncaught, WhileUnwinding) {
    expect_death("throw_while_unwinding", "panic: std::logic_error: second");
    death d = expect_death("panic_while_unwinding", "panic: in a destructor");
    EXPECT_EQ(d.r.out, "");
}
TEST(Uncaught, WhileOthersRun) {
    death d = expect_death("throw_while_others_run", "panic: std::runtime_error: while others run");
    EXPECT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    death all = expect_death("throw_while_others_run", "panic: std::runtime_error: while others run", "all");
    EXPECT_EQ(all.rep.blocks.size(), 52u) << all.r.summary();
}
TEST(Uncaught, AfterParkingInTheCatchBlock) {
    expect_death("throw_after_move", "panic: std::runtime_error: carried along");
}

TEST(Uncaught, WhatItselfPanics) {
    child_result r = die("throw_what_panics");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(r.err.starts_with("panic: (anonymous namespace)::what_panics")) << r.summary();
    EXPECT_TRUE(r.err.ends_with("fatal error: failed again while reporting; giving up\n")) << r.summary();
}

TEST(Uncaught, OnAThreadThatIsNotOurs) {
    child_result r = die("foreign_thread_throws");
    EXPECT_EQ(r.signal, SIGABRT) << r.summary();
    EXPECT_NE(r.err.find("terminate called after throwing an instance of 'std::runtime_error'"), std::string::npos)
        << r.summary();
}

// ---- forced unwinding

TEST(ForcedUnwind, PassesCatchAllThatRethrows) {
    child_result r = die("exit_rethrown");
    EXPECT_EQ(r.out, "1\n") << r.summary();
    EXPECT_EQ(r.err, "");
    EXPECT_EQ(r.status, 0);
}
TEST(ForcedUnwind, IsNoExceptionOfAnyType) {
    child_result r = die("exit_not_caught_by_type");
    EXPECT_EQ(r.out, "1\n") << r.summary();
    EXPECT_EQ(r.status, 0);
}
TEST(ForcedUnwind, Swallowed) {
    expect_death("exit_swallowed", "fatal error: this_goroutine::exit: exception not rethrown");
}
TEST(ForcedUnwind, ThroughNoexcept) {
    death d = expect_death("exit_through_noexcept", "panic: this_goroutine::exit may not pass a noexcept function");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].has("exit_in_noexcept", prog_file)) << d.r.summary();
}
TEST(ForcedUnwind, OnAThread) { expect_death("exit_on_thread", "panic: this_goroutine::exit on a thread that is no goroutine"); }
TEST(ForcedUnwind, PthreadExit) {
    if (!test::tsan)  // whose pthread_exit wants the thread's own fiber
        expect_death("pthread_exit", "fatal error: pthread_exit or cancellation inside a goroutine");
    expect_death("cancel", "fatal error: pthread_exit or cancellation inside a goroutine");
}

TEST(Panic, TheStatusIsTheSameWhenNobodyReads) {
    for (const char* how : {"panic", "panic_long", "throw_std", "closed_channel", "exit_on_thread"}) {
        const int status = status_unread(how);
        EXPECT_TRUE(WIFEXITED(status)) << how << ": by signal " << WTERMSIG(status);
        EXPECT_EQ(WEXITSTATUS(status), 2) << how;
    }
}

}  // namespace
