// The run queues: rings of every length, overflow, runnext, theft, the global queue; and
// one ring between its owner and thieves on real threads, every G coming out exactly once.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "sched/runq.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

constexpr std::uint32_t N = cfg::runq_size;

struct Runq : testing::Test {
    fake_m me;
    p other;
    tokens gs{2 * N + 2};
    bool inherit = false;

    void SetUp() override {
        gomaxprocs_now.store(2);
        other.status.store(prunning);
    }
    void TearDown() override { drain_global(); }
    g* get(p* pp) { return runqget(pp, &inherit); }
    void fill(p* pp, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; i++) runqput(pp, gs[i], false);
    }
    std::vector<std::uint64_t> drain(p* pp) {
        std::vector<std::uint64_t> ids;
        while (g* gp = get(pp)) ids.push_back(gp->goid);
        return ids;
    }
    std::vector<std::uint64_t> drain_global() {
        std::vector<std::uint64_t> ids;
        guard l(sched.lock);
        while (g* gp = sched.runq.pop()) ids.push_back(gp->goid);
        EXPECT_EQ(sched.runqsize.exchange(0), static_cast<std::int32_t>(ids.size()));
        return ids;
    }
    // Both indices close to where 32 bits wrap.
    static void near_wrap(p* pp) {
        pp->runqhead.store(0u - N / 2);
        pp->runqtail.store(0u - N / 2);
    }
};
std::vector<std::uint64_t> ids(std::uint64_t from, std::uint64_t to) {  // [from, to]
    std::vector<std::uint64_t> v;
    for (; from <= to; from++) v.push_back(from);
    return v;
}

TEST_F(Runq, EveryLengthInOrder) {
    for (bool wrap : {false, true}) {
        p pp;
        if (wrap) near_wrap(&pp);
        for (std::uint32_t n = 0; n <= N; n++) {
            EXPECT_TRUE(runqempty(&pp));
            fill(&pp, n);
            EXPECT_EQ(runqlen(&pp), n);
            EXPECT_EQ(runqempty(&pp), n == 0);
            EXPECT_EQ(drain(&pp), ids(1, n));
            EXPECT_FALSE(inherit);
            EXPECT_EQ(sched.runqsize.load(), 0);
        }
    }
}

TEST_F(Runq, OverflowTakesTheRingToTheGlobalQueue) {
    for (bool wrap : {false, true}) {
        p pp;
        if (wrap) near_wrap(&pp);
        fill(&pp, N + 1);
        EXPECT_EQ(runqlen(&pp), 0u);
        EXPECT_EQ(drain_global(), ids(1, N + 1));
    }
}

TEST_F(Runq, RunnextGoesFirstAndIsKickedToTheTail) {
    p* pp = &me.pp;
    runqput(pp, gs[0], false);
    runqput(pp, gs[1], true);
    EXPECT_EQ(runqlen(pp), 2u);
    runqput(pp, gs[2], true);  // kicks 2 behind 1
    EXPECT_EQ(get(pp), gs[2]);
    EXPECT_TRUE(inherit);
    EXPECT_EQ(get(pp), gs[0]);
    EXPECT_FALSE(inherit);
    EXPECT_FALSE(runqempty(pp));
    EXPECT_EQ(get(pp), gs[1]);
    EXPECT_TRUE(runqempty(pp));
    EXPECT_EQ(get(pp), nullptr);

    runqput(pp, gs[3], true);
    EXPECT_FALSE(runqempty(pp)) << "runnext alone";
    EXPECT_EQ(get(pp), gs[3]);
}

TEST_F(Runq, KickOutOfAFullRingOverflows) {
    p* pp = &me.pp;
    fill(pp, N);
    runqput(pp, gs[N], true);
    EXPECT_EQ(sched.runqsize.load(), 0);
    runqput(pp, gs[N + 1], true);  // kicks N + 1 into a full ring
    EXPECT_EQ(get(pp), gs[N + 1]);
    EXPECT_EQ(drain(pp), ids(1, 0));
    EXPECT_EQ(drain_global(), ids(1, N + 1));
}

