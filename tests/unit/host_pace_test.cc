// sysmon's ticks (sched/pace.h) without sysmon.
#include <gtest/gtest.h>

#include "sched/pace.h"

using namespace rt0::runtime;

namespace {

void idle_for_long(pace& p) {
    while (p.delay < cfg::sysmon_tick_idle) p.all_idle();
}

TEST(Pace, TicksAreShortUntilACalmWhileIsOver) {
    pace p;
    for (int i = 0; i < cfg::sysmon_calm_ticks; i++) {
        EXPECT_EQ(p.delay, cfg::sysmon_tick_min);
        p.at_work(), p.looked(findings::none);
    }
    std::int64_t want = cfg::sysmon_tick_min;
    for (int i = 0; i < 10; i++) {
        p.at_work(), p.looked(findings::none);
        want = std::min(2 * want, cfg::sysmon_tick_busy);
        EXPECT_EQ(p.delay, want);
    }
    p.at_work(), p.looked(findings::took);
    EXPECT_EQ(p.delay, cfg::sysmon_tick_min);
}

// SM2: not for the whole slice.
TEST(Pace, TicksDoubleAtOnceAfterAWatch) {
    pace p;
    p.looked(findings::took);
    p.looked(findings::watch);
    EXPECT_EQ(p.delay, cfg::sysmon_tick_min);
    p.looked(findings::none);
    EXPECT_EQ(p.delay, 2 * cfg::sysmon_tick_min);
}

// SM2: one for the end of each slice that others wait for.
TEST(Slices, TheNextEnd) {
    constexpr std::int64_t begin = 1'000'000'000, asked = begin + cfg::forced_preempt, over = begin + cfg::forced_retake;
    auto seen_at = [](std::int64_t now) {
        slices s;
        s.add(begin, now);
        return s;
    };
    EXPECT_EQ(seen_at(begin).next, asked);
    EXPECT_FALSE(seen_at(begin + cfg::forced_retake / 2 - 1).late);
    EXPECT_TRUE(seen_at(begin + cfg::forced_retake / 2).late);
    EXPECT_EQ(seen_at(asked - 1).next, asked);
    EXPECT_EQ(seen_at(asked).next, over);
    EXPECT_EQ(seen_at(over).next, INT64_MAX) << "it is being taken";
    slices two;
    two.add(begin, asked);
    two.add(begin + 500, asked);
    EXPECT_EQ(two.next, asked + 500);
}

// SM6.
TEST(Pace, AStartInVainMakesTheNextOneSlower) {
    pace p;
    std::int64_t want = cfg::sysmon_tick_min;
    for (int i = 0; i < 10; i++) {
        idle_for_long(p);
        p.at_work();
        EXPECT_EQ(p.delay, want);
        want = std::min(2 * want, cfg::sysmon_tick_busy);
    }
    p.looked(findings::took);
    idle_for_long(p);
    p.at_work();
    EXPECT_EQ(p.delay, cfg::sysmon_tick_min) << "there was something to find";
}

TEST(Pace, AShortIdleMomentChangesLittle) {
    pace p;
    p.all_idle();
    p.at_work();
    EXPECT_EQ(p.delay, 4 * cfg::sysmon_tick_min);
    EXPECT_EQ(p.start, cfg::sysmon_tick_min);
}

// SM7.
TEST(Pace, PatienceAfterABriefSleep) {
    auto looks_until_it_sleeps = [](pace& p) {
        int n = 0;
        for (idle_for_long(p); p.idle < p.patience; n++) p.all_idle();
        return n;
    };
    pace p;
    EXPECT_EQ(looks_until_it_sleeps(p), 1);
    p.slept_deeply(true);
    EXPECT_EQ(p.delay, cfg::sysmon_tick_min);
    EXPECT_EQ(looks_until_it_sleeps(p), cfg::sysmon_idle_ticks);
    p.slept_deeply(false);
    EXPECT_EQ(looks_until_it_sleeps(p), 1);
}

// WK8.
TEST(Pace, NoLongTickWhileALookIsWantedSoon) {
    pace p;
    idle_for_long(p);
    p.brief = 3;
    for (int i = 0; i < 3; i++) {
        p.all_idle();
        EXPECT_LE(p.delay, cfg::sysmon_tick_brief);
    }
    p.all_idle();
    EXPECT_GT(p.delay, cfg::sysmon_tick_brief);
}

}  // namespace
