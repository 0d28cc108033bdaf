// Grants against timeouts, wake-ups against destruction: loops with an oracle.  Each runs
// for a share of RT0_STRESS_SECS (default 4 s for the whole binary), then everything must
// add up exactly.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <rt0/sync.h>

#include "tests/support/pelted_tests.h"

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr int parts = 8;

clock_type::time_point end_of_part() {
    const char* s = std::getenv("RT0_STRESS_SECS");
    double secs = s ? std::atof(s) : 4;
    std::chrono::duration<double> share(secs / parts);
    return clock_type::now() + std::chrono::duration_cast<clock_type::duration>(share);
}

struct dice {  // xorshift32, one per goroutine
    std::uint32_t s;
    explicit dice(int seed) : s(static_cast<std::uint32_t>(seed) * 2654435761u + 1) {}
    std::uint32_t operator()(std::uint32_t n) {
        s ^= s << 13;
        s ^= s >> 17;
        s ^= s << 5;
        return s % n;
    }
};

// No permit is lost or made: what was released equals what was acquired plus what is left.
TEST(SyncStress, SemaphorePermitsAreConserved) {
    auto end = end_of_part();
    rt0::semaphore s(0);
    std::atomic<long> released{0}, acquired{0}, timed_out{0};
    std::atomic<bool> stop{false};
    rt0::wait_group givers, takers;
    for (int i = 0; i < 3; i++)
        givers.go([&, i] {
            dice d(i);
            while (clock_type::now() < end) {
                long k = d(4);
                released += k;
                s.release(k);
                if (d(3) == 0) tg::yield();
                if (d(50) == 0) tg::sleep_for(std::chrono::microseconds(d(200)));
            }
        });
    for (int i = 0; i < 12; i++)
        takers.go([&, i] {
            dice d(100 + i);
            while (!stop) {
                bool got = d(4) == 0 ? s.try_acquire() : s.acquire_for(std::chrono::microseconds(d(120)));
                (got ? acquired : timed_out)++;
                if (!got && d(8) == 0) tg::yield();
            }
        });
    givers.wait();
    stop = true;
    takers.wait();
    long left = 0;
    while (s.try_acquire()) left++;
    EXPECT_EQ(released, acquired + left);
    EXPECT_GT(acquired, 0);
    EXPECT_GT(timed_out, 0);
}

TEST(SyncStress, MutexWithTimeoutsExcludesAndNeverStalls) {
    auto end = end_of_part();
    rt0::mutex m;
    long guarded = 0;
    std::atomic<long> entered{0}, gave_up{0};
    std::atomic<int> inside{0}, bad{0};
    rt0::wait_group wg;
    for (int i = 0; i < 16; i++)
        wg.go([&, i] {
            dice d(i);
            while (clock_type::now() < end) {
                bool in = true;
                switch (d(4)) {
                case 0: m.lock(); break;
                case 1: in = m.try_lock(); break;
                default: in = m.try_lock_for(std::chrono::microseconds(d(100)));
                }
                if (!in) {
                    gave_up++;
                    tg::yield();
                    continue;
                }
                if (inside++ != 0) bad++;
                guarded++;
                entered++;
                if (d(10) == 0) tg::yield();
                if (d(200) == 0) tg::sleep_for(std::chrono::microseconds(d(1500)));  // the others age
                inside--;
                m.unlock();
            }
        });
    wg.wait();  // somebody left behind in lock() would hang here
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(guarded, entered);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
}

TEST(SyncStress, SharedMutexOracle) {
    auto end = end_of_part();
    rt0::shared_mutex m;
    std::atomic<int> readers{0}, writers{0}, bad{0};
    long written = 0;
    std::atomic<long> writes{0};
    rt0::wait_group wg;
    for (int i = 0; i < 16; i++)
        wg.go([&, i] {
            dice d(i);
            while (clock_type::now() < end) {
                std::uint32_t what = d(6);
                if (what < 3) {
                    if (what == 0 ? !m.try_lock_shared() : (m.lock_shared(), false)) continue;
                    readers++;
                    if (writers != 0) bad++;
                    if (d(5) == 0) tg::yield();
                    readers--;
                    m.unlock_shared();
                } else {
                    if (what == 3   ? !m.try_lock()
                        : what == 4 ? !m.try_lock_for(std::chrono::microseconds(d(80)))
                                    : (m.lock(), false)) {
                        tg::yield();
                        continue;
                    }
                    if (writers++ != 0 || readers != 0) bad++;
                    written++;
                    writes++;
                    if (d(5) == 0) tg::yield();
                    if (d(300) == 0) tg::sleep_for(std::chrono::microseconds(d(1500)));
                    writers--;
                    m.unlock();
                }
            }
        });
    wg.wait();
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(written, writes);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
    EXPECT_TRUE(m.try_lock_shared());
    m.unlock_shared();
}