TEST_F(Runq, TheRingHasItsTurnBesideRunnext) {  // RQ6
    p* pp = &me.pp;
    runqput(pp, gs[0], false);
    pp->chain = pp->turns - (cfg::runnext_inherit_max - 1);
    runqput(pp, gs[1], true);
    EXPECT_EQ(get(pp), gs[1]);
    EXPECT_TRUE(inherit);
    pp->chain = pp->turns - cfg::runnext_inherit_max;
    runqput(pp, gs[1], true);
    EXPECT_EQ(get(pp), gs[0]);
    EXPECT_FALSE(inherit);
    EXPECT_EQ(get(pp), gs[1]) << "the ring is empty: runnext after all";
    EXPECT_TRUE(inherit);
}

TEST_F(Runq, StealTakesHalfOfEveryLength) {
    for (bool wrap : {false, true}) {
        p victim;
        victim.status.store(prunning);
        if (wrap) near_wrap(&victim);
        for (std::uint32_t n = 0; n <= N; n++) {
            fill(&victim, n);
            g* gp = runqsteal(&me.pp, &victim, false);
            std::uint32_t half = n - n / 2;
            if (n == 0) {
                EXPECT_EQ(gp, nullptr);
                continue;
            }
            ASSERT_EQ(gp, gs[half - 1]) << n;  // the last of those taken runs
            EXPECT_EQ(drain(&me.pp), ids(1, half - 1));
            EXPECT_EQ(drain(&victim), ids(half + 1, n));
        }
    }
}

TEST_F(Runq, StealTakesRunnextOnlyIfAllowedAndAlone) {
    runqput(&other, gs[0], false);
    runqput(&other, gs[1], true);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[0]) << "the ring goes before runnext";
    EXPECT_EQ(runqsteal(&me.pp, &other, false), nullptr);
    EXPECT_FALSE(runqempty(&other));
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[1]);
    EXPECT_TRUE(runqempty(&other));
    other.status.store(psyscall);  // nobody will run it there
    runqput(&other, gs[2], true);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[2]);
    EXPECT_EQ(runqsteal(&me.pp, &other, true), nullptr);
}

TEST_F(Runq, GlobalQueueIsSharedFairly) {
    for (std::int32_t procs : {1, 2, 3, 8, 64}) {
        gomaxprocs_now.store(procs);
        for (std::int32_t size : {0, 1, 2, 5, 63, 64, 65, 127, 128, 129, 300, 500}) {
            for (std::int32_t max : {0, 1, 7}) {
                p pp;
                guard l(sched.lock);
                for (std::int32_t i = 0; i < size; i++) globrunqput(gs[static_cast<std::size_t>(i)]);
                ASSERT_EQ(sched.runqsize.load(), size);
                std::int32_t want = std::min({size / procs + 1, size, static_cast<std::int32_t>(N / 2)});
                if (max) want = std::min(want, max);
                g* gp = globrunqget(&pp, max);
                if (size == 0) {
                    EXPECT_EQ(gp, nullptr);
                    continue;
                }
                EXPECT_EQ(gp, gs[0]);
                EXPECT_EQ(runqlen(&pp), static_cast<std::uint32_t>(want - 1)) << procs << " " << size << " " << max;
                EXPECT_EQ(sched.runqsize.load(), size - want);
                EXPECT_EQ(drain(&pp), ids(2, static_cast<std::uint64_t>(want)));
                while (sched.runq.pop()) {}
                sched.runqsize.store(0);
            }
        }
    }
}

TEST_F(Runq, NoMoreFromTheGlobalQueueThanTheRingHolds) {
    for (std::uint32_t room = 0; room < 6; room++) {
        p pp;
        fill(&pp, N - room);
        guard l(sched.lock);  // an overflow would want it, too
        for (std::size_t i = 0; i < 10; i++) globrunqput(gs[N + i]);
        EXPECT_EQ(globrunqget(&pp, 4), gs[N]);
        std::uint32_t into_ring = std::min(3u, room);
        EXPECT_EQ(runqlen(&pp), N - room + into_ring);
        EXPECT_EQ(sched.runqsize.load(), static_cast<std::int32_t>(9 - into_ring));
        while (sched.runq.pop()) {}
        sched.runqsize.store(0);
    }
}

