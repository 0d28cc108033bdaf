// ThreadSanitizer and goroutines: a race of user code is reported, with both places, and what rt0
// orders is not.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using testing_support::child_result;

namespace {

class Race : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        if (!test::tsan) GTEST_SKIP() << "MODE=tsan only";
        r = testing_support::run_child({testing_support::built_program("tests/crash/race_prog"), GetParam()});
    }
    child_result r;
};

constexpr int report_status = 66;  // ThreadSanitizer's

class Reported : public Race {};
TEST_P(Reported, BothPlacesOfUse) {
    EXPECT_EQ(r.status, report_status) << r.summary();
    const std::string before = "  Previous ";
    std::size_t first = r.err.find("WARNING: ThreadSanitizer: data race"), second = r.err.find(before);
    ASSERT_NE(first, r.err.npos) << r.summary();
    ASSERT_NE(second, r.err.npos) << r.summary();
    EXPECT_LT(r.err.find("race_prog.cc", first), second) << r.summary();
    EXPECT_NE(r.err.find("race_prog.cc", second), r.err.npos) << r.summary();
    EXPECT_NE(r.err.find("Location is global"), r.err.npos) << r.summary();
}
INSTANTIATE_TEST_SUITE_P(, Reported, testing::Values("unordered", "relaxed_flag", "after_send"),
                         [](const auto& i) { return std::string(i.param); });

class Ordered : public Race {};
TEST_P(Ordered, Quiet) {
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.err, "") << r.summary();
}
INSTANTIATE_TEST_SUITE_P(, Ordered,
                         testing::Values("flag", "chan", "buffer", "close", "select", "mutex", "shared_mutex", "readers",
                                         "condition", "wait_group", "once", "semaphore", "latch", "barrier", "context", "timer",
                                         "birth"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
