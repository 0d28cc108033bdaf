// The helper that crash tests rely on: it must see every way a child can end.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/child.h"

namespace testing_support {
namespace {

child_result sh(const std::string& script, child_options o = {}) { return run_child({"/bin/sh", "-c", script}, o); }

TEST(Child, OutputAndStatus) {
    auto r = sh("echo out; echo err >&2; exit 7");
    EXPECT_EQ(r.out, "out\n");
    EXPECT_EQ(r.err, "err\n");
    EXPECT_EQ(r.status, 7);
    EXPECT_EQ(r.signal, 0);
    EXPECT_FALSE(r.timed_out);
}

TEST(Child, Signal) {
    auto r = sh("kill -SEGV $$");
    EXPECT_EQ(r.signal, SIGSEGV);
    EXPECT_EQ(r.status, -1);
}

TEST(Child, LimitKillsTheWholeGroup) {
    auto r = sh("sleep 1000 & echo started; wait", {.limit_s = 1, .env = {}});
    EXPECT_TRUE(r.timed_out);
    EXPECT_EQ(r.out, "started\n");
    EXPECT_EQ(r.signal, SIGKILL);
}

TEST(Child, MuchOutputOnBothStreams) {
    auto r = sh("i=0; while [ $i -lt 3000 ]; do printf '%0100d\\n' $i; printf '%0100d\\n' $i >&2; i=$((i+1)); done");
    EXPECT_EQ(r.out.size(), 3000u * 101);
    EXPECT_EQ(r.out, r.err);
}

TEST(Child, EnvironmentIsSetAndUnset) {
    auto r = sh("echo $A-$HOME", {.limit_s = 60, .env = {{"A", "x y"}, {"HOME", ""}}});
    EXPECT_EQ(r.out, "x y-\n");
}

TEST(Child, MissingProgram) { EXPECT_THROW(run_child({"/no/such/program"}), std::runtime_error); }

}  // namespace
}  // namespace testing_support