TEST_F(Runq, PutOffCallsAndTheRestOfTheGlobalQueueTakeTurns) {  // SY4
    p pp;
    guard l(sched.lock);
    sched.putoff_next = true;
    gs[1]->caller = true;
    for (std::size_t i = 0; i < 3; i++) globrunqput(gs[i]);
    for (std::size_t i = 10; i < 14; i++) globrunqput_putoff(gs[i]);
    EXPECT_EQ(sched.runqsize.load(), 7);
    EXPECT_EQ(sched.ncallers.load(), 5);
    std::vector<std::uint64_t> got;
    while (g* gp = globrunqget(&pp, 1)) got.push_back(gp->goid);
    EXPECT_EQ(got, (std::vector<std::uint64_t>{1, 11, 2, 12, 3, 13, 14}));
    EXPECT_EQ(sched.ncallers.load(), 0);
    for (std::size_t i = 0; i < 14; i++) EXPECT_FALSE(gs[i]->caller);
}

TEST_F(Runq, NoCallerIsTakenToARing) {  // SY4
    gomaxprocs_now.store(1);
    guard l(sched.lock);
    for (std::size_t caller = 1; caller < 5; caller++) {
        p pp;
        gs[caller]->caller = true;
        for (std::size_t i = 0; i < 5; i++) globrunqput(gs[i]);
        EXPECT_EQ(globrunqget(&pp, 0), gs[0]);
        EXPECT_EQ(drain(&pp), ids(2, caller));
        EXPECT_EQ(sched.runqsize.load(), static_cast<std::int32_t>(5 - caller));
        while (globrunqget(&pp, 1)) {}
    }
    EXPECT_EQ(sched.ncallers.load(), 0);
}

TEST_F(Runq, ARingWhoseTurnIsOverGoesToTheGlobalQueue) {  // RQ9
    constexpr std::uint32_t n = 10, laps = cfg::ring_laps * n;
    struct {
        std::uint32_t ring, rounds, waiting;
        bool over;
    } const cases[] = {
        {n, laps, n, true}, {n, laps - 1, n, false}, {n, laps, n - 1, false}, {0, laps, n, false}, {1, laps, n, true}};
    for (auto& c : cases) {
        p pp;
        pp.schedtick.store(7 + c.rounds);
        pp.refilltick = 7;
        fill(&pp, c.ring);
        guard l(sched.lock);
        for (std::size_t i = 0; i < c.waiting; i++) globrunqput(gs[N + i]);
        EXPECT_EQ(runqrotate(&pp), c.over);
        EXPECT_EQ(runqlen(&pp), c.over ? 0 : c.ring);
        EXPECT_EQ(sched.runqsize.load(), static_cast<std::int32_t>(c.waiting + (c.over ? c.ring : 0)));
        EXPECT_EQ(globrunqget(&pp, 0), gs[N]) << "those that waited come first";
        EXPECT_EQ(pp.refilltick, 7 + c.rounds) << "the next turn begins";
        while (sched.runq.pop()) {}
        sched.runqsize.store(0);
    }
}

TEST_F(Runq, ARotationTakesWhoeverStandsInRunnext) {
    for (int ps : {1, 2}) {
        gomaxprocs_now.store(ps);
        fill(&me.pp, 2);
        me.pp.runnext.store(gs[2]);
        me.pp.chain = me.pp.turns - cfg::runnext_inherit_max;  // its turn is over
        EXPECT_FALSE(in_a_chain(&me.pp));
        me.pp.refilltick = me.pp.schedtick.load() - 2 * cfg::ring_laps;
        {
            guard l(sched.lock);
            for (std::size_t i = 3; i < 5; i++) globrunqput(gs[i]);
            EXPECT_TRUE(runqrotate(&me.pp));
        }
        EXPECT_TRUE(runqempty(&me.pp));
        EXPECT_EQ(drain_global(), (std::vector<std::uint64_t>{4, 5, 1, 2, 3}));
    }
}