// A bounded buffer of two condition variables: every item arrives, nobody sleeps for ever.
TEST(SyncStress, CondVarLosesNoWakeUp) {
    auto end = end_of_part();
    rt0::mutex m;
    rt0::condition_variable not_empty, not_full;
    std::vector<long> items;
    bool closed = false;
    long put_sum = 0, got_sum = 0, next = 1;
    rt0::wait_group producers, consumers;
    for (int i = 0; i < 4; i++)
        producers.go([&, i] {
            dice d(i);
            while (clock_type::now() < end) {
                std::unique_lock l(m);
                if (d(2))
                    not_full.wait(l, [&] { return items.size() < 3; });
                else if (!not_full.wait_for(l, std::chrono::microseconds(d(100)), [&] { return items.size() < 3; }))
                    continue;
                items.push_back(next);
                put_sum += next++;
                bool inside = d(2);
                if (inside) not_empty.notify_one();
                l.unlock();
                if (!inside) not_empty.notify_one();
            }
        });
    for (int i = 0; i < 4; i++)
        consumers.go([&, i] {
            dice d(50 + i);
            for (;;) {
                std::unique_lock l(m);
                auto some = [&] { return !items.empty() || closed; };
                if (d(2))
                    not_empty.wait(l, some);
                else if (!not_empty.wait_for(l, std::chrono::microseconds(d(100)), some))
                    continue;
                if (items.empty()) return;
                got_sum += items.back();
                items.pop_back();
                l.unlock();
                not_full.notify_one();
            }
        });
    producers.wait();
    {
        std::lock_guard l(m);
        closed = true;
    }
    not_empty.notify_all();
    consumers.wait();
    EXPECT_EQ(put_sum, got_sum);
}

// Exactly one of notified and timed out: of those who wait without a limit so many are left as notifications went to those
// whose time was running out, and none went to nobody.
TEST(SyncStress, CondVarNotifiedOrTimedOut) {
    auto end = end_of_part();
    long rounds = 0;
    while (clock_type::now() < end) {
        rt0::mutex m;
        rt0::condition_variable cv;
        constexpr int n = 3;
        int in = 0, back = 0, notified = 0;  // under m; without a limit, and with one
        rt0::wait_group patient, timed;
        for (int i = 0; i < n; i++) {
            timed.go([&, i] {
                std::unique_lock l(m);
                notified += cv.wait_for(l, std::chrono::microseconds((rounds + i) % 40)) == std::cv_status::no_timeout;
            });
            patient.go([&] {
                std::unique_lock l(m);
                in++;
                cv.wait(l);
                back++;
            });
        }
        auto reaches = [&](auto count) {
            for (;; rt0::this_goroutine::yield()) {
                std::lock_guard l(m);
                if (count() >= n) return;
            }
        };
        reaches([&] { return in; });
        for (int i = 0; i < n; i++) cv.notify_one();  // one at least waits without a limit each time
        timed.wait();
        reaches([&] { return back + notified; });
        {
            std::lock_guard l(m);
            ASSERT_EQ(back + notified, n);
            cv.notify_all();
        }
        patient.wait();
        ASSERT_EQ(back, n);
        rounds++;
    }
    EXPECT_GT(rounds, 0);
}

TEST(SyncStress, WaitGroupReuse) {
    auto end = end_of_part();
    rt0::wait_group wg;
    long rounds = 0;
    while (clock_type::now() < end) {
        std::atomic<int> done{0}, through{0};
        rt0::wait_group waiters;
        wg.add(8);
        for (int i = 0; i < 3; i++)
            waiters.go([&] {
                wg.wait();
                if (done == 8) through++;
            });
        for (int i = 0; i < 8; i++)
            rt0::go([&wg, &done] {
                done++;
                wg.done();
            });
        wg.wait();
        waiters.wait();
        ASSERT_EQ(through, 3);
        rounds++;
    }
    EXPECT_GT(rounds, 0);
}

// Signalling objects freed by whoever they let through.  Best under AddressSanitizer.
TEST(SyncStress, FreedByTheOneLetThrough) {
    auto end = end_of_part();
    long rounds = 0;
    while (clock_type::now() < end) {
        auto* s = new rt0::semaphore(0);
        auto* l = new rt0::latch(2);
        auto* w = new rt0::wait_group;
        auto* m = new rt0::mutex;
        w->add(1);
        m->lock();
        rt0::go([=] { s->release(); });
        rt0::go([=] { l->count_down(); });
        rt0::go([=] { l->count_down(); });
        rt0::go([=] { w->done(); });
        rt0::go([=] { m->unlock(); });
        s->acquire();
        delete s;
        l->wait();
        delete l;
        w->wait();
        delete w;
        m->lock();
        m->unlock();
        delete m;
        rounds++;
    }
    EXPECT_GT(rounds, 0);
}

TEST(SyncStress, BarrierLatchOnceTogether) {
    auto end = end_of_part();
    long rounds = 0;
    while (clock_type::now() < end) {
        constexpr int n = 6;
        int completed = 0;
        std::atomic<int> bad{0}, ran{0};
        rt0::barrier b(n, [&] { completed++; });
        rt0::latch start(n), stop(n);
        rt0::once o;
        rt0::wait_group wg;
        for (int i = 0; i < n; i++)
            wg.go([&] {
                start.arrive_and_wait();
                for (int p = 1; p <= 10; p++) {
                    b.arrive_and_wait();
                    if (completed < p) bad++;
                }
                o.call([&] {
                    tg::yield();
                    ran++;
                });
                if (ran != 1) bad++;
                stop.count_down();
            });
        stop.wait();
        wg.wait();
        ASSERT_EQ(bad, 0);
        ASSERT_EQ(completed, 10);
        rounds++;
    }
    EXPECT_GT(rounds, 0);
}

}  // namespace
