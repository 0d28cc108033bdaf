// nursery, task.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <rt0/chan.h>
#include <rt0/sync.h>

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;

namespace {

// ---- nursery

TEST(Nursery, LeavingTheScopeJoinsAll) {
    std::atomic<int> n{0};
    {
        rt0::nursery s;
        for (int i = 0; i < 100; i++)
            s.go([&] {
                tg::yield();
                n++;
                s.go([&] { n++; });  // from within
            });
    }
    EXPECT_EQ(n, 200);
}

TEST(Nursery, TheFirstExceptionCancelsTheRestAndIsRethrown) {
    std::atomic<int> stopped{0};
    try {
        rt0::nursery s;
        for (int i = 0; i < 5; i++)
            s.go([&](std::stop_token st) {
                while (!st.stop_requested()) tg::sleep_for(100us);
                stopped++;
            });
        s.go([] { throw std::runtime_error("first"); });
        s.go([](std::stop_token st) {
            while (!st.stop_requested()) tg::sleep_for(100us);
            throw std::runtime_error("second");
        });
        EXPECT_TRUE(s.stop_token().stop_possible());
        // leaves here
    } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "first");
        EXPECT_EQ(stopped, 5);
        return;
    }
    ADD_FAILURE() << "nothing was thrown";
}

TEST(Nursery, TheBodysExceptionWins) {
    std::atomic<bool> stopped{false};
    try {
        rt0::nursery s;
        s.go([&](std::stop_token st) {
            while (!st.stop_requested()) tg::sleep_for(100us);
            stopped = true;
            throw 1;
        });
        throw 2;
    } catch (int v) {
        EXPECT_EQ(v, 2);
        EXPECT_TRUE(stopped);
        return;
    }
    ADD_FAILURE();
}

TEST(Nursery, InADestructorDuringUnwinding) {
    // A nursery that begins and ends while another exception is in flight throws its own.
    struct inner {
        bool* threw;
        ~inner() {
            try {
                rt0::nursery s;
                s.go([] { throw 5; });
            } catch (int v) {
                *threw = v == 5;
            }
        }
    };
    bool threw = false;
    try {
        inner i{&threw};
        throw 6;
    } catch (int v) {
        EXPECT_EQ(v, 6);
    }
    EXPECT_TRUE(threw);
}

// As in a destructor during unwinding: who has left is the goroutine, not this scope.
TEST(Nursery, InADestructorDuringExit) {
    bool stopped = true, seen = false;
    struct at_end {
        bool &stopped, &seen;
        ~at_end() {
            try {
                rt0::nursery n;
                rt0::chan<int> looked(0);
                n.go([this, looked](std::stop_token st) mutable {
                    stopped = st.stop_requested();
                    looked.close();
                });
                n.go([looked]() mutable {
                    looked.recv();
                    throw std::runtime_error("of a child");
                });
            } catch (std::runtime_error&) {
                seen = true;
            }
        }
    };
    rt0::wait_group wg;
    wg.go([&] {
        at_end e{stopped, seen};
        tg::exit();
    });
    wg.wait();
    EXPECT_FALSE(stopped);
    EXPECT_TRUE(seen);
}

TEST(Nursery, CallablesForOneCall) {
    struct once {
        std::atomic<int>& n;
        void operator()() && { n++; }
    };
    struct once_stoppable {
        std::atomic<int>& n;
        void operator()(std::stop_token st) && { n += st.stop_possible(); }
    };
    std::atomic<int> n{0};
    {
        rt0::nursery scope;
        scope.go(once{n});
        scope.go(once_stoppable{n});
    }
    EXPECT_EQ(n, 2);
}

TEST(Nursery, CancelAsksAllToStop) {
    rt0::nursery s;
    std::atomic<int> n{0};
    for (int i = 0; i < 10; i++)
        s.go([&](std::stop_token st) {
            while (!st.stop_requested()) tg::sleep_for(100us);
            n++;
        });
    s.cancel();
    EXPECT_TRUE(s.stop_token().stop_requested());
    while (n != 10) tg::yield();
}

TEST(Nursery, ExitOfTheBodyStopsAndJoins) {
    std::atomic<bool> joined{false}, went_on{false};
    rt0::wait_group wg;
    wg.go([&] {
        rt0::nursery s;
        s.go([&](std::stop_token st) {
            while (!st.stop_requested()) tg::sleep_for(100us);
            joined = true;
            throw 1;  // lost: the goroutine that would get it is leaving
        });
        tg::exit();
        went_on = true;
    });
    wg.wait();
    EXPECT_TRUE(joined);
    EXPECT_FALSE(went_on);
}