TEST_F(Runq, AChainLastsAsLongAsItsTimeSlice) {
    EXPECT_FALSE(in_a_chain(&me.pp)) << "runnext is empty";
    me.pp.runnext.store(gs[0]);
    me.pp.chain = me.pp.turns - (cfg::runnext_inherit_max - 1);
    EXPECT_TRUE(in_a_chain(&me.pp));
    me.pp.chain = me.pp.turns - cfg::runnext_inherit_max;
    EXPECT_FALSE(in_a_chain(&me.pp));
}

TEST_F(Runq, BatchPutKeepsOrderAndCount) {
    gqueue a, empty;
    for (int i = 0; i < 3; i++) a.push_back(gs[static_cast<std::size_t>(i)]);
    {
        guard l(sched.lock);
        globrunqput(gs[9]);
        globrunqputbatch(&a, 3);
        globrunqputbatch(&empty, 0);
        globrunqput(gs[10]);
    }
    EXPECT_TRUE(a.empty());
    EXPECT_EQ(drain_global(), (std::vector<std::uint64_t>{10, 1, 2, 3, 11}));
}

TEST_F(Runq, OnePInOrder) {  // RQ7: the same without thieves
    gomaxprocs_now.store(1);
    near_wrap(&me.pp);
    for (std::uint32_t n = 0; n <= N; n++) {
        fill(&me.pp, n);
        EXPECT_EQ(drain(&me.pp), ids(1, n));
    }
    runqput(&me.pp, gs[0], false);
    runqput(&me.pp, gs[1], true);
    runqput(&me.pp, gs[2], true);  // kicks 2 behind 1
    EXPECT_EQ(drain(&me.pp), (std::vector<std::uint64_t>{3, 1, 2}));
}

// RQ8: what its P gets through briskly is left there; what stays is taken.
TEST_F(Runq, AShortQueueThatMovesIsLeftAlone) {
    std::atomic<bool> stop{false};
    runqput(&other, gs[0], false);
    std::thread owner([&] {
        bool in;
        while (!stop) {
            g* gp = runqget(&other, &in);
            ++other.turns;
            runqput(&other, gp ? gp : gs[0], false);  // a thief that came while we had lost the processor has it
        }
    });
    for (int left_alone = 0; left_alone < 3;) left_alone += !runqsteal(&me.pp, &other, false) && runqlen(&other) != 0;
    stop = true;
    owner.join();
    EXPECT_EQ(runqsteal(&me.pp, &other, false), gs[0]);
}

// The same while two play with runnext and the third has its turn by and by.
TEST_F(Runq, ItMovesByRunnextToo) {
    std::atomic<bool> stop{false};
    runqput(&other, gs[0], false);
    std::thread owner([&] {
        while (!stop) ++other.turns;
    });
    while (runqsteal(&me.pp, &other, false)) runqput(&other, gs[0], false);  // the owner had lost the processor
    EXPECT_EQ(runqlen(&other), 1u);
    stop = true;
    owner.join();
    EXPECT_EQ(runqsteal(&me.pp, &other, false), gs[0]);
}

// What stands in runnext whenever a thief looks may have been away in between.
TEST_F(Runq, ARunnextThatComesBackIsLeftAlone) {
    std::atomic<bool> stop{false};
    other.runnext.store(gs[0]);
    std::thread owner([&] {
        while (!stop) ++other.turns;
    });
    while (runqsteal(&me.pp, &other, true)) other.runnext.store(gs[0]);  // as above
    EXPECT_EQ(runqlen(&other), 1u);
    stop = true;
    owner.join();
    EXPECT_EQ(runqsteal(&me.pp, &other, true), gs[0]);
}

