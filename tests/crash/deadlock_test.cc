// "all goroutines are asleep", its wait reasons and traces; and the programs that only
// look like it, which must come out alive.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/child.h"
#include "tests/support/report.h"

using testing_support::child_result;
using testing_support::report;

namespace {

const std::string prog_file = "tests/crash/deadlock_prog.cc";
const std::string asleep = "fatal error: all goroutines are asleep - deadlock!";
const std::string nobody = "fatal error: no goroutines (main called this_goroutine::exit) - deadlock!";

child_result run(const std::string& how, const std::string& level = "", const std::string& debug = "") {
    return testing_support::run_child({testing_support::built_program("tests/crash/deadlock_prog"), how},
                                      {.limit_s = 60, .env = {{"RT0TRACEBACK", level}, {"RT0DEBUG", debug}}});
}
report expect_death(const child_result& r, const std::string& head) {
    report rep = testing_support::parse_report(r.err);
    EXPECT_EQ(rep.head, head) << r.summary();
    EXPECT_EQ(rep.error, "") << r.summary();
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(r.out, "") << r.summary();
    return rep;
}

struct shape {
    const char *how, *reason;
};
void PrintTo(const shape& s, std::ostream* out) { *out << s.how; }

class Deadlock : public testing::TestWithParam<shape> {};

TEST_P(Deadlock, IsReportedWithItsReason) {
    child_result r = run(GetParam().how);
    report rep = expect_death(r, asleep);
    ASSERT_EQ(rep.blocks.size(), 1u) << r.summary();
    EXPECT_EQ(rep.blocks[0].header, "goroutine 1 [" + std::string(GetParam().reason) + "]:") << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("main_main", prog_file)) << r.summary();
    EXPECT_EQ(rep.blocks[0].frames.back().function, "main_main()") << r.summary();
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Deadlock,
    testing::Values(shape{"recv", "chan receive"}, shape{"send", "chan send"},
                    shape{"recv_nil", "chan receive (nil chan)"}, shape{"send_nil", "chan send (nil chan)"},
                    shape{"select", "select"}, shape{"select_none", "select (no cases)"},
                    shape{"mutex", "sync.Mutex.Lock"}, shape{"rwmutex_lock", "sync.RWMutex.Lock"},
                    shape{"rwmutex_rlock", "sync.RWMutex.RLock"}, shape{"condition", "sync.Cond.Wait"},
                    shape{"wait_group", "sync.WaitGroup.Wait"}, shape{"semaphore", "semacquire"},
                    shape{"in_catch_block", "chan receive"}, shape{"locked", "chan receive, locked to thread"},
                    shape{"thread_came_and_went", "chan receive"}, shape{"thread_ends_last", "chan receive"},
                    shape{"unknown_thread_ends_last", "chan receive"}, shape{"timer_stopped", "chan receive"},
                    shape{"ticker_stopped", "chan receive"}, shape{"deadline_dropped", "chan receive"},
                    shape{"timeout_not_needed", "chan receive"}, shape{"latch", "semacquire"},
                    shape{"once", "semacquire"}, shape{"barrier", "semacquire"}),
    [](const auto& p) { return std::string(p.param.how); });

TEST(DeadlockOfMany, AllAreShownOnce) {
    child_result r = run("several");
    report rep = expect_death(r, asleep);
    ASSERT_EQ(rep.blocks.size(), 2u) << r.summary();
    EXPECT_EQ(rep.count("goroutine 1 [sync.Mutex.Lock]:"), 1) << r.summary();
    const auto* listener = rep.find("[chan receive, \"listener\"]:");
    ASSERT_NE(listener, nullptr) << r.summary();
    EXPECT_TRUE(listener->has("wait_for", prog_file)) << r.summary();
    EXPECT_NE(listener->created_by.find("several()"), std::string::npos) << r.summary();
    EXPECT_EQ(listener->created_in, "1");
}

TEST(DeadlockOfMany, MainWaitsForOneThatWaits) {
    for (const char* how : {"join", "nursery"}) {
        child_result r = run(how);
        report rep = expect_death(r, asleep);
        EXPECT_EQ(rep.blocks.size(), 2u) << r.summary();
        EXPECT_EQ(rep.count("goroutine 1 [sync.WaitGroup.Wait]:"), 1) << r.summary();
        EXPECT_EQ(rep.count("[chan receive]:"), 1) << r.summary();
    }
}

