// Newborns: newest first for their owner, oldest half for thieves, overflow, the turns
// that keep anybody from starving; and one deque between its owner and thieves on real
// threads, every G coming out exactly once.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "kernel_if/clock.h"
#include "sched/born.h"
#include "sched/runq.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

constexpr std::uint32_t N = cfg::born_size;

struct Born : testing::Test {
    fake_m me;
    p other;
    tokens gs{N + 2};

    void SetUp() override {
        gomaxprocs_now.store(2);
        other.status.store(prunning);
    }
    void TearDown() override {
        guard l(sched.lock);
        while (sched.runq.pop()) {}
        sched.runqsize.store(0);
    }
    void fill(p* pp, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; i++) born_put(pp, gs[i]);
    }
    // Both indices close to where 32 bits wrap.
    static void near_wrap(p* pp) {
        pp->bornhead.store(0u - N / 2);
        pp->borntail.store(0u - N / 2);
    }
};

TEST_F(Born, NewestFirstAtEveryLength) {
    for (bool wrap : {false, true}) {
        p pp;
        if (wrap) near_wrap(&pp);
        for (std::uint32_t n = 0; n <= N; n += n < 70 ? 1 : 31) {
            pp.bornpicks = 0;
            EXPECT_TRUE(born_empty(&pp));
            fill(&pp, n);
            EXPECT_EQ(born_len(&pp), n);
            EXPECT_EQ(runqlen(&pp), n);
            EXPECT_EQ(runqempty(&pp), n == 0);
            std::uint32_t oldest = 0, newest = n;
            for (std::uint32_t k = 1; k <= n; k++) {
                bool turn = n - k + 1 <= cfg::born_crowd && k % cfg::born_oldest == 0;  // BN4
                EXPECT_EQ(born_get(&pp), turn ? gs[oldest++] : gs[--newest]) << n << " " << k;
            }
            EXPECT_EQ(born_get(&pp), nullptr);
        }
    }
}

TEST_F(Born, TheOldestHasItsTurnInACrowdToo) {  // BN4
    p pp;
    fill(&pp, cfg::born_crowd + 2);
    for (std::uint32_t k = 1; k < cfg::born_oldest_crowded; k++) {  // somebody keeps starting others
        ASSERT_EQ(born_get(&pp), gs[cfg::born_crowd + 1]) << k;
        born_put(&pp, gs[cfg::born_crowd + 1]);
    }
    EXPECT_EQ(born_get(&pp), gs[0]);
}

// Looks of sysmon's, a busy tick apart, between which somebody has a turn, or nobody.
void looks(p* pp, std::int64_t ns, bool turns) {
    for (const std::int64_t begin = pp->backlogwhen; pp->backlogwhen - begin < ns;) {
        if (turns) pp->turns = pp->turns + 1;
        const std::int64_t now = pp->backlogwhen + cfg::sysmon_tick_busy;
        born_look(pp, now);
        pp->backlogturns = pp->turns;
        pp->backlogwhen = now;
    }
}

// On a machine with other work each slice is used up by few turns, and every other one begins with the oldest (BN5): for a
// crowd that is little.
TEST_F(Born, APickAfterASliceIsNotHowACrowdHasItsTurns) {  // BN4
    p pp;
    fill(&pp, cfg::born_crowd + 2);
    looks(&pp, cfg::sysmon_tick_busy, true);
    for (std::uint32_t i = 0; i < 3; i++) {
        looks(&pp, cfg::born_late / 2, true);
        EXPECT_EQ(pp.bornlate.load() != 0, i >= 1) << i;
        pp.preempt.store(true);
        pp.born_next = true;
        bool inherit;
        EXPECT_EQ(runqget(&pp, &inherit), gs[i]) << i;
    }
}

TEST_F(Born, TheOldestThatHasStoodForLongHasItsTurnSoon) {  // BN4
    for (bool wrap : {false, true}) {
        p pp;
        if (wrap) near_wrap(&pp);
        const std::uint32_t n = cfg::born_crowd + 2;
        fill(&pp, n);
        looks(&pp, cfg::sysmon_tick_busy, true);  // from here it stands
        looks(&pp, 10 * cfg::born_late, false);   // and so does its M
        EXPECT_EQ(pp.bornlate.load(), 0u);
        looks(&pp, cfg::born_late / 2, true);
        EXPECT_EQ(pp.bornlate.load(), 0u);
        looks(&pp, cfg::born_late, true);
        EXPECT_NE(pp.bornlate.load(), 0u);
        // Each that runs starts another: all that waited have had their turn in a few times their number.
        std::uint32_t oldest = 0, picks = 0;
        while (pp.bornlate.load() != 0) {
            g* gp = born_get(&pp);
            if (oldest < n - 1 && gp == gs[oldest]) oldest++;
            else EXPECT_EQ(gp, gs[n - 1]);  // who is started last, each time
            ASSERT_LE(++picks, cfg::born_oldest_late * (n + 1));
            born_put(&pp, gs[n - 1]);
        }
        EXPECT_EQ(oldest, n - 1);
        looks(&pp, 2 * cfg::born_late, true);
        EXPECT_NE(pp.bornlate.load(), 0u) << "the next ones stand, too";
    }
}