// At least one G is queued all the time, while the owner kicks runnext into the ring,
// takes runnext, and has the ring drained: nobody may ever see the P empty.
TEST_F(Runq, NeverLooksEmptyWhileAGIsKickedOut) {
    p* pp = &me.pp;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> looks{0}, wrong{0};
    runqput(pp, gs[0], true);
    std::thread looker([&] {
        while (!stop.load(std::memory_order_relaxed)) {
            if (runqempty(pp)) wrong++;
            looks.fetch_add(1, std::memory_order_relaxed);
        }
    });
    std::size_t here = 0, spare = 1;  // gs[here] is queued
    for (int i = 0; i < 400'000 || looks.load() < 100'000; i++) {
        runqput(pp, gs[spare], true);                       // ring: here, runnext: spare
        ASSERT_EQ(get(pp), gs[spare]);                      // ring: here
        runqput(pp, gs[spare], true);                       // ring: here, runnext: spare
        ASSERT_EQ(runqsteal(&other, pp, false), gs[here]);  // runnext: spare
        std::swap(here, spare);
    }
    stop = true;
    looker.join();
    EXPECT_EQ(wrong.load(), 0u);
}

// One ring, its owner and three thieves.  A G that comes out is marked, handed back to
// the owner and put again: twice out or never out shows.
class ring_storm {
public:
    static constexpr std::size_t gs_n = 700, thieves_n = 3;
    ring_storm() : gs_(gs_n) {
        for (auto& o : out_) o.store(1);
        for (std::size_t i = 0; i < gs_n; i++) home_[i].store(true);
    }
    void run(int rounds) {
        fake_m me;  // outlives the thieves
        victim_ = &me.pp;
        std::vector<std::thread> ts;
        for (std::size_t t = 0; t < thieves_n; t++) ts.emplace_back([this] { thief(); });
        owner(me, rounds);
        stop_ = true;
        for (auto& t : ts) t.join();
        for (std::size_t i = 0; i < gs_n; i++) EXPECT_EQ(out_[i].load(), 1) << i;
        EXPECT_EQ(bad_.load(), 0);
        EXPECT_GT(stolen_.load(), 0u);
    }

private:
    void in(g* gp) {
        if (out_[gp->goid - 1].exchange(0) != 1) bad_++;
    }
    void came_out(g* gp) {
        if (out_[gp->goid - 1].exchange(1) != 0) bad_++;
        home_[gp->goid - 1].store(true);
    }
    void thief() {
        fake_m me;
        while (!stop_.load()) {
            bool inherit, any = false;
            g* gp = runqsteal(&me.pp, victim_, stolen_.load() % 2 == 0);
            for (; gp; gp = runqget(&me.pp, &inherit)) {
                came_out(gp);
                stolen_++;
                any = true;
            }
            if (!any) std::this_thread::yield();
        }
    }
    void owner(fake_m& me, int rounds) {
        bool inherit;
        for (int r = 0; r < rounds || stolen_.load() == 0; r++) {
            std::size_t put = 0;
            for (std::size_t i = 0; i < gs_n && put < 1 + static_cast<std::size_t>(r * 37 % 400); i++) {
                if (!home_[i].exchange(false)) continue;
                in(gs_[i]);
                runqput(&me.pp, gs_[i], (r + i) % 3 == 0);
                put++;
            }
            for (int k = 0; k < r % 97; k++)
                if (g* gp = runqget(&me.pp, &inherit)) came_out(gp);
            drain_global();
        }
        while (g* gp = runqget(&me.pp, &inherit)) came_out(gp);
        drain_global();
        while (!all_home()) std::this_thread::yield();
    }
    void drain_global() {
        guard l(sched.lock);
        while (g* gp = sched.runq.pop()) {
            sched.runqsize--;
            came_out(gp);
        }
    }
    bool all_home() {
        for (auto& h : home_)
            if (!h.load()) return false;
        return true;
    }
    tokens gs_;
    std::atomic<int> out_[gs_n];
    std::atomic<bool> home_[gs_n];
    p* victim_ = nullptr;
    std::atomic<bool> stop_{false};
    std::atomic<int> bad_{0};
    std::atomic<std::uint64_t> stolen_{0};
};

TEST(RunqStress, EveryGComesOutExactlyOnce) {
    auto s = std::make_unique<ring_storm>();
    s->run(8000);
}

}  // namespace
