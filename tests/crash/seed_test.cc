// RT0DEBUG=schedseed=N: the program's schedule is a function of N; time is virtual; what fails says N.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using namespace testing_support;

namespace {

// Not a goroutine's business: these threads watch children.
child_result seeded(const std::string& scene, std::int64_t seed, const std::string& key = "schedseed", int procs = 8) {
    child_options o;
    // Without stacks, which take longer than all the rest.
    o.env = {{"RT0DEBUG", key + "=" + std::to_string(seed)}, {"RT0_MAXPROCS", std::to_string(procs)}, {"RT0TRACEBACK", "none"}};
    return run_child({built_program("tests/crash/seed_prog"), scene}, o);
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What `runs` of them print and say, three at a time, so that they are in each other's way.
std::multiset<std::string> outcomes(const std::string& scene, int runs, auto seed_of) {
    std::multiset<std::string> all;
    std::mutex lock;
    std::atomic<int> next{0};
    auto take_turns = [&] {
        for (int i; (i = next++) < runs;) {
            child_result r = seeded(scene, seed_of(i));
            std::lock_guard l(lock);
            EXPECT_FALSE(r.timed_out) << scene << " " << seed_of(i) << r.summary();
            all.insert(r.out + "status " + std::to_string(r.status) + "\n" + r.err);
        }
    };
    std::vector<std::thread> watchers;
    for (int i = 0; i < 3; i++) watchers.emplace_back(take_turns);
    for (auto& t : watchers) t.join();
    return all;
}
std::set<std::string> distinct(const std::multiset<std::string>& all) { return {all.begin(), all.end()}; }

constexpr int some = 20;
#ifdef NDEBUG
constexpr int many = 100;
#else
constexpr int many = some;  // sanitizers are slow
#endif

TEST(Schedseed, OneSeedIsOneSchedule) {
    for (const char* scene : {"race", "crowd"})
        for (std::int64_t seed : {0, 1, 4711}) {
            auto one = distinct(outcomes(scene, seed == 1 ? many : some, [&](int) { return seed; }));
            EXPECT_EQ(one.size(), 1u) << scene << " " << seed << "\n" << *one.begin() << "\n" << *one.rbegin();
            EXPECT_TRUE(contains(*one.begin(), "status 0")) << *one.begin();
        }
}

TEST(Schedseed, SeedsAreManySchedules) {
    for (const char* scene : {"race", "crowd"}) {
        auto all = distinct(outcomes(scene, many, [](int i) { return i; }));
        EXPECT_GE(all.size(), many * 9u / 10) << scene;
    }
}

// Going through seeds finds the race, not with each; the report says with which, and that one fails each time.
void found_and_replayed(const std::string& scene, const std::string& what, int status, int replays) {
    std::int64_t failing = -1;
    int failed = 0;
    for (std::int64_t seed = 1; seed <= 100; seed++) {
        child_result r = seeded(scene, seed);
        if (r.status == 0) continue;
        failed++;
        failing = seed;
        EXPECT_TRUE(contains(r.err, what)) << r.summary();
        EXPECT_TRUE(contains(r.err, "schedseed=" + std::to_string(seed) + "\n")) << r.summary();
        EXPECT_EQ(r.status, status) << r.summary();
    }
    EXPECT_GT(failed, 0) << scene;
    EXPECT_LT(failed, 100) << scene;
    if (failing < 0) return;
    auto again = outcomes(scene, replays, [&](int) { return failing; });
    EXPECT_EQ(distinct(again).size(), 1u) << scene << "\n" << *again.begin() << "\n" << *again.rbegin();
    EXPECT_TRUE(contains(*again.begin(), what)) << *again.begin();
}

TEST(Schedseed, ARaceIsFoundAndReplayed) { found_and_replayed("overdrawn", "panic: overdrawn\n", 2, many); }
TEST(Schedseed, ADeadlockIsFoundAndReplayed) {
    found_and_replayed("embrace", "fatal error: all goroutines are asleep - deadlock!\n", 2, some);
}
TEST(Schedseed, AStatusIsAFailureToo) { found_and_replayed("status", "", 1, some); }

TEST(Schedseed, AnHourIsOverAtOnce) {
    child_result r = seeded("hour", 3);
    EXPECT_EQ(r.out, "slept an hour true\nfalse\nfalse\ndeadline\nticked\npolled\n");
    EXPECT_EQ(r.status, 0) << r.summary();
}

TEST(Schedseed, NobodyStarvesBehindAFullRing) {
    auto all = outcomes("full_ring", some, [](int i) { return i; });
    EXPECT_EQ(distinct(all), (std::set<std::string>{"over\nstatus 0\n"}));
}
TEST(Schedseed, NeverIsNotSkippedTo) { EXPECT_EQ(seeded("never", 1).out, "an hour\n"); }
TEST(Schedseed, OnePAndNoOther) { EXPECT_EQ(seeded("procs", 1).out, "1 1\n"); }

TEST(Schedseed, AsleepIsSaidWhenNoTimerIsLeft) {
    child_result r = seeded("asleep", 5);
    EXPECT_EQ(r.out, "an hour later\n");
    EXPECT_TRUE(contains(r.err, "fatal error: all goroutines are asleep - deadlock!\nschedseed=5\n")) << r.summary();
}

TEST(Chaos, WhoIsReadiedIsNotAlwaysNext) {
    EXPECT_EQ(seeded("surprises", 0, "chaos", 1).out, "0\n");
    for (int seed = 1; seed <= 10; seed++) {
        child_result r = seeded("surprises", seed, "chaos", 1);
        EXPECT_EQ(r.status, 0) << r.summary();
        int late = std::atoi(r.out.c_str());
        EXPECT_GT(late, 10) << seed;
        EXPECT_LT(late, 250) << seed;
    }
}

TEST(Schedseed, AnAbortSaysItsSeed) {
    for (auto [key, says] : {std::pair{"schedseed", "schedseed=6\n"}, {"chaos", "chaos=6\n"}}) {
        child_result r = seeded("aborts", 6, key);
        EXPECT_EQ(r.err, says);
        EXPECT_EQ(r.signal, SIGABRT) << r.summary();
    }
}

TEST(Schedseed, AFaultSaysItsSeed) {
    if (test::sanitized) GTEST_SKIP() << "sanitizers report faults themselves";
    child_result r = seeded("fault", 6);
    EXPECT_TRUE(contains(r.err, "schedseed=6\n")) << r.summary();
    EXPECT_NE(r.signal, 0) << r.summary();
    r = seeded("fault", 7, "chaos");
    EXPECT_TRUE(contains(r.err, "chaos=7\n")) << r.summary();
}

}  // namespace