TEST_F(Born, WhereTheLateHaveGoneTheNextAreNot) {  // BN4
    p pp;
    fill(&pp, 8);
    looks(&pp, 2 * cfg::born_late, true);
    EXPECT_NE(pp.bornlate.load(), 0u);
    for (int i = 0; i < 8; i++) EXPECT_NE(born_get(&pp), nullptr);
    pp.bornpicks = 0;
    fill(&pp, 8);
    EXPECT_EQ(born_get(&pp), gs[7]);
    EXPECT_EQ(born_get(&pp), gs[6]);
    EXPECT_EQ(born_get(&pp), gs[5]);
    EXPECT_EQ(born_get(&pp), gs[4]) << "by its turn";
    EXPECT_EQ(pp.bornlate.load(), 0u);
}

TEST_F(Born, OverflowTakesTheOldestHalfToTheGlobalQueue) {
    for (bool wrap : {false, true}) {
        p pp;
        if (wrap) near_wrap(&pp);
        fill(&pp, N + 1);
        EXPECT_EQ(born_len(&pp), N / 2);
        EXPECT_EQ(sched.runqsize.load(), static_cast<std::int32_t>(N / 2 + 1));
        guard l(sched.lock);
        for (std::uint32_t i = 0; i < N / 2; i++) ASSERT_EQ(sched.runq.pop(), gs[i]);
        EXPECT_EQ(sched.runq.pop(), gs[N]);
        EXPECT_EQ(sched.runq.pop(), nullptr);
        sched.runqsize.store(0);
    }
}

TEST_F(Born, StealTakesTheOldestHalfOfEveryLength) {
    for (bool wrap : {false, true}) {
        p victim;
        if (wrap) near_wrap(&victim);
        for (std::uint32_t n = 0; n <= N; n += n < 70 ? 1 : 31) {
            fill(&victim, n);
            g* gp = born_steal(&me.pp, &victim);
            std::uint32_t half = n - n / 2;
            ASSERT_EQ(gp, n == 0 ? nullptr : gs[half - 1]) << n;  // the last of those taken runs
            EXPECT_EQ(born_len(&victim), n / 2);
            me.pp.bornpicks = victim.bornpicks = 0;
            for (std::uint32_t i = half; i-- > 1 && half < cfg::born_oldest;) EXPECT_EQ(born_get(&me.pp), gs[i - 1]);
            while (born_get(&me.pp)) {}
            while (born_get(&victim)) {}
        }
    }
}

TEST_F(Born, StealTakesNoMoreThanThereIsRoomFor) {
    fill(&other, N);
    fill(&me.pp, N - 3);
    EXPECT_EQ(born_steal(&me.pp, &other), gs[2]);
    EXPECT_EQ(born_len(&me.pp), N - 1);
    EXPECT_EQ(born_len(&other), N - 3);
}

TEST_F(Born, TheRingGoesFirstExceptInTheirTurn) {  // BN4
    p* pp = &me.pp;
    bool inherit;
    runqput(pp, gs[0], false);
    runqput(pp, gs[1], false);
    born_put(pp, gs[2]);
    born_put(pp, gs[3]);
    pp->bornfresh = false;  // their creator's turn has passed (BN6)
    pp->schedtick.store(1);
    EXPECT_EQ(runqget(pp, &inherit), gs[0]);
    pp->schedtick.store(cfg::born_turn);
    EXPECT_EQ(runqget(pp, &inherit), gs[3]);
    EXPECT_FALSE(inherit);
    pp->schedtick.store(cfg::born_turn + 1);
    EXPECT_EQ(runqget(pp, &inherit), gs[1]);
    EXPECT_EQ(runqget(pp, &inherit), gs[2]);
    EXPECT_TRUE(runqempty(pp));
}

