// context.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <rt0/chan.h>
#include <rt0/sync.h>

#include "tests/support/kthreads.h"

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;

namespace {

template <class F>
void await(F cond) {
    while (!cond()) tg::sleep_for(100us);
}

// ---- context

TEST(Context, CancelReachesAllDescendantsAndNobodyElse) {
    rt0::context root;
    rt0::context a = root.child(), b = root.child(), aa = a.child(), aaa = aa.child();
    EXPECT_FALSE(root.stop_token().stop_requested());
    a.cancel();
    EXPECT_TRUE(a.stop_token().stop_requested());
    EXPECT_TRUE(aa.stop_token().stop_requested());
    EXPECT_TRUE(aaa.stop_token().stop_requested());
    EXPECT_FALSE(b.stop_token().stop_requested());
    EXPECT_FALSE(root.stop_token().stop_requested());
    EXPECT_TRUE(a.child().stop_token().stop_requested());  // born cancelled
    a.cancel();
    root.cancel();
    EXPECT_TRUE(b.stop_token().stop_requested());
}

TEST(Context, CopiesAreTheSameNode) {
    rt0::context a;
    rt0::context b = a, c;
    c = b;
    c = *&c;
    c.cancel();
    EXPECT_TRUE(a.stop_token().stop_requested());
}

TEST(Context, DeadlineCancels) {
    rt0::context root;
    auto t0 = std::chrono::steady_clock::now();
    rt0::context c = root.child(5ms), cc = c.child();
    ASSERT_TRUE(c.deadline());
    EXPECT_EQ(cc.deadline(), c.deadline());
    EXPECT_FALSE(root.deadline());
    rt0::latch stopped(1);
    std::stop_callback cb(cc.stop_token(), [&] { stopped.count_down(); });
    stopped.wait();
    EXPECT_GE(std::chrono::steady_clock::now() - t0, 5ms);
    EXPECT_TRUE(c.stop_token().stop_requested());
    EXPECT_FALSE(root.stop_token().stop_requested());
}

TEST(Context, TheEarliestDeadlineCounts) {
    rt0::context root;
    auto now = std::chrono::steady_clock::now();
    rt0::context soon = root.child(now + 1h), later = soon.child(now + 2h), sooner = soon.child(now + 1min);
    EXPECT_EQ(later.deadline(), now + 1h);
    EXPECT_EQ(sooner.deadline(), now + 1min);
    EXPECT_FALSE(root.child(std::chrono::nanoseconds::max()).deadline());
}

TEST(Context, APastDeadlineCancelsAtOnce) {
    rt0::context root;
    EXPECT_TRUE(root.child(0ns).stop_token().stop_requested());
    EXPECT_TRUE(root.child(-1h).stop_token().stop_requested());
    EXPECT_TRUE(root.child(std::chrono::steady_clock::now() - 1s).stop_token().stop_requested());
    // Also where the parent's has passed longer ago, and nobody has come to it.
    rt0::context late = root.child(1ms);
    while (std::chrono::steady_clock::now() < *late.deadline() + 1ms) {}
    EXPECT_TRUE(late.child(-1ns).stop_token().stop_requested());
}

TEST(Context, StopCallbacksOfADeadlineRunOnAGoroutineAndMayBlock) {
    // ~stop_callback knows its requester by the thread, on which others run when the callback parks: README's rule.
    if (test::tsan) GTEST_SKIP() << "the order of ~stop_callback and a callback that parked";
    const std::uint64_t me = tg::id();
    std::atomic<std::uint64_t> id{me};
    for (auto after = 1ms; id == me; after *= 2) {
        ASSERT_LT(after, 10s) << "always on the goroutine that adds the callback";
        rt0::context c = rt0::context().child(after);
        rt0::semaphore in(0), go_on(0);
        std::atomic<bool> ended{false};
        bool late = false;  // the deadline went by before the callback was there
        std::stop_callback cb(c.stop_token(), [&] {
            id = tg::id();
            if (id == me) {
                late = true;
                return;
            }
            in.release();
            go_on.acquire();
            ended = true;
        });
        if (late) continue;
        in.acquire();
        EXPECT_NE(id, 0u);
        EXPECT_FALSE(ended);
        go_on.release();
        await([&] { return ended.load(); });
    }
}

TEST(Context, Values) {
    rt0::context root;
    rt0::context a = root.with_value("user", std::string("ann")), b = a.with_value("n", 7);
    rt0::context c = b.with_value("user", std::string("bob"));
    ASSERT_TRUE(c.value<std::string>("user"));
    EXPECT_EQ(*c.value<std::string>("user"), "bob");
    EXPECT_EQ(*b.child().value<std::string>("user"), "ann");
    EXPECT_EQ(*c.value<int>("n"), 7);
    EXPECT_EQ(c.value<long>("n"), nullptr);
    EXPECT_EQ(c.value<int>("m"), nullptr);
    EXPECT_EQ(root.value<std::string>("user"), nullptr);
    EXPECT_EQ(*b.value<const int>("n"), 7);  // the same type, in typeid's eyes
    rt0::context d = root.with_value("p", std::make_unique<int>(3));  // move-only
    EXPECT_EQ(**d.value<std::unique_ptr<int>>("p"), 3);
    a.cancel();
    EXPECT_TRUE(c.stop_token().stop_requested());
    EXPECT_FALSE(d.stop_token().stop_requested());
}

TEST(Context, TenThousandDeep) {
    rt0::context root;
    std::vector<rt0::context> all{root};
    for (int i = 0; i < 10000; i++)
        all.push_back(i % 2 ? all.back().child() : all.back().with_value("k" + std::to_string(i), i));
    EXPECT_EQ(*all.back().value<int>("k0"), 0);
    root.cancel();
    for (auto& c : all) ASSERT_TRUE(c.stop_token().stop_requested());
    rt0::context last = all.back();
    all.clear();
    last = rt0::context();  // frees ten thousand nodes at once, on this goroutine's stack
}

TEST(Context, TenThousandWide) {
    rt0::context root;
    std::vector<rt0::context> all;
    std::atomic<int> called{0};
    struct inc {
        std::atomic<int>* n;
        void operator()() { ++*n; }
    };
    std::vector<std::unique_ptr<std::stop_callback<inc>>> cbs;
    for (int i = 0; i < 10000; i++) {
        all.push_back(root.child(1h));
        cbs.push_back(std::make_unique<std::stop_callback<inc>>(all.back().stop_token(), inc{&called}));
    }
    root.cancel();
    EXPECT_EQ(called, 10000);
}

// A server's root lives for ever; its requests' contexts must leave nothing behind.
TEST(Context, FinishedChildrenLeaveNothing) {
    rt0::context root;
    auto value = std::make_shared<int>(1);
    for (int i = 0; i < 10000; i++) {
        rt0::context c = root.with_value("v", value).child(1h);
        EXPECT_EQ(value.use_count(), 2);
    }
    EXPECT_EQ(value.use_count(), 1);
    root.cancel();
}

TEST(Context, CancelDeathAndDeadlineRace) {
    for (int i = 0; i < 300; i++) {
        rt0::context root;
        rt0::wait_group wg;
        std::atomic<int> born{0};
        for (int k = 0; k < 4; k++)
            wg.go([root, &born, k] {
                for (int n = 0; n < 10; n++) {
                    rt0::context c = root.child(std::chrono::microseconds(k * n)), d = c.child(), e = d.child();
                    born++;
                    if (n == 5 && k == 0) root.cancel();
                    if (n % 3 == 0) c.cancel();
                }
            });
        wg.wait();
        EXPECT_EQ(born, 40);
        EXPECT_TRUE(root.stop_token().stop_requested());
        EXPECT_TRUE(root.child().stop_token().stop_requested());
    }
}

// Several cancel overlapping parts of one tree at once: nobody below any of them is missed.
TEST(Context, OverlappingCancelsMissNobody) {
    for (int i = 0; i < 300; i++) {
        rt0::context root;
        std::vector<rt0::context> mid, leaves;
        for (int k = 0; k < 8; k++) {
            mid.push_back(root.child(k % 2 ? 1h : 100us));
            for (int n = 0; n < 8; n++) leaves.push_back(mid.back().child().child(1h));
        }
        rt0::wait_group wg;
        rt0::latch start(5);
        wg.go([&] {
            start.arrive_and_wait();
            root.cancel();
        });
        for (std::size_t k = 0; k < 4; k++)
            wg.go([&, k] {
                start.arrive_and_wait();
                mid[2 * k + i % 2].cancel();
            });
        wg.wait();
        for (auto& c : leaves) EXPECT_TRUE(c.stop_token().stop_requested());
    }
}

// CX2: the first canceller is held up in a stop callback, the second comes from above.
TEST(Context, ASecondCancelReachesThoseTheFirstHasNotComeTo) {
    rt0::context top;
    rt0::context middle = top.child(), bottom = middle.child();
    rt0::chan<int> in_callback(0), go_on(0);
    std::stop_callback held_up(middle.stop_token(), [&] {
        in_callback.close();
        go_on.recv();
    });
    rt0::wait_group wg;
    wg.go([&] { middle.cancel(); });
    in_callback.recv();
    EXPECT_FALSE(bottom.stop_token().stop_requested());
    top.cancel();
    EXPECT_TRUE(bottom.stop_token().stop_requested());
    rt0::context late = bottom.child();
    EXPECT_TRUE(late.stop_token().stop_requested());
    go_on.close();
    wg.wait();
}

// Whoever has been asked with all below is not asked again: else to cancel a chain from the top down would take its square.
TEST(Context, CancelledOnceMoreDoesNothing) {
    constexpr int n = 50'000;
    std::vector<rt0::context> all{rt0::context()};
    for (int i = 1; i < n; i++) all.push_back(all.back().child());
    all[0].cancel();
    for (auto& c : all) c.cancel();
    EXPECT_TRUE(all.back().stop_token().stop_requested());
}

}  // namespace
