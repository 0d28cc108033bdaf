// Ends that are no crashes: status, flushing, atexit handlers and destructors once, and
// no accident while thousands of goroutines run.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using testing_support::child_result;

namespace {

child_result run(const std::string& how) {
    return testing_support::run_child({testing_support::built_program("tests/crash/exit_prog"), how},
                                      {.limit_s = 120, .env = {{"RT0DEBUG", ""}}});
}

// iostream is flushed by its own static destructor, after those of the program.
const std::string after_handlers =
    "atexit\n"
    "static destructor: local\n"
    "static destructor: global\n";
const std::string all_flushed = "buffered by stdio\n" + after_handlers;

// The lines of stdout without iostream's, whose place among stdio's is its own affair.
std::string without_iostream(const std::string& out) {
    const std::string line = "buffered by iostream\n";
    std::size_t at = out.find(line);
    EXPECT_NE(at, std::string::npos) << out;
    if (at == std::string::npos) return out;
    EXPECT_EQ(out.find(line, at + 1), std::string::npos) << out;
    return out.substr(0, at) + out.substr(at + line.size());
}

void expect_end(const std::string& how, int status) {
    child_result r = run(how);
    EXPECT_EQ(r.status, status) << how << '\n' << r.summary();
    EXPECT_EQ(r.err, "") << how;
    EXPECT_EQ(without_iostream(r.out), all_flushed) << how;
}

TEST(Exit, Status) {
    expect_end("return", 0);
    expect_end("exit0", 0);
    expect_end("exit3", 3);
    expect_end("exit255", 255);
    expect_end("exit_from_goroutine", 4);
    expect_end("std_exit", 8);
    expect_end("std_exit_main", 11);
}

TEST(Exit, TwiceAtOnceEndsOnce) {
    for (int i = 0; i < 20; i++) expect_end("two_exits", 3);
}

TEST(Exit, WithoutHandlersWhereTheProgramAsksForThat) {
    EXPECT_EQ(run("quick_exit").status, 12);
    EXPECT_EQ(run("_exit").status, 13);
    if (test::tsan) return;  // ThreadSanitizer's _exit flushes
    EXPECT_EQ(run("_exit").out, "");
}

TEST(Exit, Rt0InAtexitHandlers) {
    child_result r = run("rt0_in_atexit");
    EXPECT_EQ(r.status, 9) << r.summary();
    EXPECT_EQ(r.err, "");
}

// EX1: a goroutine that declares a call, a thread on its way out of one that borrowed a P, and a thread that is new.
TEST(Exit, CallsThatComeTooLateDoNotComeBack) {
    child_result r = run("late_calls");
    EXPECT_EQ(r.status, 10) << r.summary();
    EXPECT_EQ(r.err, "");
    EXPECT_EQ(without_iostream(r.out), "buffered by stdio\nms that may go on: 0\n" + after_handlers);
}

// As libc's exit: the other handlers run, and the last status counts.
TEST(Exit, OnceMoreInAHandler) {
    expect_end("exit_in_atexit", 20);
    expect_end("exit_twice", 21);
}

TEST(Exit, TheNumberOfProcessorsStaysAsItIs) {
    for (int i = 0; i < 10; i++) {
        child_result r = run("late_gomaxprocs");
        EXPECT_EQ(r.status, 19) << r.summary();
        EXPECT_EQ(without_iostream(r.out), "buffered by stdio\n1 1\n" + after_handlers);
    }
}

// RP5: a report of which only the first words would come out.
TEST(Exit, AReportThatIsTooLateDoesNotBegin) { expect_end("late_report", 16); }

// RP5: its thread holds what the end needs, or is the one that ends the process.
TEST(Exit, AReportThatTheEndWaitsForBeginsAfterAll) {
    for (const char* how : {"late_report_that_must_end", "late_report_of_its_own"}) {
        child_result r = run(how);
        EXPECT_EQ(r.status, 2) << r.summary();
        EXPECT_EQ(r.err.find("fatal error: too late\n"), 0u) << r.summary();
    }
}

TEST(Exit, ChannelsOfStaticStorage) {
    child_result r = run("channels_of_static_storage");
    EXPECT_EQ(r.status, 15) << r.summary();
    EXPECT_EQ(r.err, "");
    EXPECT_EQ(without_iostream(r.out), "buffered by stdio\ndestroyed: in a channel that nobody uses\n" + after_handlers);
}

TEST(Exit, WhileGoroutinesUseChannels) {
    for (int i = 0; i < 10; i++) expect_end("exit_while_channels_are_used", 6);
}

TEST(Exit, StdExitWhileGoroutinesRun) {
    for (int i = 0; i < 10; i++) expect_end("std_exit_while_many_run", 14);
}

TEST(Exit, WhileGoroutinesBlock) {
    for (int i = 0; i < 5; i++) expect_end("exit_while_some_block", 7);
}

// `make test` runs this at P = 1, 2 and 8: 36 ends in all.
TEST(Exit, WhileTenThousandRun) {
    for (int i = 0; i < 6; i++) {
        expect_end("return_while_many_run", 0);
        expect_end("exit_while_many_run", 5);
    }
}

}  // namespace
