// Choosing by a seed, on a P of the test's own: the same seed chooses the same, and nobody starves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "base/chaos.h"
#include "base/seeded.h"
#include "sched/born.h"
#include "sched/choose.h"
#include "sched/retake.h"
#include "sched/runq.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

// Under chaos, or a seeded schedule, as at a boot with that in RT0DEBUG.
struct Choose : testing::Test {
    void chaos(std::uint64_t seed, std::int64_t m = 1) {
        chaos_state = seed;
        chaos_stream(m);
        choose_start();
    }
    void schedseed(std::int64_t n) {
        seeded_start(n);
        gomaxprocs_now = 1;
        choose_start();
    }
    ~Choose() override {
        chaos_state = 0;
        seeded_on = false;
        gomaxprocs_now = 0;
        choose_start();
    }
};

std::vector<std::uint64_t> draws(int n) {
    std::vector<std::uint64_t> v;
    while (n-- > 0) v.push_back(chaos_draw());
    return v;
}

TEST_F(Choose, AnMsStreamIsMadeOfSeedAndNumber) {
    std::set<std::vector<std::uint64_t>> all;
    for (std::uint64_t seed : {1, 2, 3})
        for (std::int64_t m : {0, 1, 2}) {
            chaos(seed, m);
            auto first = draws(100);
            chaos(seed, m);
            EXPECT_EQ(first, draws(100)) << seed << " " << m;
            all.insert(first);
        }
    EXPECT_EQ(all.size(), 9u);
}

// CS1 at the windows: `mixed` goes to others, and draws for the scheduler, between two visits.
std::vector<chaos_step> visits(window w, int n, bool mixed) {
    std::vector<chaos_step> v;
    for (int i = 0; i < n; i++) {
        if (mixed) chaos_decide(w == window::retake_turn ? window::crossing : window::retake_turn);
        if (mixed && i % 3 == 0) chaos_draw();
        v.push_back(chaos_decide(w));
    }
    return v;
}

TEST_F(Choose, TheNthVisitOfAWindowDoesTheSame) {
    int differ = 0;
    for (window w : {window::retake_turn, window::syscall_exit, window::crossing, window::timer_delete}) {
        chaos(1, 5);
        auto first = visits(w, 2000, false);
        for (bool mixed : {false, true}) {
            chaos(1, 5);
            EXPECT_EQ(first, visits(w, 2000, mixed)) << static_cast<int>(w) << mixed;
        }
        chaos(2, 5);
        differ += first != visits(w, 2000, false);
        chaos(1, 6);
        differ += first != visits(w, 2000, false);
        std::set<delay> kinds;
        for (const chaos_step& s : first) kinds.insert(s.how);
        EXPECT_EQ(kinds.size(), 4u) << static_cast<int>(w);
    }
    EXPECT_EQ(differ, 8);
}

// What runs in `rounds` rounds of n Gs that take turns, one of which is made ready next each time.
std::vector<std::uint64_t> turns(int rounds, std::size_t n, int* asked = nullptr) {
    fake_m me;
    tokens gs(n);
    for (std::size_t i = 0; i < n; i++) runqput(&me.pp, gs[i], false);
    std::vector<std::uint64_t> ran;
    for (int i = 0; i < rounds; i++) {
        bool inherit;
        g* gp = choose(&me.pp, &inherit);
        if (!gp) ADD_FAILURE() << "nothing to run in round " << i;
        if (!gp) break;
        ran.push_back(gp->goid);
        me.pp.schedtick++;
        if (asked) *asked += me.mp.retake.exchange(0) == rt_preempt;
        runqput(&me.pp, gp, i % 4 == 0);
    }
    bool inherit;
    while (runqget(&me.pp, &inherit)) {}
    return ran;
}

// The longest that one of n waited, in turns of others.
std::size_t longest_wait(const std::vector<std::uint64_t>& ran, std::size_t n) {
    std::vector<std::size_t> last(n + 1, 0);
    std::size_t most = 0;
    for (std::size_t i = 0; i < ran.size(); i++) {
        most = std::max(most, i - last[ran[i]]);
        last[ran[i]] = i;
    }
    for (std::size_t id = 1; id <= n; id++) most = std::max(most, ran.size() - last[id]);
    return most;
}

