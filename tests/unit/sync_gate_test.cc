// latch, barrier.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>

#include <rt0/sync.h>

using namespace std::chrono_literals;

namespace {

// ---- latch

TEST(Latch, OpensAtZero) {
    rt0::latch l(3);
    std::atomic<int> through{0};
    rt0::wait_group wg;
    for (int i = 0; i < 10; i++)
        wg.go([&] {
            l.wait();
            through++;
        });
    l.count_down();
    EXPECT_FALSE(l.try_wait());
    rt0::this_goroutine::sleep_for(1ms);
    EXPECT_EQ(through, 0);
    l.count_down(2);
    wg.wait();
    EXPECT_EQ(through, 10);
    EXPECT_TRUE(l.try_wait());
    l.wait();
    l.count_down(0);
    rt0::latch zero(0);
    zero.wait();
}

TEST(Latch, ArriveAndWait) {
    rt0::latch l(8);
    std::atomic<int> before{0}, bad{0};
    rt0::wait_group wg;
    for (int i = 0; i < 8; i++)
        wg.go([&] {
            before++;
            l.arrive_and_wait();
            if (before != 8) bad++;
        });
    wg.wait();
    EXPECT_EQ(bad, 0);
}

TEST(Latch, RefusesAbsurdCounts) {
    EXPECT_THROW(rt0::latch(-1), std::invalid_argument);
    rt0::latch l(2);
    EXPECT_THROW(l.count_down(-1), std::invalid_argument);
    EXPECT_THROW(l.count_down(3), std::invalid_argument);
    l.count_down(2);
    EXPECT_TRUE(l.try_wait());
    EXPECT_THROW(l.count_down(), std::invalid_argument);
}

TEST(Latch, MayBeDestroyedByWhoWaits) {
    for (int i = 0; i < 3000; i++) {
        auto* l = new rt0::latch(2);
        for (int k = 0; k < 2; k++) rt0::go([l] { l->count_down(); });
        l->wait();
        delete l;
    }
}

// ---- barrier

TEST(Barrier, PhasesAndCompletion) {
    constexpr int n = 7, phases = 200;
    int completed = 0;
    std::array<int, n> at{};
    std::atomic<int> bad{0};
    rt0::barrier b(n, [&] {
        completed++;
        for (int a : at)
            if (a != completed) bad++;  // all have arrived, none has gone on
    });
    rt0::wait_group wg;
    for (std::size_t i = 0; i < n; i++)
        wg.go([&, i] {
            for (int p = 0; p < phases; p++) {
                at[i]++;
                b.arrive_and_wait();
                if (completed < p + 1) bad++;
            }
        });
    wg.wait();
    EXPECT_EQ(completed, phases);
    EXPECT_EQ(bad, 0);
}

TEST(Barrier, ArriveWaitDrop) {
    int completed = 0;
    rt0::barrier b(3, [&]() noexcept { completed++; });
    auto t = b.arrive(2);
    EXPECT_EQ(completed, 0);
    b.arrive_and_drop();
    EXPECT_EQ(completed, 1);
    b.wait(std::move(t));
    auto t2 = b.arrive();
    EXPECT_EQ(completed, 1);
    auto t3 = b.arrive();  // two are expected now
    EXPECT_EQ(completed, 2);
    b.wait(std::move(t2));
    b.wait(std::move(t3));
}

// Such as from the completion function: the phase that begins then must not be one short.
TEST(Barrier, ADropThatIsRefusedChangesNothing) {
    constexpr std::ptrdiff_t rounds = 5000;
    std::atomic<std::ptrdiff_t> completing = 0;
    std::ptrdiff_t completed = 0, expected = rounds + 1, refused = 0;
    rt0::barrier b(expected, [&]() noexcept {
        completing = ++completed;
        rt0::this_goroutine::yield();
    });
    while (completed < rounds) {
        std::atomic<bool> dropped = false;
        rt0::wait_group wg;
        wg.go([&, next = completed + 1] {
            while (completing < next) rt0::this_goroutine::yield();
            try {
                b.arrive_and_drop();
                dropped = true;  // the phase was over: it is the first of the next one
            } catch (const std::invalid_argument&) {
            }
        });
        const std::ptrdiff_t before = completed;
        static_cast<void>(b.arrive(expected));
        ASSERT_EQ(completed, before + 1);
        wg.wait();
        if (!dropped) {
            refused++;
            continue;
        }
        static_cast<void>(b.arrive(--expected));
        ASSERT_EQ(completed, before + 2);
    }
    RecordProperty("refused", static_cast<int>(refused));
}

TEST(Barrier, RefusesAbsurdCounts) {
    EXPECT_THROW(rt0::barrier<>(-1), std::invalid_argument);
    EXPECT_THROW(rt0::barrier<>(rt0::barrier<>::max() + 1), std::invalid_argument);
    rt0::barrier<> b(2);
    EXPECT_THROW((void)b.arrive(0), std::invalid_argument);
    EXPECT_THROW((void)b.arrive(-1), std::invalid_argument);
    EXPECT_THROW((void)b.arrive(3), std::invalid_argument);
    rt0::barrier<> none(0);
    EXPECT_THROW(none.arrive_and_drop(), std::invalid_argument);
    auto t = b.arrive(2);
    b.wait(std::move(t));
}

}  // namespace
