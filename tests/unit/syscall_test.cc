// Declared system calls, goroutines locked to their thread, foreign threads, and changing
// the number of Ps, on the running scheduler.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rt0/go.h>

#include "tests/support/gate.h"
#include "tests/support/kthreads.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
using testing_support::countdown;
namespace this_goroutine = rt0::this_goroutine;

namespace {

struct Threads : testing::Test {
    int procs = rt0::gomaxprocs();
    void TearDown() override { rt0::gomaxprocs(procs); }
};
using Blocking = Threads;
using Locked = Threads;
using Foreign = Threads;
using Procs = Threads;

long tid() { return syscall(SYS_gettid); }

struct pipe_pair {
    int fd[2];
    pipe_pair() {
        if (pipe(fd) != 0) throw std::runtime_error("pipe");
    }
    ~pipe_pair() {
        close(fd[0]);
        close(fd[1]);
    }
    char read_one() {
        char c = 0;
        return read(fd[0], &c, 1) == 1 ? c : '?';
    }
    void write_one(char c) {
        if (write(fd[1], &c, 1) != 1) std::abort();
    }
};

// ---- blocking

TEST_F(Blocking, ReturnsWhatTheCallableReturns) {
    EXPECT_EQ(rt0::blocking([] { return 7; }), 7);
    auto p = rt0::blocking([] { return std::make_unique<int>(3); });
    EXPECT_EQ(*p, 3);
    rt0::blocking([] {});
    EXPECT_THROW(rt0::blocking([]() -> int { throw std::runtime_error("out"); }), std::runtime_error);
    EXPECT_EQ(rt0::blocking([] { return rt0::blocking([] { return rt0::blocking([] { return 1; }); }); }), 1);
}

// One P, its holder in read(2): others run, among them the one that ends the read.
TEST_F(Blocking, OthersRunWhileOneBlocks) {
    for (int p : {1, 2}) {
        rt0::gomaxprocs(p);
        constexpr int n = 8;
        std::vector<std::unique_ptr<pipe_pair>> pipes;
        for (int i = 0; i < n; i++) pipes.push_back(std::make_unique<pipe_pair>());
        std::atomic<int> right{0}, work{0};
        countdown done(n);
        for (int i = 0; i < n; i++)
            rt0::go([&, i] {
                char c = rt0::blocking([&] { return pipes[static_cast<std::size_t>(i)]->read_one(); });
                if (c == 'a' + i) right++;
                done.one();
            });
        for (int k = 0; k < 1000; k++) {
            rt0::go([&] { work++; });
            this_goroutine::yield();
        }
        while (work.load() < 1000) this_goroutine::yield();
        for (int i = 0; i < n; i++) pipes[static_cast<std::size_t>(i)]->write_one(static_cast<char>('a' + i));
        done.wait();
        EXPECT_EQ(right.load(), n);
    }
}

TEST_F(Blocking, TheRuntimeMayBeCalledInside) {
    for (int p : {1, 3}) {
        rt0::gomaxprocs(p);
        constexpr int n = 50;
        std::atomic<int> steps{0};
        countdown done(n);
        for (int i = 0; i < n; i++)
            rt0::go([&] {
                rt0::blocking([&] {
                    countdown inner(1);
                    rt0::go([&] {
                        steps++;
                        inner.one();
                    });
                    inner.wait();
                    this_goroutine::yield();
                    this_goroutine::sleep_for(10us);
                    rt0::blocking([&] {
                        usleep(1);
                        this_goroutine::yield();
                        steps++;
                    });
                    if (this_goroutine::id() != 0) steps++;
                });
                done.one();
            });
        done.wait();
        EXPECT_EQ(steps.load(), 3 * n);
    }
}

TEST_F(Blocking, ExceptionsCrossIt) {
    std::atomic<int> caught{0};
    constexpr int n = 100;
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            try {
                rt0::blocking([&] {
                    usleep(static_cast<unsigned>(i % 5));
                    throw i;
                });
            } catch (int v) {
                if (v == i && std::uncaught_exceptions() == 0) caught++;
            }
            done.one();
        });
    done.wait();
    EXPECT_EQ(caught.load(), n);
}