constexpr int rounds = 20'000;
constexpr std::size_t few = 20;

TEST_F(Choose, ChaosIsTheSameAgain) {
    std::set<std::vector<std::uint64_t>> all;
    for (std::uint64_t seed = 1; seed <= 20; seed++) {
        chaos(seed);
        auto first = turns(1000, few);
        chaos(seed);
        EXPECT_EQ(first, turns(1000, few)) << seed;
        all.insert(first);
    }
    EXPECT_EQ(all.size(), 20u);
}

TEST_F(Choose, ChaosPassesOverSomeButForASpellOnly) {
    std::size_t longest = 0;
    for (std::uint64_t seed = 1; seed <= 20; seed++) {
        chaos(seed);
        int asked = 0;
        auto ran = turns(rounds, few, &asked);
        std::size_t most = longest_wait(ran, few);
        EXPECT_LE(most, cfg::chaos_spell + 4 * few) << seed;
        longest = std::max(longest, most);
        EXPECT_GT(asked, rounds / 16);
        EXPECT_LT(asked, rounds / 4);
    }
    EXPECT_GT(longest, cfg::chaos_spell / 2) << "nobody was starved";
}

TEST_F(Choose, OneThatIsAloneRuns) {
    for (std::uint64_t seed = 1; seed <= 20; seed++) {
        chaos(seed);
        EXPECT_EQ(turns(1000, 1).size(), 1000u);
    }
}

TEST_F(Choose, ASeedChoosesTheSameAgainAndAnyoneMayBeNext) {
    std::set<std::vector<std::uint64_t>> all;
    std::set<std::uint64_t> firsts;
    for (std::int64_t n = 0; n < 200; n++) {
        schedseed(n);
        auto first = turns(1000, few);
        schedseed(n);
        EXPECT_EQ(first, turns(1000, few)) << n;
        EXPECT_LE(longest_wait(first, few), 20 * few) << n;
        firsts.insert(first[0]);
        all.insert(first);
    }
    EXPECT_EQ(all.size(), 200u);
    EXPECT_EQ(firsts.size(), few);
}

// Newborns, the ring, runnext and the global queue: all are found.
TEST_F(Choose, ASeedFindsWhatIsQueuedAnywhere) {
    for (std::int64_t n = 0; n < 50; n++) {
        schedseed(n);
        fake_m me;
        tokens gs(700);
        for (std::size_t i = 0; i < 300; i++) runqput(&me.pp, gs[i], false);  // half of them overflow
        for (std::size_t i = 300; i < 400; i++) born_put(&me.pp, gs[i]);
        for (std::size_t i = 400; i < 699; i++) {
            guard l(sched.lock);
            globrunqput(gs[i]);
        }
        runqput(&me.pp, gs[699], true);
        std::set<std::uint64_t> ran;
        bool inherit;
        while (g* gp = choose(&me.pp, &inherit)) ran.insert(gp->goid);
        EXPECT_EQ(ran.size(), 700u) << n;
        EXPECT_TRUE(runqempty(&me.pp));
        EXPECT_EQ(sched.runqsize.load(), 0);
    }
}

TEST_F(Choose, TheVirtualClockMovesByDecisionsLooksAndSkips) {
    schedseed(1);
    std::int64_t start = virtual_now();
    EXPECT_EQ(clock_now(), start);
    turns(1000, few);
    EXPECT_EQ(virtual_now(), start + 1000 * cfg::seed_tick);
    EXPECT_EQ(virtual_look(), start + 1000 * cfg::seed_tick + cfg::seed_look);
    std::int64_t before = virtual_skipped();
    virtual_skip(virtual_now() - 1);
    EXPECT_EQ(virtual_skipped(), before);
    std::int64_t now = virtual_now();
    virtual_skip(now + 3'600'000'000'000);
    EXPECT_EQ(virtual_now(), now + 3'600'000'000'000);
    EXPECT_EQ(virtual_skipped() - before, 3'600'000'000'000);
}

}  // namespace
