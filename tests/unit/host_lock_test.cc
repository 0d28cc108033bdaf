// futex, mutex, spin_mutex and note, on plain threads.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/lock.h"
#include "base/mcore.h"
#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/inject.h"
#include "tests/support/kthreads.h"

using namespace rt0;
using namespace rt0::runtime;

namespace {

constexpr std::int64_t ms = 1'000'000;

struct Lock : testing::Test {
    void SetUp() override { ncpu = static_cast<int>(std::thread::hardware_concurrency()); }
    void TearDown() override { kernel::inject_off(); }
};
using Futex = Lock;
using Note = Lock;
using LockDeathTest = Lock;

TEST_F(Futex, Results) {
    std::atomic<std::uint32_t> w{1};
    EXPECT_EQ(kernel::futex_wait(&w, 2, -1), -EAGAIN);
    EXPECT_EQ(kernel::futex_wait(&w, 1, 0), -ETIMEDOUT);
    EXPECT_EQ(kernel::futex_wait_until(&w, 1, 0), -ETIMEDOUT);
    EXPECT_EQ(kernel::futex_wait_until(&w, 1, -5), -ETIMEDOUT);
    EXPECT_EQ(kernel::futex_wake(&w, 1), 0);
    std::int64_t t = kernel::nanotime();
    EXPECT_EQ(kernel::futex_wait(&w, 1, 2 * ms), -ETIMEDOUT);
    EXPECT_GE(kernel::nanotime() - t, 2 * ms);
    t = kernel::nanotime() + 2 * ms;
    EXPECT_EQ(kernel::futex_wait_until(&w, 1, t), -ETIMEDOUT);
    EXPECT_GE(kernel::nanotime(), t);
    EXPECT_EQ(kernel::futex_wait(reinterpret_cast<std::atomic<std::uint32_t>*>(64), 1, 0), -EFAULT);
}

TEST_F(Futex, WakeCountsSleepers) {
    std::atomic<std::uint32_t> w{0};
    std::vector<std::thread> ts;
    for (int i = 0; i < 3; i++)
        ts.emplace_back([&] {
            while (w.load() == 0) kernel::futex_wait(&w, 0, -1);
        });
    int woken = 0;
    while (woken < 2) woken += kernel::futex_wake(&w, 1);  // each comes back to sleep
    w = 1;
    kernel::futex_wake(&w, 10);
    for (auto& t : ts) t.join();
}

TEST_F(Futex, ErrnoIsLeftAlone) {
    std::atomic<std::uint32_t> w{1};
    errno = 4242;
    kernel::futex_wait(&w, 2, -1);
    kernel::futex_wait(&w, 1, 0);
    kernel::usleep(1);
    EXPECT_EQ(errno, 4242);
}

// Threads that all add to one plain counter; `hold` work inside the lock.  spin_mutex has no try_lock.
template <class M>
void count_under(M& m, int threads, int rounds, int hold) {
    long counter = 0;
    std::vector<std::thread> ts;
    for (int i = 0; i < threads; i++)
        ts.emplace_back([&] {
            for (int k = 0; k < rounds; k++) {
                if constexpr (std::is_same_v<M, mutex>) {
                    if (k % 16 != 0) m.lock();
                    else
                        while (!m.try_lock()) kernel::osyield();
                } else {
                    m.lock();
                }
                long seen = counter;
                for (int h = 0; h < hold; h++) asm volatile("");
                counter = seen + 1;
                m.unlock();
            }
        });
    for (auto& t : ts) t.join();
    EXPECT_EQ(counter, long{threads} * rounds);
    EXPECT_FALSE(m.is_locked());
}

TEST_F(Lock, CountsShortSections) {
    mutex m;
    count_under(m, 4, 100'000, 0);
}
TEST_F(Lock, CountsLongSections) {
    mutex m;
    count_under(m, 8, 1'000, 5'000);
}
TEST_F(Lock, CountsWithoutSpinning) {
    ncpu = 1;
    mutex m;
    count_under(m, 4, 20'000, 100);
}
TEST_F(Lock, SurvivesInterruptedAndSpuriousSleeps) {
    mutex m;
    kernel::inject_fail(kernel::inject::futex_wait, 1, EINTR, -1);
    count_under(m, 4, 2'000, 1'000);
}

TEST_F(Lock, SleeperIsWoken) {
    // The holder lets go only when the other is known to sleep or to be about to (LK1).
    for (int i = 0; i < 200; i++) {
        mutex m;
        std::atomic<int> got{0};
        m.lock();
        std::thread t([&] {
            m.lock();
            got = 1;
            m.unlock();
        });
        if (i % 2) kernel::usleep(200);
        m.unlock();
        t.join();
        EXPECT_EQ(got, 1);
    }
}

TEST_F(Lock, SpinMutexCountsShortSections) {
    spin_mutex m(lock_rank::none);
    count_under(m, 4, 100'000, 0);
}
TEST_F(Lock, SpinMutexCountsLongSections) {
    spin_mutex m(lock_rank::none);
    count_under(m, 8, 1'000, 5'000);
}
TEST_F(Lock, SpinMutexCountsWithoutSpinning) {
    ncpu = 1;
    spin_mutex m(lock_rank::none);
    count_under(m, 4, 20'000, 100);
}

// LK5: who waits for a holder that is away does not keep a processor busy.
TEST_F(Lock, SpinMutexNapsWhileTheHolderIsAway) {
    spin_mutex m(lock_rank::none);
    m.lock();
    double waited_ns = 0;
    std::thread t([&] {
        m.lock();
        m.unlock();
        timespec own{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
        waited_ns = static_cast<double>(own.tv_sec) * 1e9 + static_cast<double>(own.tv_nsec);
    });
    std::int64_t begin = kernel::nanotime();
    kernel::usleep(300'000);
    m.unlock();
    double away_ns = static_cast<double>(kernel::nanotime() - begin);
    t.join();
    EXPECT_LT(waited_ns, away_ns / 2) << "a spinner would have used all of it";
}

// Two sleep on the lock; the one that is woken first must wake the other (LK2).
TEST_F(Lock, TheWokenWakesTheNext) {
    if (!test::sleep_is_visible()) GTEST_SKIP() << "the kernel does not show system calls";
    alarm(60);  // a lost wake-up ends the test
    for (int i = 0; i < 50; i++) {
        mutex m;
        std::atomic<int> tid[2] = {0, 0};
        m.lock();
        auto sleeper = [&](int k) {
            tid[k] = ::gettid();
            m.lock();
            m.unlock();
        };
        std::thread a(sleeper, 0), b(sleeper, 1);
        while (!test::sleeps_on(tid[0], &m) || !test::sleeps_on(tid[1], &m)) kernel::osyield();
        m.unlock();
        a.join();
        b.join();
        EXPECT_FALSE(m.is_locked());
    }
    alarm(0);
}

TEST_F(Note, EarlyWake) {
    note n;
    noteclear(&n);
    notewakeup(&n);
    notesleep(&n);
    EXPECT_TRUE(notetsleep(&n, 0));
    noteclear(&n);
    EXPECT_FALSE(notetsleep(&n, 0));
}

TEST_F(Note, TimesOut) {
    note n;
    noteclear(&n);
    std::int64_t t = kernel::nanotime();
    EXPECT_FALSE(notetsleep(&n, 3 * ms));
    EXPECT_GE(kernel::nanotime() - t, 3 * ms);
    notewakeup(&n);
    EXPECT_TRUE(notetsleep(&n, INT64_MAX));  // a deadline past the end of time
    EXPECT_TRUE(notetsleep(&n, -1));
}

TEST_F(Note, PingPong) {
    note a, b;
    int turn = 0;  // plain: the notes order it
    constexpr int rounds = 5'000;
    std::thread t([&] {
        for (int i = 0; i < rounds; i++) {
            if (i % 2) notesleep(&a);
            else
                while (!notetsleep(&a, ms)) {
                }
            noteclear(&a);
            turn++;
            notewakeup(&b);
        }
    });
    for (int i = 0; i < rounds; i++) {
        notewakeup(&a);
        notesleep(&b);
        noteclear(&b);
        EXPECT_EQ(turn, i + 1);
    }
    t.join();
}

// Signals rain on a sleeper; it must not return before the wake-up (NT2).
void storm(bool timed) {
    struct sigaction sa = {};
    sa.sa_handler = [](int) {};  // without SA_RESTART: the sleep ends in EINTR
    sigaction(SIGUSR1, &sa, nullptr);
    note n;
    noteclear(&n);
    std::atomic<bool> woken{false}, early{false}, back{false};
    std::thread t([&] {
        if (timed) EXPECT_TRUE(notetsleep(&n, 60'000 * ms));
        else notesleep(&n);
        early = !woken;
        back = true;
    });
    for (int i = 0; i < 2'000; i++) {
        ASSERT_EQ(pthread_kill(t.native_handle(), SIGUSR1), 0);
        kernel::futex_wake(&n.key, 1);  // and spurious wakes
    }
    EXPECT_FALSE(back);
    woken = true;
    notewakeup(&n);
    t.join();
    EXPECT_FALSE(early);
}
TEST_F(Note, SignalStorm) { storm(false); }
TEST_F(Note, SignalStormTimed) { storm(true); }

TEST_F(LockDeathTest, SecondWakeupDies) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            note n;
            notewakeup(&n);
            notewakeup(&n);
        },
        "note already woken");
}

TEST_F(LockDeathTest, BrokenFutexDies) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            kernel::inject_fail(kernel::inject::futex_wait, 1, ENOSYS);
            note n;
            notesleep(&n);
        },
        "futex wait failed");
    EXPECT_DEATH(
        {
            kernel::inject_fail(kernel::inject::futex_wake, 1, EPERM);
            note n;
            notewakeup(&n);
        },
        "futex wake failed");
}

#ifdef RT0_DEBUG
TEST_F(Lock, OrderAccepted) {
    mutex a(lock_rank::timers), b(lock_rank::sched), c(lock_rank::none);
    for (int i = 0; i < 2; i++) {
        guard x(a), y(c), z(b);
        mutex d(lock_rank::heap);
        EXPECT_TRUE(d.try_lock());
        d.unlock();
    }
    std::vector<std::unique_ptr<spin_mutex>> channels;  // a select may hold as many channels as it likes
    for (int i = 0; i < 300; i++) channels.push_back(std::make_unique<spin_mutex>(lock_rank::hchan));
    std::sort(channels.begin(), channels.end());  // by address
    for (auto& m : channels) m->lock();
    for (auto& m : channels) m->unlock();
    guard again(a);
}

TEST_F(LockDeathTest, OrderViolated) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            mutex a(lock_rank::timers);
            mutex b(lock_rank::sched);
            b.lock();
            a.lock();
        },
        "lock order: timers wanted while holding sched");
    EXPECT_DEATH(
        {
            mutex a(lock_rank::allg);
            mutex b(lock_rank::allg);
            b.lock();
            a.lock();
        },
        "lock order: allg wanted while holding allg");
    EXPECT_DEATH(
        {
            mutex a(lock_rank::hchan);
            a.lock();
            a.unlock();
            a.unlock();
        },
        "unlock of unlocked");
    EXPECT_DEATH(
        {
            spin_mutex a(lock_rank::hchan);
            a.lock();
            a.unlock();
            a.unlock();
        },
        "unlock of unlocked");
    EXPECT_DEATH(
        {
            spin_mutex a(lock_rank::hchan);
            mutex b(lock_rank::sched);
            b.lock();
            a.lock();
        },
        "lock order: hchan wanted while holding sched");
    EXPECT_DEATH(
        {
            mutex a(lock_rank::hchan);
            a.lock();
            std::thread([&] { a.unlock(); }).join();
        },
        "does not hold it");
}

TEST_F(LockDeathTest, ChannelsByAddress) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            struct {
                spin_mutex low{lock_rank::hchan};
                spin_mutex high{lock_rank::hchan};
            } a;
            a.low.lock();
            a.high.lock();  // select's order
            a.low.unlock();
            a.low.lock();
        },
        "lock order: hchan wanted while holding one of a higher address");
}

TEST_F(LockDeathTest, OrderIsCheckedBeforeSleeping) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            mutex a(lock_rank::heap);
            a.lock();
            a.lock();  // without the check: sleeps for ever
        },
        "lock order: heap wanted while holding heap");
}
#endif

}  // namespace