TEST_F(Born, TheLastChildGoesBeforeTheRing) {  // BN6
    p* pp = &me.pp;
    bool inherit;
    pp->schedtick.store(1);
    for (int i = 0; i < 4; i++) runqput(pp, gs[i], false);
    born_put(pp, gs[4]);
    born_put(pp, gs[5]);
    EXPECT_EQ(runqget(pp, &inherit), gs[5]);
    EXPECT_TRUE(inherit);
    EXPECT_EQ(runqget(pp, &inherit), gs[0]);
    EXPECT_FALSE(inherit);
    born_put(pp, gs[6]);
    pp->chain = pp->turns - cfg::runnext_inherit_max;  // RQ6
    EXPECT_EQ(runqget(pp, &inherit), gs[1]);
    EXPECT_FALSE(inherit);
    pp->chain = pp->turns;
    runqput(pp, gs[7], true);
    EXPECT_EQ(runqget(pp, &inherit), gs[7]);
    EXPECT_EQ(runqget(pp, &inherit), gs[6]);
    EXPECT_TRUE(inherit);
    born_put(pp, gs[5]);
    pp->preempt.store(true);  // the slice is used up: BN5's turn
    EXPECT_EQ(runqget(pp, &inherit), gs[4]);
    EXPECT_FALSE(inherit);
    EXPECT_EQ(runqget(pp, &inherit), gs[5]);
    EXPECT_TRUE(inherit);
    EXPECT_EQ(runqget(pp, &inherit), gs[2]);
    EXPECT_EQ(runqget(pp, &inherit), gs[3]);
    EXPECT_TRUE(runqempty(pp));
}

TEST_F(Born, EveryOtherPickAfterAUsedUpSliceIsTheOldest) {  // BN5
    p* pp = &me.pp;
    bool inherit;
    pp->schedtick.store(1);
    for (int i = 0; i < 4; i++) runqput(pp, gs[i], false);
    for (int i = 4; i < 8; i++) born_put(pp, gs[i]);
    for (int i = 0; i < 4; i++) {
        pp->preempt.store(true);
        EXPECT_EQ(runqget(pp, &inherit), gs[4 + i]) << i;
        pp->preempt.store(true);
        EXPECT_EQ(runqget(pp, &inherit), gs[i]) << i;
        EXPECT_FALSE(inherit);
        EXPECT_FALSE(pp->preempt.load());
    }
    EXPECT_TRUE(runqempty(pp));
    pp->preempt.store(true);
    EXPECT_EQ(runqget(pp, &inherit), nullptr);
}

TEST_F(Born, ThievesTakeTheRingThenNewbornsThenRunnext) {
    runqput(&other, gs[0], false);
    runqput(&other, gs[1], true);
    born_put(&other, gs[2]);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[0]);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[2]);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[1]);
    EXPECT_TRUE(runqempty(&other));
}

// BN7.  What the test itself takes does not matter beside an hour.
struct Crowd : Born {
    static constexpr std::int64_t far = 3'600'000'000'000;  // ns
    p* pp = &other;

    static void empty(p* of) {
        while (born_get(of)) {}
    }
    void crowd(bool brisk) {
        fill(pp, cfg::crowd_gs);
        pp->crowdwhen += brisk ? far : -far;
        empty(pp);
        EXPECT_EQ(pp->crowdbrisk, brisk);
        pp->crowdwhen += far;  // the next one begins soon
    }
    bool stolen(std::int64_t ago) {
        pp->crowdwhen = rt0::kernel::nanotime() - ago;
        me.pp.left_newborns = false;
        const bool got = born_steal(&me.pp, pp) != nullptr;
        EXPECT_NE(me.pp.left_newborns, got);
        empty(&me.pp);
        return got;
    }
};

TEST_F(Crowd, WithShortTurnsIsLeftAloneForAWhile) {
    fill(pp, cfg::crowd_gs);
    EXPECT_TRUE(stolen(-far)) << "nothing is known yet";
    empty(pp);

    crowd(true);
    fill(pp, cfg::crowd_gs);
    EXPECT_FALSE(stolen(-far));
    EXPECT_TRUE(runqshort(pp, pp->crowdwhen + cfg::crowd_alone_ns - 1));
    EXPECT_FALSE(runqshort(pp, pp->crowdwhen + cfg::crowd_alone_ns));
    pp->status.store(psyscall);
    EXPECT_TRUE(stolen(-far)) << "nobody runs them there";
    pp->status.store(prunning);
    EXPECT_TRUE(stolen(cfg::crowd_alone_ns)) << "it takes too long for such";
    empty(pp);

    crowd(true);
    born_put(pp, gs[0]);
    EXPECT_FALSE(stolen(-far)) << "the next one comes, most likely";
    EXPECT_TRUE(stolen(cfg::crowd_alone_ns)) << "one is no crowd";

    crowd(false);
    fill(pp, cfg::crowd_gs);
    EXPECT_TRUE(stolen(-far)) << "the last one's turns were long";
    empty(pp);
}

