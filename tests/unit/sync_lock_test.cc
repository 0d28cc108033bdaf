// mutex and shared_mutex: every clause of their docstrings, on the runtime.  Nothing here
// depends on the number of Ps or on timing but for upper bounds no machine exceeds.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include <rt0/sync.h>

#include "tests/support/parked.h"

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;

namespace {

rt0::mutex global_mutex;
rt0::shared_mutex global_shared;
// Uses the globals before main: they are constant-initialised.
const bool used_before_main = [] {
    std::lock_guard a(global_mutex);
    std::shared_lock b(global_shared);
    return true;
}();

// Yields until cond() holds.  A test that hangs here has failed.
template <class F>
void await(F cond) {
    while (!cond()) tg::yield();
}

TEST(Mutex, IsConstantInitialisedAndSmall) {
    static constinit rt0::mutex m;
    static constinit rt0::shared_mutex s;
    EXPECT_TRUE(used_before_main);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
    EXPECT_TRUE(s.try_lock());
    s.unlock();
    EXPECT_LE(sizeof(rt0::mutex), 32u);
}

TEST(Mutex, TryLockSaysWhetherItIsFree) {
    rt0::mutex m;
    EXPECT_TRUE(m.try_lock());
    EXPECT_FALSE(m.try_lock());
    EXPECT_FALSE(m.try_lock_for(0ns));
    EXPECT_FALSE(m.try_lock_for(-5s));
    m.unlock();
    EXPECT_TRUE(m.try_lock_for(0ns));
    m.unlock();
}

TEST(Mutex, TimedLockGivesUpAndLeavesNoTrace) {
    rt0::mutex m;
    m.lock();
    auto t0 = std::chrono::steady_clock::now();
    EXPECT_FALSE(m.try_lock_for(3ms));
    EXPECT_GE(std::chrono::steady_clock::now() - t0, 3ms);
    m.unlock();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
}

TEST(Mutex, TimedLockIsLetInWhenItIsFreed) {
    rt0::mutex m;
    m.lock();
    std::atomic<int> got{-1};
    rt0::wait_group wg;
    wg.go([&] {
        got = m.try_lock_for(1h);
        if (got) m.unlock();
    });
    tg::sleep_for(2ms);
    m.unlock();
    wg.wait();
    EXPECT_EQ(got, 1);
}

TEST(Mutex, WorksWithAnEndlessTimeout) {
    rt0::mutex m;
    m.lock();
    rt0::wait_group wg;
    wg.go([&] {
        EXPECT_TRUE(m.try_lock_for(std::chrono::nanoseconds::max()));
        m.unlock();
    });
    tg::sleep_for(2ms);
    m.unlock();
    wg.wait();
}

TEST(Mutex, ExcludesAndLosesNothing) {
    constexpr int gs = 50, rounds = 2000;
    rt0::mutex m;
    long count = 0;
    int inside = 0, worst = 0;
    rt0::wait_group wg;
    for (int i = 0; i < gs; i++)
        wg.go([&, i] {
            for (int k = 0; k < rounds; k++) {
                std::lock_guard l(m);
                worst = std::max(worst, ++inside);
                count++;
                if ((k + i) % 97 == 0) tg::yield();
                --inside;
            }
        });
    wg.wait();
    EXPECT_EQ(count, long{gs} * rounds);
    EXPECT_EQ(worst, 1);
}

TEST(Mutex, MayBeUnlockedByAnotherGoroutine) {
    rt0::mutex m;
    m.lock();
    rt0::go([&] { m.unlock(); });
    m.lock();
    m.unlock();
}

// A goroutine that takes the lock again and again must not keep one out that waits.
TEST(Mutex, StarvesNobody) {
    rt0::mutex m;
    std::atomic<bool> stop{false};
    std::atomic<long> greedy{0};
    rt0::wait_group wg;
    for (int i = 0; i < 2; i++)
        wg.go([&] {
            while (!stop) {
                m.lock();
                for (int k = 0; k < 100; k++) greedy.fetch_add(1, std::memory_order_relaxed);
                m.unlock();
                if (greedy % 1000 == 0) tg::yield();  // one P without preemption must come round, too
            }
        });
    while (greedy == 0) tg::yield();  // new goroutines may have to wait for their first turn
    int turns = 0;
    for (; turns < 20; turns++) {
        tg::yield();
        std::lock_guard l(m);
    }
    stop = true;
    wg.wait();
    EXPECT_EQ(turns, 20);
}

// Whoever was let through last may free the lock while the unlocker is on its way out.
TEST(Mutex, MayBeDestroyedByWhoLocksLast) {
    for (int i = 0; i < 3000; i++) {
        struct shared {
            rt0::mutex m;
            int refs = 3;
        };
        auto* s = new shared;
        rt0::wait_group wg;
        auto drop = [s] {
            s->m.lock();
            bool last = --s->refs == 0;
            s->m.unlock();
            if (last) delete s;
        };
        wg.go(drop);
        wg.go(drop);
        drop();
        wg.wait();
    }
}

TEST(Mutex, ServesThreadsToo) {
    rt0::mutex m;
    long n = 0;
    rt0::wait_group wg;
    std::vector<std::thread> ts;
    for (int t = 0; t < 3; t++)
        ts.emplace_back([&] {
            for (int i = 0; i < 500; i++) {
                std::lock_guard l(m);
                n++;
            }
        });
    wg.go([&] {
        for (int i = 0; i < 500; i++) {
            std::lock_guard l(m);
            n++;
            if (i % 50 == 0) tg::yield();
        }
    });
    wg.wait();
    rt0::blocking([&] {
        for (auto& t : ts) t.join();
    });
    EXPECT_EQ(n, 2000);
}

TEST(SharedMutex, ManyReadersOrOneWriter) {
    rt0::shared_mutex m;
    m.lock_shared();
    EXPECT_TRUE(m.try_lock_shared());
    EXPECT_FALSE(m.try_lock());
    m.unlock_shared();
    m.unlock_shared();
    EXPECT_TRUE(m.try_lock());
    EXPECT_FALSE(m.try_lock_shared());
    EXPECT_FALSE(m.try_lock());
    m.unlock();
    EXPECT_TRUE(m.try_lock_for(0ns));
    m.unlock();
}

TEST(SharedMutex, AWaitingWriterHoldsNewReadersBack) {
    rt0::shared_mutex m;
    m.lock_shared();
    std::atomic<int> order{0};
    int writer_at = 0, reader_at = 0;
    rt0::wait_group wg;
    wg.go([&] {
        m.lock();
        writer_at = ++order;
        m.unlock();
    });
    // When the writer waits, new readers are refused.
    await([&] {
        if (!m.try_lock_shared()) return true;
        m.unlock_shared();
        return false;
    });
    wg.go([&] {
        m.lock_shared();
        reader_at = ++order;
        m.unlock_shared();
    });
    tg::sleep_for(2ms);
    EXPECT_EQ(order, 0);
    m.unlock_shared();
    wg.wait();
    EXPECT_EQ(writer_at, 1);
    EXPECT_EQ(reader_at, 2);
}

TEST(SharedMutex, ALeavingWriterLetsTheWaitingReadersInFirst) {
    rt0::shared_mutex m;
    m.lock();
    std::atomic<int> readers{0}, writers{0};
    std::atomic<std::uint64_t> id{0};
    rt0::wait_group wg;
    wg.go([&] {
        id = tg::id();
        m.lock();
        EXPECT_EQ(readers, 5);  // ML5: they were let in when the first writer left
        writers++;
        m.unlock();
    });
    await([&] { return testing_support::parked(id, rt0::runtime::wait_reason::rwmutex_lock); });
    for (int i = 0; i < 5; i++) {
        id = 0;
        wg.go([&] {
            id = tg::id();
            m.lock_shared();
            EXPECT_EQ(writers, 0);
            readers++;
            m.unlock_shared();
        });
        await([&] { return testing_support::parked(id, rt0::runtime::wait_reason::rwmutex_rlock); });
    }
    m.unlock();
    wg.wait();
    EXPECT_EQ(writers, 1);
}

TEST(SharedMutex, AWriterThatGivesUpLetsTheReadersIn) {
    rt0::shared_mutex m;
    m.lock_shared();
    rt0::wait_group wg;
    std::atomic<bool> in{false}, gave_up{false};
    for (auto patience = 20ms;; patience *= 2) {  // again where it gave up while we were away
        gave_up = false;
        wg.go([&, patience] {
            EXPECT_FALSE(m.try_lock_for(patience));
            gave_up = true;
        });
        bool waits = false;
        await([&] {
            waits = !m.try_lock_shared();
            if (!waits) m.unlock_shared();
            return waits || gave_up;
        });
        if (waits) break;
        wg.wait();
    }
    wg.go([&] {
        m.lock_shared();  // behind the writer; goes in when it gives up, we still hold ours
        in = true;
        m.unlock_shared();
    });
    wg.wait();
    EXPECT_TRUE(in);
    m.unlock_shared();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
}

TEST(SharedMutex, OracleOfExclusion) {
    rt0::shared_mutex m;
    std::atomic<int> readers{0}, writers{0}, bad{0};
    long written = 0;
    std::atomic<long> reads{0};
    rt0::wait_group wg;
    for (int i = 0; i < 20; i++)
        wg.go([&, i] {
            for (int k = 0; k < 500; k++) {
                if ((k + i) % 5 == 0) {
                    bool timed = k % 3 == 0;
                    if (timed ? !m.try_lock_for(10us) : (m.lock(), false)) continue;
                    if (writers++ != 0 || readers != 0) bad++;
                    written++;
                    if (k % 7 == 0) tg::yield();
                    writers--;
                    m.unlock();
                } else {
                    m.lock_shared();
                    readers++;
                    if (writers != 0) bad++;
                    if (k % 11 == 0) tg::yield();
                    reads++;
                    readers--;
                    m.unlock_shared();
                }
            }
        });
    wg.wait();
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(reads, 20 * 400);
    EXPECT_GT(written, 0);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
}

// Streams of readers, then of writers, that never leave a gap.
TEST(SharedMutex, StarvesNeither) {
    rt0::shared_mutex m;
    std::atomic<bool> stop{false};
    rt0::wait_group wg;
    for (int i = 0; i < 4; i++)
        wg.go([&] {
            while (!stop) {
                m.lock_shared();
                tg::yield();
                m.unlock_shared();
            }
        });
    for (int i = 0; i < 20; i++) {
        m.lock();
        tg::yield();
        m.unlock();
    }
    stop = true;
    wg.wait();
    stop = false;
    for (int i = 0; i < 4; i++)
        wg.go([&] {
            while (!stop) {
                m.lock();
                tg::yield();
                m.unlock();
            }
        });
    for (int i = 0; i < 20; i++) {
        m.lock_shared();
        tg::yield();
        m.unlock_shared();
    }
    stop = true;
    wg.wait();
}

}  // namespace
