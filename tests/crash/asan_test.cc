// AddressSanitizer and UndefinedBehaviorSanitizer beside goroutines (asan_prog.cc): errors on their stacks and of what they
// allocate are found where they are made, and a program without errors is left in peace.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"

using namespace testing_support;

namespace {

#ifdef RT0_ASAN
child_result run(const char* kind) {
    child_options o;
    o.env = {{"ASAN_OPTIONS", "detect_stack_use_after_return=0:exitcode=23"}};
    return run_child({built_program("tests/crash/asan_prog"), kind}, o);
}

TEST(Asan, FindsErrorsOfGoroutines) {
    struct {
        const char *kind, *says;
    } const errors[] = {
        {"heap_after_free", "heap-use-after-free"},     {"heap_overrun", "heap-buffer-overflow"},
        {"stack_overrun", "stack-buffer-overflow"},     {"stack_after_scope", "stack-use-after-scope"},
    };
    for (auto& e : errors) {
        child_result r = run(e.kind);
        EXPECT_EQ(r.status, 23) << r.summary();
        EXPECT_NE(r.err.find("ERROR: AddressSanitizer: " + std::string(e.says)), std::string::npos) << r.summary();
        EXPECT_NE(r.err.find("asan_prog.cc:", r.err.find(std::string(" in ") + e.kind)), std::string::npos) << r.summary();
        EXPECT_NE(r.err.find("rt0_goentry"), std::string::npos) << "the trace goes down to the goroutine's entry" << r.summary();
    }
}

TEST(Asan, UndefinedBehaviourIsFoundToo) {
    child_result r = run("signed_overflow");
    EXPECT_NE(r.status, 0) << r.summary();
    EXPECT_NE(r.err.find("asan_prog.cc:"), std::string::npos) << r.summary();
    EXPECT_NE(r.err.find("runtime error: signed integer overflow"), std::string::npos) << r.summary();
}

TEST(Asan, FindsNothingWhereNothingIs) {
    child_result r = run("nothing");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "done\n");
    EXPECT_EQ(r.err, "");
}
#else
TEST(Asan, IsForMakeAsan) { GTEST_SKIP() << "MODE=asan"; }
#endif

}  // namespace
