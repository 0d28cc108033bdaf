// Signal handlers that a program installed before rt0 booted, or later, in a dynamic and in a static program.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using testing_support::child_result;

namespace {

bool contains(const std::string& s, const std::string& part) { return s.find(part) != s.npos; }

class Handlers : public testing::TestWithParam<const char*> {
protected:
    child_result with(const std::string& handlers, const std::string& name, const std::string& debug = "") {
        return testing_support::run_child({testing_support::built_program(std::string("tests/crash/") + GetParam()), name},
                                          {.limit_s = 120, .env = {{"RT0_TEST_HANDLERS", handlers}, {"RT0DEBUG", debug}}});
    }
};
INSTANTIATE_TEST_SUITE_P(Programs, Handlers,
                         testing::Values("handlers_prog", test::sanitized ? "handlers_prog" : "handlers_prog_static"),
                         [](auto& p) { return p.index == 0 ? "Dynamic" : "Static"; });

const std::string reported = "\nfatal error: fault\n[signal SIGSEGV: ";
const char* const not_ours = "rt0 handles no faults where the sanitizer does";

TEST_P(Handlers, FaultsAreHandedOn) {
    for (const char* name : {"read_null", "fault_on_goroutine", "fault_on_thread", "fault_on_unknown_thread"}) {
        child_result r = with("exit", name);
        EXPECT_EQ(r.status, 7) << r.summary();
        EXPECT_EQ(r.out, "own handler: 11 at (nil)\n") << r.summary();
        EXPECT_EQ(r.err, "");
    }
}
TEST_P(Handlers, ComeAfterOverflows) {
    if (test::sanitized) GTEST_SKIP() << not_ours;
    child_result r = with("exit", "overflow");
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(r.out, "") << r.summary();
    EXPECT_TRUE(contains(r.err, "\nfatal error: stack overflow\n")) << r.summary();
}
TEST_P(Handlers, MayJumpOut) {
    child_result r = with("jump", "survive");
    EXPECT_EQ(r.out, "survived\n") << r.summary();
    EXPECT_EQ(r.status, 0);
}
// Called with the mask, the siginfo and the context that the kernel gave, once before the boot; each may mend and return.
TEST_P(Handlers, MayMendAndReturn) {
    if (test::sanitized) GTEST_SKIP() << not_ours;
    child_result r = with("mend", "mended");
    EXPECT_EQ(r.out,
              "11 blocked 12 code 2 first11 blocked 12 code 2 second done\n done\n"
              "7 blocked 1 7 11 code 2 past the end done\n"
              "4 blocked done\n"
              "8 blocked 8 done\n"
              "after them blocked\n")
        << r.summary();
    EXPECT_EQ(r.status, 0) << r.summary();
}
TEST_P(Handlers, ForOneSignalAreCalledOnce) {
    if (test::sanitized) GTEST_SKIP() << not_ours;
    child_result r = with("once", "read_null");
    EXPECT_EQ(r.out, "once\n") << r.summary();
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_TRUE(contains(r.err, reported)) << r.summary();
}
// What is sent is ignored; a fault of the program's own kills it, and is reported.
TEST_P(Handlers, IgnoredFaults) {
    child_result r = with("ignore_faults", "sent_faults");
    EXPECT_EQ(r.out, "alive\n") << r.summary();
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.err, "") << r.summary();
    if (test::sanitized) GTEST_SKIP() << not_ours;
    EXPECT_EQ(with("", "sent_faults").signal, SIGSEGV) << "not ignored";
    r = with("ignore_faults", "read_null");
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_TRUE(contains(r.err, reported)) << r.summary();
}
TEST_P(Handlers, LaterOnesReplaceOurs) { EXPECT_EQ(with("", "late_handler").status, 7); }
TEST_P(Handlers, OfSigquitStays) {
    child_result r = with("quit", "quit_self");
    EXPECT_EQ(r.status, 6) << r.summary();
    EXPECT_EQ(r.out, "own handler: quit\n");
    EXPECT_EQ(with("ignore_quit", "quit_self").out, "alive\n");
}
TEST_P(Handlers, OfTheDumpSignalStays) {
    child_result r = with("usr1", "usr1_self", "dumpsignal=1");
    EXPECT_EQ(r.status, 6) << r.summary();
    EXPECT_EQ(r.err, "rt0: RT0DEBUG: dumpsignal: signal 10 has a handler already or cannot have one; ignored\n");
    EXPECT_EQ(with("", "usr1_self").signal, SIGUSR1) << "not ours unless asked for";
}

}  // namespace
