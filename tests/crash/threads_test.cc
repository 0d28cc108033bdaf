// Foreign threads in programs with a plain main (threads_prog).
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/support/child.h"

using testing_support::child_result;

namespace {

class PlainMain : public testing::TestWithParam<const char*> {};

TEST_P(PlainMain, ThreadsUseEverything) {
    std::string how = GetParam();
    for (int i = 0; i < 5; i++) {
        child_result r = testing_support::run_child({testing_support::built_program("tests/crash/threads_prog"), how},
                                                    {.limit_s = 60, .env = {{"RT0_TEST_STATIC", how == "static" ? "1" : ""}}});
        ASSERT_EQ(r.err, "") << r.summary();
        ASSERT_EQ(r.out, "done\n") << r.summary();
        ASSERT_EQ(r.status, 0) << r.summary();
    }
}

// A line for each println: three times all calls.
TEST(PlainMainAlone, MakesEveryCall) {
    child_result r = testing_support::run_child({testing_support::built_program("tests/crash/threads_prog"), "every_call"});
    ASSERT_EQ(r.err, "") << r.summary();
    ASSERT_EQ(r.status, 0) << r.summary();
    std::istringstream lines(r.out);
    int n = 0;
    for (std::string l; std::getline(lines, l) && l.starts_with("a line of 5 words: ");) n++;
    EXPECT_EQ(n, 30) << r.summary();
    EXPECT_TRUE(r.out.ends_with("\ndone\n")) << r.summary();
}

TEST(PlainMainAlone, GoesOnAtTheLimitOfThreads) {
    for (int i = 0; i < 5; i++) {
        child_result r = testing_support::run_child({testing_support::built_program("tests/crash/threads_prog"), "at_the_limit"},
                                                    {.limit_s = 120, .env = {}});
        ASSERT_EQ(r.out, "done\n") << r.summary();
        ASSERT_EQ(r.status, 0) << r.summary();
        EXPECT_TRUE(r.err.find("the limit of rt0::set_max_threads is reached") != r.err.npos) << r.summary();
    }
}

TEST(PlainMainAlone, AsksGoroutinesWhoseThreadsAreTheLast) {
    for (int i = 0; i < 5; i++) {
        child_result r = testing_support::run_child({testing_support::built_program("tests/crash/threads_prog"), "asks_the_locked"},
                                                    {.limit_s = 60, .env = {}});
        ASSERT_EQ(r.out, "done\n") << r.summary();
        ASSERT_EQ(r.status, 0) << r.summary();
    }
}

// As in Go: the limit is fatal where more exist, whatever they do, and as the very first call.
TEST(PlainMainAlone, ALimitBelowTheNumberOfThreadsIsFatal) {
    struct {
        std::vector<std::string> args;
        int limit;
    } const cases[] = {{{"lowered"}, 8}, {{"limit_first", "1"}, 1}, {{"limit_first", "3"}, 3}};
    for (auto& c : cases)
        for (int i = 0; i < 3; i++) {
            std::vector<std::string> command = c.args;
            command.insert(command.begin(), testing_support::built_program("tests/crash/threads_prog"));
            child_result r = testing_support::run_child(command, {.limit_s = 60, .env = {}});
            ASSERT_EQ(r.status, 2) << r.summary();
            std::string text = "runtime: program exceeds " + std::to_string(c.limit) + "-thread limit\n"
                               "runtime: may need to raise it (rt0::set_max_threads)\nfatal error: thread exhaustion\n";
            EXPECT_NE(r.err.find(text), r.err.npos) << r.summary();
        }
}

INSTANTIATE_TEST_SUITE_P(Ways, PlainMain,
                         testing::Values("static", "before_boot", "in_turn", "no_keys", "rt0_exit_and_join", "exit_and_join",
                                         "main_leaves"),
                         [](const auto& p) { return std::string(p.param); });

}  // namespace