TEST(Nursery, ExitOfAChildIsNoFailure) {
    rt0::nursery s;
    s.go([] { tg::exit(); });
}

TEST(Nursery, AThrowingCopyStartsNothing) {
    struct bad {
        bad() = default;
        bad(const bad&) { throw std::runtime_error("copy"); }
        void operator()() {}
    } b;
    rt0::nursery s;
    EXPECT_THROW(s.go(b), std::runtime_error);
}

// ---- task

int twice(int x) { return 2 * x; }

TEST(Task, GivesTheValue) {
    EXPECT_EQ(rt0::spawn([] { return 42; }).join(), 42);
    EXPECT_EQ(rt0::spawn(twice, 21).join(), 42);
    EXPECT_EQ(rt0::spawn([](std::string a, int b) { return a + std::to_string(b); }, "x", 1).join(), "x1");
    static_assert(std::is_same_v<decltype(rt0::spawn(twice, 1)), rt0::task<int>>);
    rt0::task<void> v = rt0::spawn([] {});
    v.join();
    EXPECT_EQ(rt0::spawn(rt0::go_options{.name = "named"}, [] { return std::string(tg::name()); }).join(), "named");
}

TEST(Task, ReferencesAndMoveOnly) {
    int x = 1;
    rt0::task<int&> t = rt0::spawn([&]() -> int& { return x; });
    t.join() = 5;
    EXPECT_EQ(x, 5);
    auto p = rt0::spawn([q = std::make_unique<int>(9)]() mutable { return std::move(q); }).join();
    EXPECT_EQ(*p, 9);
    auto moved = rt0::spawn([](std::unique_ptr<int> q) { return *q + 1; }, std::move(p));
    EXPECT_EQ(moved.join(), 10);
    struct no_default {
        explicit no_default(int v) : n(v) {}
        int n;
    };
    EXPECT_EQ(rt0::spawn([] { return no_default(3); }).join().n, 3);
}

TEST(Task, RethrowsAndKeepsQuietIfNotAsked) {
    auto t = rt0::spawn([]() -> int { throw std::runtime_error("kept"); });
    EXPECT_THROW(t.join(), std::runtime_error);
    EXPECT_THROW(t.join(), std::logic_error);  // joined already
    { auto dropped = rt0::spawn([] { throw 1; }); }
    EXPECT_THROW(rt0::task<int>().join(), std::logic_error);
}

TEST(Task, TheDestructorJoins) {
    for (int i = 0; i < 200; i++) {
        bool ended = false;
        {
            auto t = rt0::spawn([&] {
                tg::yield();
                ended = true;
            });
        }
        ASSERT_TRUE(ended);
    }
}

TEST(Task, MovesAndIsJoinedBeforeItIsOverwritten) {
    bool first = false;
    auto a = rt0::spawn([&] {
        tg::sleep_for(1ms);
        first = true;
    });
    auto b = rt0::spawn([] {});
    a = std::move(b);
    EXPECT_TRUE(first);
    EXPECT_FALSE(b.joinable());
    EXPECT_TRUE(a.joinable());
    a.join();
    EXPECT_FALSE(a.joinable());
}

TEST(Task, ExitOfItsGoroutineIsReported) {
    auto t = rt0::spawn([]() -> int { tg::exit(); });
    EXPECT_THROW(t.join(), std::runtime_error);
}

TEST(Task, EmptyCallablesAreRefused) {
    EXPECT_THROW((void)rt0::spawn(std::function<int()>()), std::invalid_argument);
}

TEST(Task, ForkJoin) {
    struct fib {
        static int of(int n) {
            if (n < 2) return n;
            auto t = rt0::spawn(of, n - 1);
            int b = of(n - 2);
            return t.join() + b;
        }
    };
    EXPECT_EQ(fib::of(16), 987);
}

TEST(Task, CallableDiesBeforeJoinReturns) {
    auto p = std::make_shared<int>(0);
    for (int i = 0; i < 200; i++) {
        auto t = rt0::spawn([p] { tg::yield(); });
        t.join();
        ASSERT_EQ(p.use_count(), 1);
    }
}

}  // namespace
