// Every pair of states through casgstatus, the scan bit, and a scanner against an owner.
// The table of legal edges stands here a second time, written down from the drawing in g.h.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/upcall.h"
#include "kernel_if/membarrier.h"
#include "sched/sched.h"
#include "tests/support/kthreads.h"

using namespace rt0::runtime;

namespace {

const std::vector<std::pair<std::uint32_t, std::uint32_t>> edges = {
    {gidle, gdead},         {grunnable, grunning}, {grunning, grunnable},  {grunning, gsyscall},
    {grunning, gwaiting},   {grunning, gdead},     {grunning, gdetached},  {gsyscall, grunnable},
    {gsyscall, grunning},   {gwaiting, grunnable}, {gwaiting, grunning},   {gdead, grunnable},
    {gdead, gsyscall},      {gdetached, grunnable}, {gdetached, grunning},
};
bool legal(std::uint32_t from, std::uint32_t to) {
    for (auto& e : edges)
        if (e.first == from && e.second == to) return true;
    return false;
}

// States that exist, one that does not (5), some with the scan bit, and nonsense.
const std::uint32_t values[] = {gidle,           grunnable,       grunning,          gsyscall,          gwaiting,       5,
                                gdead,           gdetached,       gstates,           gscan | grunnable, gscan | gwaiting,
                                gscan | grunning, gscan | gdead,  ~std::uint32_t{0}};

std::uint32_t is(const g& gp) { return gp.atomicstatus.load(); }

TEST(Gstatus, LegalEdges) {
    for (auto [from, to] : edges) {
        g gp;
        gp.atomicstatus.store(from);
        casgstatus(&gp, from, to);
        EXPECT_EQ(is(gp), to) << from;
        EXPECT_EQ(readgstatus(&gp), to);
    }
}

struct GstatusDeathTest : testing::Test {
    void SetUp() override {
        setenv("RT0TRACEBACK", "none", 1);  // symbolising would take half a second each
        upcall_tracebackinit();
        testing::GTEST_FLAG(death_test_style) = "fast";
    }
};

TEST_F(GstatusDeathTest, IllegalEdges) {
    int tried = 0;
    for (std::uint32_t from : values) {
        for (std::uint32_t to : values) {
            if (legal(from, to)) continue;
            g gp;
            gp.goid = 7;
            gp.atomicstatus.store(from);
            EXPECT_EXIT(casgstatus(&gp, from, to), testing::ExitedWithCode(2),
                        "^fatal error: casgstatus: goroutine 7 has status .* is not allowed")
                << from << " -> " << to;
            tried++;
        }
    }
    EXPECT_EQ(tried, 14 * 14 - static_cast<int>(edges.size()));
}

// The state is not what the caller believes: never taken, whatever the edge.
TEST_F(GstatusDeathTest, StaleOldValue) {
    for (auto [from, to] : edges) {
        for (std::uint32_t real : {gidle, grunnable, grunning, gsyscall, gwaiting, gdead, gdetached}) {
            if (real == from) continue;
            g gp;
            gp.atomicstatus.store(real);
            EXPECT_EXIT(casgstatus(&gp, from, to), testing::ExitedWithCode(2), "fatal error: casgstatus") << from << " " << real;
        }
    }
}

TEST_F(GstatusDeathTest, ScanBit) {
    for (std::uint32_t s : {gidle, grunnable, gsyscall, gwaiting, gdead, gdetached}) {
        g gp;
        gp.atomicstatus.store(s);
        EXPECT_TRUE(castogscanstatus(&gp, s, s | gscan));
        EXPECT_EQ(is(gp), s | gscan);
        EXPECT_FALSE(castogscanstatus(&gp, s, s | gscan)) << "taken twice";
        casfrom_gscanstatus(&gp, s | gscan, s);
        EXPECT_EQ(is(gp), s);
        gp.atomicstatus.store(s == gwaiting ? gdead : gwaiting);
        EXPECT_FALSE(castogscanstatus(&gp, s, s | gscan)) << "another state";
    }
    g gp;
    gp.atomicstatus.store(gwaiting);
    EXPECT_EXIT(castogscanstatus(&gp, gwaiting, gwaiting), testing::ExitedWithCode(2), "castogscanstatus");
    EXPECT_EXIT(castogscanstatus(&gp, gwaiting, grunnable | gscan), testing::ExitedWithCode(2), "castogscanstatus");
    EXPECT_EXIT(castogscanstatus(&gp, gwaiting | gscan, gwaiting), testing::ExitedWithCode(2), "castogscanstatus");
    EXPECT_EXIT(casfrom_gscanstatus(&gp, gwaiting | gscan, gwaiting), testing::ExitedWithCode(2), "casfrom_gscanstatus")
        << "not being scanned";
    EXPECT_EXIT(casfrom_gscanstatus(&gp, gwaiting, gwaiting), testing::ExitedWithCode(2), "casfrom_gscanstatus");
    EXPECT_EXIT(casfrom_gscanstatus(&gp, gwaiting | gscan, grunnable), testing::ExitedWithCode(2), "casfrom_gscanstatus");
    gp.atomicstatus.store(grunning);
    EXPECT_EXIT(castogscanstatus(&gp, grunning, grunning | gscan), testing::ExitedWithCode(2), "castogscanstatus")
        << "a running stack moves";
}

// While the bit is set the owner waits; what the scanner reads meanwhile does not change.  GS4: with
// compare-and-swap alone, and with the holder's cheaper instruction.
struct Scan : testing::TestWithParam<bool> {
    void SetUp() override {
        if (!GetParam()) return;
        if (!rt0::arch::has_local_cas || test::tsan || rt0::kernel::membarrier_register() != 0)
            GTEST_SKIP() << "no such instruction, or no membarrier";
        local_gstatus = true;
    }
    void TearDown() override { local_gstatus = false; }
};
INSTANTIATE_TEST_SUITE_P(Ways, Scan, testing::Bool(), [](auto& i) { return i.param ? "local" : "locked"; });

TEST_P(Scan, Contention) {
    g gp;
    gp.atomicstatus.store(gwaiting);
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> owner_steps{0}, scans{0};
    std::thread owner([&] {
        for (int i = 0; i < 300'000 || scans.load() < 3'000; i++) {
            casgstatus(&gp, gwaiting, grunnable);
            owner_steps++;
            casgstatus(&gp, grunnable, grunning);
            owner_steps++;
            casgstatus(&gp, grunning, gsyscall);
            owner_steps++;
            casgstatus(&gp, gsyscall, grunning);
            owner_steps++;
            casgstatus(&gp, grunning, gwaiting);
            owner_steps++;
        }
        done = true;
    });
    std::uint32_t want[] = {gwaiting, grunnable, gsyscall};
    while (!done.load()) {
        std::uint32_t s = want[scans % 3];
        if (!castogscanstatus(&gp, s, s | gscan)) {
            if (is(gp) == gwaiting && castogscanstatus(&gp, gwaiting, gwaiting | gscan)) s = gwaiting;
            else continue;
        }
        scans++;
        // The owner may have counted the step that led here a moment late, but makes no further one.
        std::uint64_t seen = owner_steps.load();
        for (int i = 0; i < 50; i++) {
            ASSERT_EQ(is(gp), s | gscan);
            ASSERT_LE(owner_steps.load(), seen + 1);
        }
        casfrom_gscanstatus(&gp, s | gscan, s);
    }
    owner.join();
    EXPECT_EQ(is(gp), gwaiting);
    EXPECT_GE(scans.load(), 3'000u);
}

TEST(Gstatus, WaitReasonTexts) {
    EXPECT_STREQ(waitreason_text(wait_reason::chan_receive), "chan receive");
    EXPECT_STREQ(waitreason_text(wait_reason::chan_receive_nil), "chan receive (nil chan)");
    EXPECT_STREQ(waitreason_text(wait_reason::select_no_cases), "select (no cases)");
    EXPECT_STREQ(waitreason_text(wait_reason::sleep), "sleep");
    EXPECT_STREQ(waitreason_text(static_cast<wait_reason>(200)), "unknown wait reason");
    for (int i = 1; i <= static_cast<int>(wait_reason::force_gc); i++) {
        std::string text = waitreason_text(static_cast<wait_reason>(i));
        EXPECT_FALSE(text.empty()) << i;
        EXPECT_NE(text, "unknown wait reason") << i;
        for (int k = 1; k < i; k++) EXPECT_NE(text, waitreason_text(static_cast<wait_reason>(k)));
    }
}

}  // namespace
