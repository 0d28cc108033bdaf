// A report that cannot go on: it ends without names, and the process with it.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"
#include "tests/support/report.h"

using namespace testing_support;

namespace {

child_result run(const std::string& scene) {
    return run_child({built_program("tests/crash/watchdog_prog"), scene},
                     {.limit_s = 120, .env = {{"RT0TRACEBACK", "all"}, {"RT0DEBUG", ""}}});
}

// Each scene takes cfg::report_patience: all at the same time, and not at every number of Ps.
class Watchdog : public testing::Test {
protected:
    static inline std::map<std::string, child_result> results;
    static void SetUpTestSuite() {
        if (!wanted()) return;
        std::vector<std::thread> runs;
        for (const char* name : {"quit_loader_locked", "panic_loader_locked", "watchdog_faults", "quit_unread", "stuck_gets_on",
                                 "quit_read_by_a_goroutine"})
            runs.emplace_back([name, &r = results[name]] { r = run(name); });
        for (auto& t : runs) t.join();
    }
    void SetUp() override {
        if (test::tsan) GTEST_SKIP() << "ThreadSanitizer holds signals back, the watchdog's too";
        if (!wanted()) GTEST_SKIP() << "at P = 2 only";
    }
    static bool wanted() {
        const char* p = std::getenv("RT0_MAXPROCS");
        return !test::tsan && (!p || std::string_view(p) == "2");
    }
    // What follows the line that says why there are no names, which may come after the beginning of a block.
    static std::string after_the_line(const child_result& r, const std::string& head) {
        const std::string says = "rt0: names cannot be had (another thread holds the loader's lock?); addresses follow\n";
        std::size_t at = r.err.find(says);
        EXPECT_TRUE(r.err.starts_with(head) && at != r.err.npos) << r.summary();
        return at == r.err.npos ? "" : r.err.substr(at);
    }
    static void expect_addresses(const child_result& r, const std::string& head) {
        EXPECT_EQ(r.status, 2) << r.summary();
        report rep = parse_report(after_the_line(r, head));
        EXPECT_EQ(rep.error, "") << r.summary();
        EXPECT_EQ(rep.blocks.size(), 2u) << r.summary();
        // SIGQUIT comes to any thread: who holds the lock may be running on another.
        for (auto& b : rep.blocks) EXPECT_TRUE(b.frames.size() >= 2 || b.unavailable) << r.summary();
    }
};
TEST_F(Watchdog, PrintsAddressesWhenNamesCannotBeHad) {
    expect_addresses(results["quit_loader_locked"], "SIGQUIT: quit\nPC=0x");
}
TEST_F(Watchdog, EndsAPanicsReportToo) { expect_addresses(results["panic_loader_locked"], "panic: without names\n"); }
// One report, of all goroutines, though the thread that had begun it goes on.
TEST_F(Watchdog, TheReportIsItsOwnThen) {
    const child_result& r = results["stuck_gets_on"];
    EXPECT_EQ(r.out, "taken over\n");
    EXPECT_EQ(r.status, 2) << r.summary();
    report rep = parse_report(after_the_line(r, "panic: without names\n"));
    EXPECT_EQ(rep.error, "") << r.summary();
    EXPECT_EQ(rep.blocks.size(), 203u) << r.summary();
    for (auto& b : rep.blocks) EXPECT_TRUE(b.frames.size() >= 2 || b.unavailable) << r.summary();
}
TEST_F(Watchdog, DiesOfItsOwnFault) {
    if (test::sanitized) GTEST_SKIP() << "faults are the sanitizer's";
    const child_result& r = results["watchdog_faults"];
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_TRUE(after_the_line(r, "panic: without names\n").ends_with("rt0: fault while reporting; giving up\n")) << r.summary();
}
// What it had not read when the process ended is lost.
TEST_F(Watchdog, LetsAGoroutineRead) {
    const child_result& r = results["quit_read_by_a_goroutine"];
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_TRUE(r.err.starts_with("SIGQUIT: quit\nPC=0x")) << r.summary();
    EXPECT_GT(r.err.size(), 4096u);
}
TEST_F(Watchdog, HasPatienceWithWhoReads) {
    const child_result& r = results["quit_unread"];
    EXPECT_EQ(r.status, 2) << r.summary();
    report rep = parse_report(r.err);
    EXPECT_TRUE(rep.head.starts_with("SIGQUIT: quit\nPC=0x")) << r.summary();
    EXPECT_EQ(rep.error, "") << r.summary();
    ASSERT_EQ(rep.blocks.size(), 1u) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("quit_here", "tests/crash/watchdog_prog.cc")) << r.summary();
}

}  // namespace
