// A static constructor booted the runtime: main_main is a goroutine all the same, with the ends that one has.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"
#include "tests/support/report.h"

using testing_support::child_result;
using testing_support::report;

namespace {

child_result run(const std::string& how, const std::string& beside = "") {
    return testing_support::run_child(
        {testing_support::built_program("tests/crash/static_prog"), how},
        {.limit_s = 60, .env = {{"RT0TRACEBACK", ""}, {"RT0DEBUG", ""}, {"RT0_TEST_BESIDE", beside}}});
}

TEST(Static, MainIsOneGoroutineAndItsEndTheProcess) {
    for (const char* how : {"returns", "deep"}) {
        child_result r = run(how);
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.out, "1 goroutines\nstatic destructor\n") << r.summary();
        EXPECT_EQ(r.err, "") << r.summary();
    }
}

TEST(Static, MainRunsOnceWhereItComesWhileAThreadBoots) {
    for (const char* later : {"0", "100", "300", "1000", "2000", "4000"}) {  // the boot takes some milliseconds
        child_result r = run("returns", later);
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.out, "1 main\nstatic destructor\n") << r.summary();
    }
}

TEST(Static, ADumpShowsMain) {
    child_result r = run("dumps");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out.rfind("goroutine ", 0), 0u) << r.summary();
    EXPECT_NE(r.out.find(" [running]:"), std::string::npos) << r.summary();
    EXPECT_NE(r.out.find("main_main()"), std::string::npos) << r.summary();
}

TEST(Static, ADeadlockIsReported) {
    child_result r = run("waits");
    report rep = testing_support::parse_report(r.err);
    EXPECT_EQ(rep.head, "fatal error: all goroutines are asleep - deadlock!") << r.summary();
    EXPECT_EQ(r.status, 2) << r.summary();
}

TEST(Static, SoIsMainsExit) {
    child_result r = run("exits");
    report rep = testing_support::parse_report(r.err);
    EXPECT_EQ(rep.head, "fatal error: no goroutines (main called this_goroutine::exit) - deadlock!") << r.summary();
    EXPECT_EQ(r.status, 2) << r.summary();
}

TEST(Static, AnExceptionIsAPanic) {
    child_result r = run("throws");
    EXPECT_EQ(r.err.rfind("panic: ", 0), 0u) << r.summary();
    EXPECT_NE(r.err.find("thrown by main_main"), std::string::npos) << r.summary();
    EXPECT_EQ(r.status, 2) << r.summary();
}

}  // namespace