// SY4: a call that most likely blocks lets those go first that came back from calls and wait for the P.  Inside the
// runtime, as here, ours cannot be taken.  False: somebody else waited, too (a goroutine of the runtime's own), and nothing was
// tried.
bool puts_a_call_off() {
    std::atomic<bool> inside{false}, back{false}, ran{false};
    countdown done(1);
    rt0::go([&] {
        rt0::blocking([&] {
            inside = true;
            while (!back) usleep(50);
        });
        {
            runtime_call rc;
            EXPECT_TRUE(rc.gp->calls.blocks);
        }
        ran = true;
        done.one();
    });
    while (!inside) this_goroutine::yield();
    bool alone;
    {
        runtime_call rc;
        call_history& calls = rc.gp->calls;
        auto now = [] { return static_cast<std::uint16_t>(sched.sysmonlooks.load()); };
        back = true;
        while (sched.ncallers.load() != 1) usleep(50);
        if ((alone = sched.runqsize.load() == 1)) {
            calls = {.back = now(), .blocks = false};
            put_call_off(rc.gp);
            EXPECT_FALSE(ran) << "the last call did not block";
            calls = {.back = static_cast<std::uint16_t>(now() - 1000), .long_turns = cfg::long_turns, .blocks = true};
            put_call_off(rc.gp);
            EXPECT_FALSE(ran) << "turns are long";
            calls = {.back = now(), .blocks = true, .skip = 1};
            put_call_off(rc.gp);
            EXPECT_FALSE(ran) << "it was in vain before";
            EXPECT_EQ(calls.skip, 0);
            EXPECT_FALSE(calls.put_off);
            calls = {.back = now(), .blocks = true};
            const p* pp = rc.gp->mp->pp;  // the only one
            const std::uint32_t lost = pp->syscalltick.load(), turns = pp->schedtick.load();
            put_call_off(rc.gp);
            // It had a turn before ours.  It may not have got further than that: it lost the P again, or was the one
            // whom a request to yield met that was meant for us, after more than a slice in here.
            EXPECT_TRUE(pp->schedtick.load() - turns >= 2 || pp->syscalltick.load() != lost);
            EXPECT_TRUE(calls.put_off);
            calls = {};
        }
    }
    done.wait();
    return alone;
}
TEST_F(Blocking, WhoIsBackFromACallGoesBeforeTheNextOne) {
    rt0::gomaxprocs(1);
    while (!puts_a_call_off()) {}
}

// SY4: what becomes of a call that loses its P, as it must where another goroutine ends it.
TEST_F(Blocking, CallsThatLoseThePAreRemembered) {
    rt0::gomaxprocs(1);
    // False: the P was lost before the call, and not in it.
    auto block = [] {
        std::atomic<bool> ran{false};
        bool early = false;
        rt0::go([&] { ran = true; });
        rt0::blocking([&] {
            early = ran;
            while (!ran) usleep(50);
        });
        return !early;
    };
    auto after = [&](call_history before) {
        do {
            runtime_call rc;
            rc.gp->calls = before;
        } while (!block());
        runtime_call rc;
        call_history c = rc.gp->calls;
        rc.gp->calls = {};
        EXPECT_FALSE(c.put_off);
        return c;
    };
    EXPECT_TRUE(after({}).blocks);
    call_history c = after({.put_off = true, .successes = 7});
    EXPECT_EQ(c.successes, 0);
    EXPECT_EQ(c.backoff, 1);
    EXPECT_EQ(c.skip, 0) << "the first time may be bad luck";
    c = after({.put_off = true, .backoff = 3});
    EXPECT_EQ(c.skip, 3);
    EXPECT_EQ(c.backoff, 7);
    c = after({.put_off = true, .backoff = cfg::call_backoff_max});
    EXPECT_EQ(c.backoff, cfg::call_backoff_max);
}

// SY4: of the calls that are put off and keep the P one in call_probe is not, to see whether calls still block.
TEST_F(Blocking, CallsThatKeepThePAreProbed) {
    rt0::gomaxprocs(1);
    auto after = [](std::uint8_t successes) {
        for (;;) {
            {
                runtime_call rc;
                rc.gp->calls = {.put_off = true, .successes = successes};
            }
            rt0::blocking([] {});
            runtime_call rc;
            call_history c = rc.gp->calls;
            rc.gp->calls = {};
            EXPECT_FALSE(c.put_off);
            if (c.backoff == 0) return c;  // else the P was lost
        }
    };
    call_history c = after(cfg::call_probe - 2);
    EXPECT_EQ(c.successes, cfg::call_probe - 1);
    EXPECT_EQ(c.skip, 0);
    c = after(cfg::call_probe - 1);
    EXPECT_EQ(c.successes, 0);
    EXPECT_EQ(c.skip, 1);
}

