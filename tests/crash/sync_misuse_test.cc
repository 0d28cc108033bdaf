// Misuse of the primitives: exact first line on stderr, status 2.  Each case is a child,
// this very program with RT0_TEST_MISUSE set.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include <rt0/sync.h>

#include "tests/support/child.h"

namespace {

struct misuse {
    const char* name;
    void (*run)();
    const char* first_line;
};

const std::vector<misuse> cases = {
    {"mutex", [] { rt0::mutex().unlock(); }, "fatal error: sync: unlock of unlocked mutex"},
    {"mutex_twice",
     [] {
         rt0::mutex m;
         m.lock();
         m.unlock();
         m.unlock();
     },
     "fatal error: sync: unlock of unlocked mutex"},
    {"rw_unlock", [] { rt0::shared_mutex().unlock(); }, "fatal error: sync: Unlock of unlocked RWMutex"},
    {"rw_unlock_by_reader",
     [] {
         rt0::shared_mutex m;
         m.lock_shared();
         m.unlock();
     },
     "fatal error: sync: Unlock of unlocked RWMutex"},
    {"rw_runlock", [] { rt0::shared_mutex().unlock_shared(); }, "fatal error: sync: RUnlock of unlocked RWMutex"},
    {"rw_runlock_by_writer",
     [] {
         rt0::shared_mutex m;
         m.lock();
         m.unlock_shared();
     },
     "fatal error: sync: RUnlock of unlocked RWMutex"},
    {"group_done", [] { rt0::wait_group().done(); }, "panic: sync: negative WaitGroup counter"},
    {"group_add",
     [] {
         rt0::wait_group wg;
         wg.add(2);
         wg.add(-3);
     },
     "panic: sync: negative WaitGroup counter"},
    {"group_overflow",
     [] {
         rt0::wait_group wg;
         wg.add(0x7fffffff);
         wg.add(1);
     },
     "panic: sync: negative WaitGroup counter"},
    {"deadlock",
     [] {
         rt0::mutex m;
         m.lock();
         m.lock();
     },
     "fatal error: all goroutines are asleep - deadlock!"},
};

class Misuse : public testing::TestWithParam<misuse> {};

TEST_P(Misuse, DiesWithGosText) {
    if (const char* which = std::getenv("RT0_TEST_MISUSE")) {
        ASSERT_STREQ(which, GetParam().name);
        GetParam().run();
        return;  // reached: the child ends with status 0 or 1, and the parent says so
    }
    testing_support::child_result r;
    rt0::blocking([&] {
        r = testing_support::run_child(
            {testing_support::self_path(), "--gtest_filter=*/" + std::string(GetParam().name)},
            {.limit_s = 60, .env = {{"RT0_TEST_MISUSE", GetParam().name}, {"RT0TRACEBACK", "none"}}});
    });
    EXPECT_EQ(r.status, 2) << r.summary();
    EXPECT_EQ(r.err.substr(0, r.err.find('\n')), GetParam().first_line) << r.summary();
}

INSTANTIATE_TEST_SUITE_P(Sync, Misuse, testing::ValuesIn(cases),
                         [](const auto& p) { return std::string(p.param.name); });

// What the reports say a goroutine waits for.
TEST(WaitReasons, StandInTheDump) {
    rt0::mutex m;
    rt0::shared_mutex rw;
    rt0::condition_variable cv;
    rt0::wait_group wg, ends;
    rt0::semaphore s(0);
    m.lock();
    rw.lock();
    wg.add();
    ends.go([&] { std::lock_guard l(m); });
    ends.go([&] { std::lock_guard l(rw); });
    ends.go([&] { std::shared_lock l(rw); });
    ends.go([&] {
        rt0::mutex own;
        std::unique_lock l(own);
        cv.wait(l);
    });
    ends.go([&] { wg.wait(); });
    ends.go([&] { s.acquire(); });
    for (const char* reason : {"[sync.Mutex.Lock]", "[sync.RWMutex.Lock]", "[sync.RWMutex.RLock]", "[sync.Cond.Wait]",
                               "[sync.WaitGroup.Wait]", "[semacquire]"}) {
        std::string dump;
        for (int i = 0; i < 1000 && (dump = rt0::stack_dump()).find(reason) == std::string::npos; i++)
            rt0::this_goroutine::sleep_for(std::chrono::milliseconds(1));
        EXPECT_NE(dump.find(reason), std::string::npos) << reason << "\n" << dump;
    }
    m.unlock();
    rw.unlock();
    cv.notify_all();
    wg.done();
    s.release();
    ends.wait();
}

}  // namespace
