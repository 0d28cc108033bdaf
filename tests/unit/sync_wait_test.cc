// condition_variable, wait_group, once, semaphore.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <vector>

#include <rt0/sync.h>

#include "tests/support/parked.h"

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;

namespace {

constinit rt0::condition_variable global_cv;
constinit rt0::wait_group global_wg;
constinit rt0::once global_once;
constinit rt0::semaphore global_sema(1);
constinit rt0::latch global_latch(1);
constinit rt0::barrier<> global_barrier(1);
int once_runs = 0;
const bool used_before_main = [] {
    global_cv.notify_all();
    global_wg.add();
    global_wg.done();
    global_wg.wait();
    global_once.call([] { once_runs++; });
    global_sema.acquire();
    global_sema.release();
    global_latch.count_down();
    global_barrier.arrive_and_wait();
    return true;
}();

template <class F>
void await(F cond) {
    while (!cond()) tg::yield();
}

TEST(Globals, WorkBeforeMain) {
    EXPECT_TRUE(used_before_main);
    global_once.call([] { once_runs++; });
    EXPECT_EQ(once_runs, 1);
    EXPECT_TRUE(global_latch.try_wait());
}

// ---- condition_variable

TEST(CondVar, WaitReleasesTheMutexAndTakesItAgain) {
    rt0::mutex m;
    rt0::condition_variable cv;
    bool ready = false, done = false;
    rt0::wait_group wg;
    wg.go([&] {
        std::unique_lock l(m);
        cv.wait(l, [&] { return ready; });
        EXPECT_TRUE(l.owns_lock());
        EXPECT_FALSE(m.try_lock());
        done = true;
    });
    {
        std::lock_guard l(m);
        ready = true;
    }
    cv.notify_one();
    wg.wait();
    EXPECT_TRUE(done);
}

TEST(CondVar, NotifyOneWakesTheOldestAndOnlyOne) {
    rt0::mutex m;
    rt0::condition_variable cv;
    std::vector<int> woken;
    int waiting = 0;
    rt0::wait_group wg;
    for (int i = 0; i < 5; i++) {
        wg.go([&, i] {
            std::unique_lock l(m);
            waiting++;
            cv.wait(l);
            woken.push_back(i);
        });
        await([&] {
            std::lock_guard l(m);
            return waiting == i + 1;
        });
    }
    for (std::size_t i = 0; i < 5; i++) {
        cv.notify_one();
        await([&] {
            std::lock_guard l(m);
            return woken.size() == i + 1;
        });
    }
    wg.wait();
    EXPECT_EQ(woken, (std::vector{0, 1, 2, 3, 4}));
    cv.notify_one();  // nobody there: no memory of it
    cv.notify_all();
}

TEST(CondVar, NotifyAllWakesAll) {
    rt0::mutex m;
    rt0::condition_variable cv;
    int waiting = 0, woken = 0;
    rt0::wait_group wg;
    for (int i = 0; i < 100; i++)
        wg.go([&] {
            std::unique_lock l(m);
            waiting++;
            cv.wait(l);
            woken++;
        });
    await([&] {
        std::lock_guard l(m);
        return waiting == 100;
    });
    cv.notify_all();
    wg.wait();
    EXPECT_EQ(woken, 100);
}

TEST(CondVar, TimedWaits) {
    rt0::mutex m;
    rt0::condition_variable cv;
    std::unique_lock l(m);
    EXPECT_EQ(cv.wait_for(l, 2ms), std::cv_status::timeout);
    EXPECT_EQ(cv.wait_for(l, 0ms), std::cv_status::timeout);
    EXPECT_EQ(cv.wait_for(l, -1h), std::cv_status::timeout);
    EXPECT_FALSE(cv.wait_for(l, 2ms, [] { return false; }));
    EXPECT_TRUE(cv.wait_for(l, 0ms, [] { return true; }));
    EXPECT_EQ(cv.wait_until(l, std::chrono::steady_clock::now() + 1ms), std::cv_status::timeout);
    EXPECT_FALSE(cv.wait_until(l, std::chrono::system_clock::now() + 1ms, [] { return false; }));
    EXPECT_TRUE(l.owns_lock());
    bool go_on = false;
    rt0::wait_group wg;
    wg.go([&] {
        std::lock_guard g(m);
        go_on = true;
        cv.notify_all();
    });
    EXPECT_TRUE(cv.wait_for(l, 1h, [&] { return go_on; }));
    l.unlock();
    wg.wait();
    l.lock();
    go_on = false;
    wg.go([&] {
        std::lock_guard g(m);
        cv.notify_all();
    });
    // The end of time is no deadline, not one that has passed.
    EXPECT_EQ(cv.wait_for(l, std::chrono::nanoseconds::max()), std::cv_status::no_timeout);
    wg.go([&] {
        std::lock_guard g(m);
        go_on = true;
        cv.notify_all();
    });
    EXPECT_TRUE(cv.wait_for(l, std::chrono::nanoseconds::max(), [&] { return go_on; }));
    l.unlock();
    wg.wait();
}

// All waiters notified: the variable may go although they have not returned (std's rule).
TEST(CondVar, MayBeDestroyedOnceAllAreNotified) {
    for (int i = 0; i < 2000; i++) {
        rt0::mutex m;
        auto cv = std::make_unique<rt0::condition_variable>();
        int waiting = 0;
        rt0::wait_group wg;
        for (int k = 0; k < 3; k++)
            wg.go([&, k] {
                std::unique_lock l(m);
                waiting++;
                if (k == 0)
                    cv->wait(l);
                else
                    cv->wait_for(l, std::chrono::microseconds(i % 60));
            });
        for (;;) {
            std::lock_guard l(m);
            if (waiting < 3) {
                m.unlock();
                tg::yield();
                m.lock();
                continue;
            }
            cv->notify_all();
            cv.reset();
            break;
        }
        wg.wait();
    }
}

// ---- wait_group

TEST(WaitGroup, WaitsForZero) {
    rt0::wait_group wg;
    wg.wait();
    std::atomic<int> n{0};
    for (int i = 0; i < 100; i++)
        wg.go([&] {
            tg::yield();
            n++;
        });
    wg.wait();
    EXPECT_EQ(n, 100);
    wg.add(3);
    wg.add(-2);
    wg.done();
    wg.wait();
}

TEST(WaitGroup, ReleasesAllWaitersAndIsReusable) {
    rt0::wait_group wg, waiters;
    for (int round = 0; round < 50; round++) {
        wg.add(1);
        std::atomic<int> through{0};
        for (int i = 0; i < 10; i++)
            waiters.go([&] {
                wg.wait();
                through++;
            });
        tg::yield();
        wg.done();
        waiters.wait();
        EXPECT_EQ(through, 10);
    }
}

TEST(WaitGroup, GoLeavesTheCounterAloneWhenItThrows) {
    rt0::wait_group wg;
    struct bad {
        bad() = default;
        bad(const bad&) { throw std::runtime_error("copy"); }
        void operator()() {}
    } b;
    EXPECT_THROW(wg.go(b), std::runtime_error);
    wg.wait();
}

TEST(WaitGroup, CallableIsGoneBeforeWaitReturns) {
    for (int i = 0; i < 200; i++) {
        rt0::wait_group wg;
        auto p = std::make_shared<int>(0);
        wg.go([p] { tg::yield(); });
        wg.wait();
        EXPECT_EQ(p.use_count(), 1);
    }
}

TEST(WaitGroup, CountsAGoroutineThatExits) {
    rt0::wait_group wg;
    wg.go([] { tg::exit(); });
    wg.wait();
}

// ---- once

TEST(Once, RunsOnceAndOthersWait) {
    rt0::once o;
    std::atomic<int> runs{0}, after{0};
    bool finished = false;
    rt0::wait_group wg;
    for (int i = 0; i < 50; i++)
        wg.go([&] {
            o.call([&] {
                runs++;
                tg::sleep_for(2ms);
                finished = true;
            });
            EXPECT_TRUE(finished);
            after++;
        });
    wg.wait();
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(after, 50);
}

TEST(Once, AThrowingFunctionCountsAsDone) {
    rt0::once o;
    EXPECT_THROW(o.call([] { throw 7; }), int);
    bool again = false;
    o.call([&] { again = true; });
    EXPECT_FALSE(again);
}

// ---- semaphore

TEST(Semaphore, CountsPermits) {
    rt0::semaphore s(2);
    s.acquire();
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
    EXPECT_FALSE(s.acquire_for(0ns));
    EXPECT_FALSE(s.acquire_for(2ms));
    s.release(3);
    s.release(0);
    EXPECT_TRUE(s.acquire_for(-1s));
    EXPECT_TRUE(s.try_acquire());
    EXPECT_TRUE(s.acquire_for(1h));
    EXPECT_FALSE(s.try_acquire());
}

TEST(Semaphore, IsFifoAndCannotBeOvertaken) {
    rt0::semaphore s(0);
    rt0::mutex m;
    std::vector<int> order;
    rt0::wait_group wg;
    for (int i = 0; i < 8; i++) {
        std::atomic<std::uint64_t> id{0};
        wg.go([&, i] {
            id = tg::id();
            s.acquire();
            std::lock_guard l(m);
            order.push_back(i);
        });
        await([&] { return testing_support::parked(id, rt0::runtime::wait_reason::semacquire); });
    }
    for (std::size_t i = 0; i < 8; i++) {
        s.release();
        EXPECT_FALSE(s.try_acquire());  // it went to the first in line
        await([&] {
            std::lock_guard l(m);
            return order.size() == i + 1;
        });
    }
    wg.wait();
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Semaphore, ReleaseOfManyServesTheQueueAndKeepsTheRest) {
    rt0::semaphore s(0);
    std::atomic<int> got{0}, about{0};
    rt0::wait_group wg;
    for (int i = 0; i < 3; i++)
        wg.go([&] {
            about++;
            s.acquire();
            got++;
        });
    await([&] { return about == 3; });
    tg::sleep_for(1ms);
    s.release(5);
    wg.wait();
    EXPECT_EQ(got, 3);
    EXPECT_TRUE(s.try_acquire());
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
}

TEST(Semaphore, RefusesAbsurdCounts) {
    EXPECT_THROW(rt0::semaphore(-1), std::invalid_argument);
    EXPECT_THROW(rt0::semaphore{std::numeric_limits<std::ptrdiff_t>::max()}, std::invalid_argument);
    rt0::semaphore s(rt0::semaphore::max());
    EXPECT_THROW(s.release(), std::invalid_argument);
    EXPECT_THROW(s.release(-1), std::invalid_argument);
    s.release(0);
    s.acquire();
    s.release();
    EXPECT_TRUE(s.try_acquire());
}

TEST(Semaphore, MayBeDestroyedByWhoAcquires) {
    for (int i = 0; i < 3000; i++) {
        auto* s = new rt0::semaphore(0);
        rt0::go([s] { s->release(); });
        s->acquire();
        delete s;
    }
}

}  // namespace