TEST_F(Crowd, IsJudgedByTheLastOneIfThatWasSoonBefore) {
    crowd(false);
    fill(pp, cfg::crowd_gs - 1);
    pp->crowdwhen = rt0::kernel::nanotime() + far;
    empty(pp);
    EXPECT_FALSE(pp->crowdbrisk) << "that was no crowd";

    crowd(true);
    pp->crowdwhen += -far - cfg::crowd_alone_ns;
    fill(pp, cfg::crowd_gs);
    EXPECT_FALSE(pp->crowdbrisk) << "the last one was long ago";
    empty(pp);

    crowd(true);
    sched.sysmonnext.store(rt0::kernel::nanotime() + far);
    fill(pp, cfg::crowd_gs);
    EXPECT_FALSE(pp->crowdbrisk) << "sysmon would not see to it";
    sched.sysmonnext.store(0);
    empty(pp);

    crowd(true);
    fill(pp, cfg::crowd_gs);
    EXPECT_TRUE(pp->crowdbrisk);
    while (!born_empty(pp)) EXPECT_TRUE(stolen(cfg::crowd_alone_ns));
    pp->crowdwhen = rt0::kernel::nanotime() - far;
    empty(pp);
    EXPECT_FALSE(pp->crowdbrisk) << "others ran them all, but slowly";
}

TEST(CrowdWasBrisk, Alone) {
    constexpr std::int64_t n = 1000, limit = n * cfg::crowd_turn_ns;
    auto brisk = [](std::int64_t took, std::int64_t ran, bool before) { return crowd_was_brisk(took, n, ran, 2, before); };
    EXPECT_TRUE(brisk(limit - 1, n, false));
    EXPECT_FALSE(brisk(limit, n, false));
    EXPECT_TRUE(brisk(limit * 3 / 2 - 1, n, true)) << "the memory may have been another's";
    EXPECT_FALSE(brisk(limit * 3 / 2, n, true));
    EXPECT_FALSE(brisk(limit, n - 8, false)) << "a few that others take make no difference";
}

TEST(CrowdWasBrisk, Shared) {
    constexpr std::int64_t n = 1000, limit = n * cfg::crowd_turn_ns;
    auto brisk = [](std::int64_t took, std::int64_t ran, std::int64_t busy) { return crowd_was_brisk(took, n, ran, busy, false); };
    for (std::int64_t ran : {0, 5, 500, 990}) {  // two Ps share it in any way: a turn takes twice that at most
        EXPECT_TRUE(brisk(limit * 4 / 3 - 1, ran, 2)) << ran;
        EXPECT_FALSE(brisk(limit * 4 / 3, ran, 2)) << ran;
    }
    EXPECT_FALSE(brisk(limit, 5, 60)) << "sixty can have had long turns";
    EXPECT_TRUE(brisk(limit / 60 * 3 - 1, 5, 60));
    EXPECT_TRUE(brisk(limit, 500, 60)) << "one of them ran half, so the turns were short";
}

// One owner and three thieves.  A G that comes out goes home and is put again: twice out
// or never out shows.
TEST(BornStress, EveryGComesOutExactlyOnce) {
    constexpr std::size_t gs_n = 700;
    tokens gs(gs_n);
    std::vector<std::atomic<int>> in(gs_n);  // 1: queued
    std::atomic<bool> stop{false};
    std::atomic<int> bad{0};
    std::atomic<std::uint64_t> stolen{0};
    auto out = [&](g* gp) {
        if (in[gp->goid - 1].exchange(0) != 1) bad++;
    };
    fake_m me;
    p* victim = &me.pp;
    std::vector<std::thread> thieves;
    for (int t = 0; t < 3; t++)
        thieves.emplace_back([&] {
            fake_m mine;
            while (!stop.load()) {
                g* gp = born_steal(&mine.pp, victim);
                if (!gp) std::this_thread::yield();
                for (; gp; gp = born_get(&mine.pp)) {
                    out(gp);
                    stolen++;
                }
            }
        });
    for (int r = 0; r < 8000 || stolen.load() == 0; r++) {
        std::size_t put = 0, most = 1 + static_cast<std::size_t>(r * 37 % 400);
        for (std::size_t i = 0; i < gs_n && put < most; i++) {
            int home = 0;
            if (!in[i].compare_exchange_strong(home, 1)) continue;
            born_put(victim, gs[i]);
            put++;
        }
        for (int k = 0; k < r % 97; k++)
            if (g* gp = born_get(victim)) out(gp);
    }
    while (g* gp = born_get(victim)) out(gp);
    for (auto& i : in)
        while (i.load() != 0) std::this_thread::yield();  // on its way out of a thief's hands
    stop = true;
    for (auto& t : thieves) t.join();
    EXPECT_EQ(bad.load(), 0);
    EXPECT_EQ(sched.runqsize.load(), 0);
}

}  // namespace