TEST(DeadlockOfMany, TwoThousand) {
    child_result r = run("many");
    report rep = expect_death(r, asleep);
    EXPECT_EQ(rep.count("[chan receive]:"), 2001) << rep.blocks.size();
}

TEST(DeadlockOfMany, SomeLocked) {
    child_result r = run("locked_among_others");
    report rep = expect_death(r, asleep);
    EXPECT_EQ(rep.count("[chan receive, locked to thread]:"), 3) << r.summary();
}

TEST(DeadlockOfMany, LevelNone) { EXPECT_EQ(run("several", "none").err, asleep + "\n"); }

TEST(DeadlockOfMany, MainIsGone) {
    child_result r = run("main_exits");
    EXPECT_EQ(expect_death(r, nobody).blocks.size(), 0u) << r.summary();
    r = run("main_exits_others_wait");
    report rep = expect_death(r, asleep);
    ASSERT_EQ(rep.blocks.size(), 1u) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("wait_for", prog_file)) << r.summary();
}

class Alive : public testing::TestWithParam<const char*> {};

TEST_P(Alive, IsNotReported) {
    child_result r = run(GetParam());
    EXPECT_EQ(r.err, "") << r.summary();
    EXPECT_EQ(r.out, "alive\n") << r.summary();
    EXPECT_EQ(r.status, 0) << r.summary();
}

INSTANTIATE_TEST_SUITE_P(Controls, Alive,
                         testing::Values("with_sleeper", "with_timed_receive", "with_timer_function", "with_ticker",
                                         "with_after", "with_select_after", "with_select_done",
                                         "with_stop_at_deadline", "with_thread", "with_thread_that_waits",
                                         "with_mutex", "with_rwmutex_lock", "with_rwmutex_rlock", "with_condition",
                                         "with_wait_group", "with_semaphore", "with_latch", "with_join", "with_sender",
                                         "with_recv_nil", "with_send_nil", "with_select_none", "with_one_detached",
                                         "with_select", "with_catch_block", "with_locked_among_others", "with_blocking",
                                         "with_main_in_blocking", "with_main_gone_and_sleeper",
                                         "with_main_gone_and_one_in_the_kernel", "with_locked_sleeper",
                                         "with_locked_in_blocking", "with_locked_in_the_kernel",
                                         "with_one_in_the_kernel", "with_one_that_loops"),
                         [](const auto& p) { return std::string(p.param); });

// The thread that writes dumps on demand is the runtime's own: it neither hides an end nor counts as one that waits.
TEST(DumpThread, CountsForNothing) {
    for (const char* how : {"recv", "thread_came_and_went", "timer_stopped"})
        expect_death(run(how, "", "dumpsignal=1"), asleep);
    for (const char* how : {"with_sleeper", "with_blocking", "with_thread", "with_locked_in_the_kernel"}) {
        child_result r = run(how, "", "dumpsignal=1");
        EXPECT_EQ(r.err, "") << r.summary();
        EXPECT_EQ(r.out, "alive\n") << r.summary();
    }
}

TEST(Misuse, TextsAreGos) {
    struct {
        const char *how, *head;
    } const cases[] = {
        {"unlock_mutex", "fatal error: sync: unlock of unlocked mutex"},
        {"unlock_rwmutex", "fatal error: sync: Unlock of unlocked RWMutex"},
        {"runlock_rwmutex", "fatal error: sync: RUnlock of unlocked RWMutex"},
        {"negative_wait_group", "panic: sync: negative WaitGroup counter"},
    };
    for (auto& c : cases) {
        child_result r = run(c.how);
        report rep = expect_death(r, c.head);
        ASSERT_EQ(rep.blocks.size(), 1u) << r.summary();
        EXPECT_EQ(rep.blocks[0].header, "goroutine 1 [running]:");
        EXPECT_TRUE(rep.blocks[0].has("main_main", prog_file)) << r.summary();
    }
}

TEST(Misuse, OnAThread) {
    child_result r = run("unlock_on_thread");
    report rep = expect_death(r, "fatal error: sync: unlock of unlocked mutex");
    ASSERT_GE(rep.blocks.size(), 1u) << r.summary();
    EXPECT_TRUE(rep.blocks[0].has("rt0::mutex::unlock", "rt0/mutex.h")) << r.summary();
}

}  // namespace
