// The machine itself: what a load may see under each memory order (the usual litmus tests), that deadlocks, lost
// wake-ups, races of plain data and livelocks are found, and that a schedule replays what it says.
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "arch/arch.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/membarrier.h"
#include "tests/model/engine.h"

using namespace rt0::runtime;
using model::first_failure;
using model::options;
using model::world;

namespace {

// What two threads read, over all schedules of a litmus test.
template <class A, class B>
std::set<std::pair<int, int>> outcomes(A a, B b) {
    struct state {
        atomic<int> x{0}, y{0};
        int r1 = -1, r2 = -1;
    };
    std::set<std::pair<int, int>> seen;
    options o;
    o.dfs = {4, 2, 0, 200'000};
    EXPECT_EQ("", first_failure(o, [&](world& w) {
        auto s = std::make_shared<state>();
        w.thread([s, a] { a(*s); });
        w.thread([s, b] { b(*s); });
        w.after([s, &seen] { seen.insert({s->r1, s->r2}); });
    }));
    return seen;
}

using pairs = std::set<std::pair<int, int>>;

TEST(Memory, StoreBuffering) {
    auto run = [](memory_order st, memory_order ld) {
        return outcomes([=](auto& s) { s.x.store(1, st), s.r1 = s.y.load(ld); },
                        [=](auto& s) { s.y.store(1, st), s.r2 = s.x.load(ld); });
    };
    const pairs all{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, not_both_old{{0, 1}, {1, 0}, {1, 1}};
    EXPECT_EQ(run(memory_order_relaxed, memory_order_relaxed), all);
    EXPECT_EQ(run(memory_order_release, memory_order_acquire), all);
    EXPECT_EQ(run(memory_order_seq_cst, memory_order_acquire), all);
    EXPECT_EQ(run(memory_order_seq_cst, memory_order_seq_cst), not_both_old);
}

TEST(Memory, StoreBufferingAgainstAMembarrier) {
    EXPECT_EQ(outcomes([](auto& s) { s.x.store(1, memory_order_relaxed), s.r1 = s.y.load(memory_order_relaxed); },
                       [](auto& s) {
                           s.y.store(1, memory_order_relaxed);
                           rt0::kernel::membarrier_all();
                           s.r2 = s.x.load(memory_order_relaxed);
                       }),
              (pairs{{0, 1}, {1, 0}, {1, 1}}));
}

TEST(Memory, StoreBufferingBetweenFences) {
    const auto relaxed = memory_order_relaxed;
    auto run = [=](bool both) {
        return outcomes([=](auto& s) {
                            s.x.store(1, relaxed);
                            atomic_thread_fence(memory_order_seq_cst);
                            s.r1 = s.y.load(relaxed);
                        },
                        [=](auto& s) {
                            s.y.store(1, relaxed);
                            if (both) atomic_thread_fence(memory_order_seq_cst);
                            s.r2 = s.x.load(relaxed);
                        });
    };
    EXPECT_EQ(run(true), (pairs{{0, 1}, {1, 0}, {1, 1}}));
    EXPECT_TRUE(run(false).contains({0, 0}));
}

// What is written before one fence and read after another is not thereby ordered.
TEST(Memory, FencesAreNoHappensBefore) {
    std::string f = first_failure({}, [](world& w) {
        auto data = std::make_shared<model::var<int>>(0);
        w.thread([=] { data->set(1), atomic_thread_fence(memory_order_seq_cst); });
        w.thread([=] { atomic_thread_fence(memory_order_seq_cst), data->get(); });
    });
    EXPECT_NE(f.find("data race"), f.npos) << f;
}

TEST(Memory, MessagePassing) {
    auto run = [](memory_order st, memory_order ld) {
        return outcomes([=](auto& s) { s.x.store(1, memory_order_relaxed), s.y.store(1, st), s.r1 = 0; },
                        [=](auto& s) {
                            if (s.y.load(ld)) s.r2 = s.x.load(memory_order_relaxed);
                        });
    };
    EXPECT_EQ(run(memory_order_release, memory_order_acquire), (pairs{{0, -1}, {0, 1}}));
    EXPECT_EQ(run(memory_order_relaxed, memory_order_acquire), (pairs{{0, -1}, {0, 0}, {0, 1}}));
    EXPECT_EQ(run(memory_order_release, memory_order_relaxed), (pairs{{0, -1}, {0, 0}, {0, 1}}));
}

// A relaxed read-modify-write between the release and the acquire passes the message on; a store does not.
TEST(Memory, ReleaseSequences) {
    for (bool rmw : {false, true}) {
        auto seen = outcomes([=](auto& s) {
                                 s.x.store(1, memory_order_relaxed);
                                 s.y.store(1, memory_order_release);
                                 if (rmw) s.y.fetch_add(1, memory_order_relaxed);
                                 else s.y.store(2, memory_order_relaxed);
                                 s.r1 = 0;
                             },
                             [](auto& s) {
                                 if (s.y.load(memory_order_acquire) == 2) s.r2 = s.x.load(memory_order_relaxed);
                             });
        EXPECT_EQ(seen.contains({0, 0}), !rmw);
        EXPECT_TRUE(seen.contains({0, 1}));
    }
}

TEST(Memory, ReadsOfOneAtomicNeverGoBack) {
    auto seen = outcomes([](auto& s) { s.x.store(1, memory_order_relaxed), s.x.store(2, memory_order_relaxed), s.r1 = 0; },
                         [](auto& s) {
                             int a = s.x.load(memory_order_relaxed), b = s.x.load(memory_order_relaxed);
                             s.r2 = 10 * a + b;
                         });
    EXPECT_EQ(seen, (pairs{{0, 0}, {0, 1}, {0, 2}, {0, 11}, {0, 12}, {0, 22}}));
}

TEST(Memory, AReadModifyWriteReadsTheLastStore) {
    EXPECT_EQ(outcomes([](auto& s) { s.r1 = s.x.fetch_add(1, memory_order_relaxed); },
                       [](auto& s) { s.r2 = s.x.fetch_add(1, memory_order_relaxed); }),
              (pairs{{0, 1}, {1, 0}}));
}

// WK6 counts on it: after 2 us of PAUSE every store is visible.
TEST(Memory, StoreBuffersDrain) {
    auto run = [](int pauses) {
        return outcomes(
            [](auto& s) { s.x.store(1, memory_order_relaxed), s.y.store(1, memory_order_relaxed), s.r1 = 0; },
            [=](auto& s) {
                if (!s.y.load(memory_order_relaxed)) return;
                for (int i = 0; i < pauses; i++) rt0::arch::cpu_relax();
                s.r2 = s.x.load(memory_order_relaxed);
            });
    };
    EXPECT_TRUE(run(10).contains({0, 0}));
    EXPECT_FALSE(run(100).contains({0, 0}));
}

TEST(Memory, ADataRaceIsAFailure) {
    struct state {
        atomic<int> flag{0};
        model::var<int> data{0};
    };
    for (auto order : {memory_order_relaxed, memory_order_release}) {
        std::string f = first_failure({}, [=](world& w) {
            auto s = std::make_shared<state>();
            w.thread([=] { s->data.set(1), s->flag.store(1, order); });
            w.thread([=] {
                if (s->flag.load(memory_order_acquire)) MODEL_CHECK(s->data.get() == 1);
            });
        });
        EXPECT_EQ(f.find("data race") != f.npos, order == memory_order_relaxed) << f;
    }
}

// ---- blocking

TEST(Engine, ADeadlockIsAFailure) {
    std::string f = first_failure({}, [](world& w) {
        struct locks {
            mutex l[2];
        };
        auto s = std::make_shared<locks>();
        for (int i : {0, 1})
            w.thread([=] {
                guard a(s->l[i]);
                guard b(s->l[1 - i]);
            });
    });
    EXPECT_NE(f.find("deadlock: asleep for good: T0 T1"), f.npos) << f;
}

TEST(Engine, ALostWakeUpIsADeadlock) {
    for (bool right : {false, true}) {
        std::string f = first_failure({}, [=](world& w) {
            auto word = std::make_shared<atomic<std::uint32_t>>(0u);
            w.thread([=] {  // wrong: sleeps on what it has not compared
                std::uint32_t v;
                while ((v = word->load(memory_order_acquire)) == 0)
                    rt0::kernel::futex_wait(word.get(), right ? v : word->load(), -1);
            });
            w.thread([=] {
                word->store(1, memory_order_release);
                rt0::kernel::futex_wake(word.get(), 1);
            });
        });
        EXPECT_EQ(f.find("deadlock") == f.npos, right) << f;
    }
}

TEST(Engine, LastingThreadsMaySleepForGood) {
    EXPECT_EQ("", first_failure({}, [](world& w) {
        auto n = std::make_shared<note>();
        w.lasting([=] { notesleep(n.get()); });
        w.thread([] {});
    }));
}

TEST(Engine, AnEndlessLoopIsAFailure) {
    options o;
    o.steps = 1000;
    std::string f = first_failure(o, [](world& w) {
        auto word = std::make_shared<atomic<int>>(0);
        w.thread([=] {
            while (word->load(memory_order_relaxed) == 0) rt0::arch::cpu_relax();
        });
    });
    EXPECT_NE(f.find("no end in sight"), f.npos) << f;
}

TEST(Engine, TimedWaitsEndEarlyOrInTime) {
    std::set<bool> woken;
    EXPECT_EQ("", first_failure({}, [&](world& w) {
        auto n = std::make_shared<note>();
        w.thread([=, &woken] {
            std::int64_t begin = rt0::kernel::nanotime();
            bool came = notetsleep(n.get(), 1'000'000);
            MODEL_CHECK(came || rt0::kernel::nanotime() >= begin + 1'000'000);
            woken.insert(came);
        });
        w.thread([=] { notewakeup(n.get()); });
    }));
    EXPECT_EQ(woken.size(), 2u);
}

// ---- schedules

TEST(Engine, AScheduleReplaysItsRun) {
    auto scenario = [](world& w) {
        auto x = std::make_shared<atomic<int>>(0);
        for (int i = 0; i < 2; i++)
            w.thread([=] {  // an increment that is none
                int v = x->load(memory_order_acquire);
                x->store(v + 1, memory_order_release);
            });
        w.after([=] { MODEL_CHECK(x->load() == 2); });
    };
    std::string f = first_failure({}, scenario);
    ASSERT_NE(f.find("not so: x->load() == 2"), f.npos) << f;
    std::string schedule = f.substr(f.rfind('=') + 1);
    setenv("RT_MODEL_SCHEDULE", schedule.c_str(), 1);
    std::string again = first_failure({}, scenario);
    setenv("RT_MODEL_SCHEDULE", "0", 1);
    std::string straight = first_failure({}, scenario);
    unsetenv("RT_MODEL_SCHEDULE");
    EXPECT_EQ(again.substr(0, again.find('\n')), f.substr(0, f.find('\n')));
    EXPECT_EQ(again.substr(again.rfind('=') + 1), schedule);
    EXPECT_EQ(straight, "") << "one thread after the other";
}

TEST(Engine, SchedulesAreRead) {
    for (const char* text : {"0", "1", "0x3.1", "2.0x12.1x2.3"}) EXPECT_EQ(model::to_string(model::parse_schedule(text)), text);
    EXPECT_EQ(model::parse_schedule("1.0x2.2"), (model::schedule{1, 0, 0, 2}));
    EXPECT_EQ(model::to_string({1, 0, 0}), "1") << "zeros at the end go without saying";
}

// Two threads of three steps each can be interleaved in 20 ways, and depth-first search tries each.
TEST(Engine, DepthFirstSearchIsExhaustive) {
    std::set<std::string> orders;
    options o;
    o.dfs = {100, 0, 0, 1000};
    o.evenly = false;
    o.random_runs = o.pct_runs = 0;
    EXPECT_EQ("", first_failure(o, [&](world& w) {
        auto order = std::make_shared<std::string>();
        auto x = std::make_shared<atomic<int>>(0);
        for (char c : {'a', 'b'})
            w.thread([=] {
                for (int i = 0; i < 3; i++) x->fetch_add(1), *order += c;
            });
        w.after([=, &orders] { orders.insert(*order); });
    }));
    EXPECT_EQ(orders.size(), 20u);
}

// All that differs from the dull run in up to three choices: each once.
TEST(Engine, EvenlyGoesThroughEachLevel) {
    const model::bounds b{1, 0, 0, 0};
    auto s = model::evenly(1, b, 1000);
    std::set<model::schedule> seen;
    unsigned runs = 0;
    do {
        model::schedule now;
        s->begin();
        for (int i = 0; i < 6; i++) now.push_back(static_cast<std::uint8_t>(s->choose(model::kind::go_on, 3, 0, nullptr)));
        seen.insert(now);
        runs++;
    } while (s->next());
    EXPECT_EQ(runs, 1u + 6 * 2 + 15 * 4 + 20 * 8);
    EXPECT_EQ(seen.size(), runs);
    EXPECT_EQ(s->covered(), ", bound 1: 12 of 12 points, bound 2: 60 of 60 points, bound 3: 160 of 160 points");
}

// However few they are, they lie over the whole length.
TEST(Engine, EvenlyIsEven) {
    for (std::uint64_t seed : {1, 2, 3}) {
        auto s = model::evenly(seed, {1, 0, 0, 0}, 101);
        std::set<int> tenths;
        do {
            s->begin();
            for (int i = 0; i < 10'000; i++)
                if (s->choose(model::kind::go_on, 2, 0, nullptr)) tenths.insert(i / 200);
        } while (s->next());
        EXPECT_EQ(tenths.size(), 50u) << "two runs in each fiftieth, on average";
        EXPECT_EQ(s->covered(), ", bound 1: 100 of 10000 points");
    }
}

// An increment that is none, at the very beginning of long runs of many threads: depth-first search spends all its runs
// on the order in which the last of them come.
TEST(Engine, AnEarlyPreemptionIsTried) {
    for (bool even : {false, true}) {
        options o;
        o.dfs = {1, 1, 0, 10'000};  // cluster.h's with()
        o.evenly = even;
        o.random_runs = o.pct_runs = 0;
        std::string f = first_failure(o, [](world& w) {
            struct state {
                atomic<int> x{0}, noise{0};
            };
            auto s = std::make_shared<state>();
            for (int i = 0; i < model::max_threads; i++)
                w.thread([=] {
                    int v = i < 2 ? s->x.load() : 0;
                    if (i < 2) s->x.store(v + 1);
                    for (int k = 0; k < 50; k++) s->noise.fetch_add(1, memory_order_relaxed);
                });
            w.after([=] { MODEL_CHECK(s->x.load() == 2); });
        });
        EXPECT_EQ(f.find("not so: s->x.load() == 2") != f.npos, even) << f;
    }
}

}  // namespace
