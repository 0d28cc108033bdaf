// LeakSanitizer beside goroutines (leak_prog.cc): what a dead one alone knew is reported, what a living one holds is not.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"

using namespace testing_support;

namespace {

#ifdef RT0_ASAN
child_result run(const char* kind, const char* detect = "detect_leaks=1", const char* prog = "tests/crash/leak_prog") {
    child_options o;
    o.env = {{"ASAN_OPTIONS", std::string("detect_stack_use_after_return=0:exitcode=23:") + detect}};
    return run_child({built_program(prog), kind}, o);
}

TEST(Leaks, OfDeadGoroutinesAreFound) {
    child_result r = run("leaked");
    EXPECT_EQ(r.status, 23) << r.summary();
    EXPECT_NE(r.err.find("LeakSanitizer: detected memory leaks"), std::string::npos) << r.summary();
    // The last of them may still lie in a register, or on a stack that has a new user.
    EXPECT_NE(r.err.find("byte(s) in "), std::string::npos) << r.summary();
    EXPECT_NE(r.err.find("leak_prog.cc"), std::string::npos) << r.summary();
    EXPECT_EQ(run("leaked", "detect_leaks=0").status, 0);
}

TEST(Leaks, WhatLivingGoroutinesHoldIsNone) {
    for (const char* kind : {"held", "nothing"}) {
        child_result r = run(kind);
        EXPECT_EQ(r.status, 0) << kind << "\n" << r.summary();
        EXPECT_EQ(r.err, "") << kind;
    }
}

// The thread that ends the process is none of rt0's.
TEST(Leaks, WhatLivingGoroutinesHoldBesideAnOwnMain) {
    for (const char* kind : {"hold", "hold!"}) {
        child_result r = run(kind, "detect_leaks=1", "tests/crash/own_main_prog");
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.err, "");
    }
}
#else
TEST(Leaks, AreForAddressSanitizer) { GTEST_SKIP() << "MODE=asan"; }
#endif

}  // namespace