// Whoever comes back from a call where goroutines wait that are no callers does not put the next one off for them.
TEST_F(Blocking, CallsAreNotPutOffForOthers) {
    rt0::gomaxprocs(1);
    const p* only = (rcu_reader(), allp().data[0]);
    bool lost = true;  // somebody lost the P meanwhile, and with it the order
    for (int tries = 0; lost; tries++) {
        ASSERT_LT(tries, 1000);
        const std::uint32_t calls = only->syscalltick.load();
        std::atomic<bool> ran{false};
        countdown done(1);
        rt0::go([&] {
            ran = true;
            done.one();
        });
        bool first;
        {
            runtime_call rc;
            rc.gp->calls = {.back = static_cast<std::uint16_t>(sched.sysmonlooks.load()), .blocks = true};
            put_call_off(rc.gp);
            first = ran;
            rc.gp->calls = {};
        }
        done.wait();
        lost = only->syscalltick.load() != calls;
        if (!lost) {
            EXPECT_FALSE(first);
        }
    }
}

// ---- locked goroutines

TEST_F(Locked, NestsAndCounts) {
    countdown done(1);
    int moved = 0;
    rt0::go([&] {
        this_goroutine::unlock_os_thread();  // not locked: nothing happens
        this_goroutine::lock_os_thread();
        this_goroutine::lock_os_thread();
        long id = tid();
        for (int i = 0; i < 50; i++) {
            this_goroutine::yield();
            moved += tid() != id;
        }
        this_goroutine::unlock_os_thread();
        for (int i = 0; i < 50; i++) {
            this_goroutine::sleep_for(1us);
            moved += tid() != id;
        }
        runtime_call rc;
        EXPECT_NE(rc.gp->lockedm, nullptr);
        unlock_os_thread_ext(rc.gp);
        EXPECT_EQ(rc.gp->lockedm, nullptr);
        EXPECT_EQ(rc.gp->mp->lockedg, nullptr);
        done.one();
    });
    done.wait();
    EXPECT_EQ(moved, 0);
}

TEST_F(Locked, ThreadLocalsStay) {
    rt0::gomaxprocs(4);
    static thread_local int mine = 0;
    constexpr int n = 10;
    std::atomic<int> wrong{0};
    countdown done(n);
    for (int i = 1; i <= n; i++)
        rt0::go([&, i] {
            this_goroutine::lock_os_thread();
            *[]() __attribute__((noinline)) { return &mine; }() = i;
            for (int k = 0; k < 40; k++) {
                k % 2 ? this_goroutine::yield() : this_goroutine::sleep_for(20us);
                if (*[]() __attribute__((noinline)) { return &mine; }() != i) wrong++;
            }
            this_goroutine::unlock_os_thread();
            done.one();
        });
    done.wait();
    EXPECT_EQ(wrong.load(), 0);
}

// The end of a locked goroutine ends its thread; what is left is what was there, or what
// the scheduler made meanwhile to replace it.
TEST_F(Locked, ThreadsGoWithTheirGoroutines) {
    rt0::gomaxprocs(2);
    auto batch = [] {
        constexpr int n = 20;
        std::atomic<int> here{0};
        countdown done(n);
        for (int i = 0; i < n; i++)
            rt0::go([&] {
                this_goroutine::lock_os_thread();
                here++;
                while (here.load() < n) this_goroutine::yield();
                done.one();
            });
        done.wait();
        while (rt0::num_goroutine() > 1) this_goroutine::yield();
    };
    for (int i = 0; i < 10; i++) batch();
    const int rest = rt0::num_thread();
    const long rss = test::resident_kib();
    for (int i = 0; i < (test::sanitized ? 10 : 250); i++) batch();
    // Spare Ms that were made beside them stay for 5 s: fewer than a batch.
    for (int i = 0; i < 100'000 && rt0::num_thread() > rest; i++) this_goroutine::yield();
    EXPECT_LE(rt0::num_thread(), rest + 20);
    // 5,000 threads came and went: what a leak of one small object for each would exceed, and noise does not.
    EXPECT_LT(test::resident_kib() - rss, test::sanitized ? 64 << 10 : 4 << 10);
}

// ---- threads the runtime did not make

TEST_F(Foreign, EveryCallWorks) {
    for (int p : {1, 4}) {
        rt0::gomaxprocs(p);
        std::atomic<int> ran{0};
        std::set<std::uint64_t> ids;
        std::mutex m;
        std::vector<std::thread> ts;
        for (int i = 0; i < 8; i++)
            ts.emplace_back([&] {
                std::uint64_t id = this_goroutine::id();
                for (int k = 0; k < 10; k++) {
                    rt0::go([&] { ran++; });
                    this_goroutine::yield();
                    this_goroutine::sleep_for(10us);
                    this_goroutine::lock_os_thread();
                    this_goroutine::unlock_os_thread();
                    rt0::blocking([] { this_goroutine::yield(); });
                    if (rt0::num_goroutine() < 1 || rt0::gomaxprocs() != p || rt0::num_thread() < 2) ran -= 1000;
                    if (this_goroutine::id() != id) ran -= 1000;
                }
                countdown c(1);
                rt0::go([&] { c.one(); });
                c.wait();
                std::lock_guard l(m);
                ids.insert(id);
            });
        rt0::blocking([&] {
            for (auto& t : ts) t.join();
        });
        while (ran.load() < 80) this_goroutine::yield();
        EXPECT_EQ(ran.load(), 80);
        EXPECT_EQ(ids.size(), 8u);
    }
}

TEST_F(Foreign, TheirMsAreReused) {
    int before = -1;
    for (int i = 0; i < 60; i++) {
        std::thread t([] { this_goroutine::yield(); });
        rt0::blocking([&] { t.join(); });
        std::size_t ms;
        {
            runtime_call rc;
            rcu_reader r;
            ms = allm().n;
        }
        if (i == 10) before = static_cast<int>(ms);
        if (i > 10) {
            EXPECT_LE(static_cast<int>(ms), before + 4);
        }
    }
}

// ---- the number of Ps

TEST_F(Procs, ReturnsTheFormerValueAndClamps) {
    rt0::gomaxprocs(3);
    EXPECT_EQ(rt0::gomaxprocs(), 3);
    EXPECT_EQ(rt0::gomaxprocs(0), 3);
    EXPECT_EQ(rt0::gomaxprocs(-7), 3);
    EXPECT_EQ(rt0::gomaxprocs(5), 3);
    EXPECT_EQ(rt0::gomaxprocs(5), 5);
    EXPECT_EQ(rt0::gomaxprocs(1'000'000), 5);
    EXPECT_EQ(rt0::gomaxprocs(2), cfg::max_procs);
    EXPECT_EQ(rt0::gomaxprocs(), 2);
}

TEST_F(Procs, DyingPsLeaveNothingBehind) {
    for (int round = 0; round < 30; round++) {
        rt0::gomaxprocs(8);
        constexpr int n = 400;
        std::atomic<int> ran{0};
        countdown done(n);
        for (int i = 0; i < n; i++)
            rt0::go([&, i] {
                if (i % 2) this_goroutine::sleep_for(std::chrono::microseconds(i));
                ran++;
                done.one();
            });
        rt0::gomaxprocs(1 + round % 3);
        done.wait();
        EXPECT_EQ(ran.load(), n);
        runtime_call rc;
        rcu_reader r;
        for (p* pp : allp()) {
            if (pp->id < gomaxprocs_now.load()) {
                EXPECT_NE(pp->status.load(), pdead);
                continue;
            }
            EXPECT_EQ(pp->status.load(), pdead);
            EXPECT_EQ(pp->timers.len, 0u);
            EXPECT_EQ(pp->gfree_n, 0);
            EXPECT_EQ(pp->mcache, nullptr);
            EXPECT_EQ(pp->runqhead.load(), pp->runqtail.load());
            EXPECT_EQ(pp->runnext.load(), nullptr);
        }
    }
}

TEST_F(Procs, ManyStoppersAtOnce) {
    constexpr int n = 8;
    countdown done(n);
    std::atomic<int> bad{0};
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            for (int k = 0; k < 25; k++) {
                int old = rt0::gomaxprocs(1 + (i * 3 + k) % 9);
                if (old < 1 || old > cfg::max_procs) bad++;
            }
            done.one();
        });
    std::thread t([&] {
        for (int k = 0; k < 25; k++) rt0::gomaxprocs(1 + k % 5);
    });
    done.wait();
    rt0::blocking([&] { t.join(); });
    EXPECT_EQ(bad.load(), 0);
}

}  // namespace
