// Goroutines in plain user code that block in the kernel or loop without end: the others
// go on, a stop-the-world goes through, and what lost its P comes back and loses nothing.
//
// A test here that fails does so by hanging: what it waits for never comes.  None looks at a
// clock.
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include <rt0/rt0.h>

#include "base/chaos.h"
#include "kernel_if/syscall.h"
#include "sched/sched.h"
#include "tests/support/gate.h"

using namespace std::chrono_literals;
using testing_support::countdown;
namespace rt = rt0::runtime;
namespace this_goroutine = rt0::this_goroutine;

namespace {

// Each at several P, as it is and with pauses between every two steps of the handshake (those of the fast path
// in debug builds, MODE=asan among them).
struct Retake : testing::TestWithParam<std::tuple<int, int>> {
    const int p = std::get<0>(GetParam());
    int procs = rt0::gomaxprocs(p);
    Retake() { rt::chaos_state = static_cast<std::uint64_t>(std::get<1>(GetParam())); }
    ~Retake() override {
        rt::chaos_state = 0;
        rt0::gomaxprocs(procs);
    }
};
INSTANTIATE_TEST_SUITE_P(P, Retake, testing::Combine(testing::Values(1, 2, 3, 8, 64), testing::Values(0, 4711)));

// ---- blocking without a word to the runtime, and without libc: nobody can have interposed

[[gnu::noinline]] void raw_nanosleep(long ns) {
    timespec t{0, ns};
    if (rt0::kernel::sysc_sure(SYS_nanosleep, &t, nullptr) != 0) std::abort();  // EINTR: nothing of the runtime's may cause that
}
[[gnu::noinline]] void raw_futex_wait(std::atomic<std::uint32_t>* word, std::uint32_t while_it_is) {
    while (word->load() == while_it_is)
        if (rt0::kernel::sysc_sure(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, nullptr) == -EINTR) std::abort();
}
[[gnu::noinline]] void raw_futex_wake(std::atomic<std::uint32_t>* word) {
    rt0::kernel::sysc_sure(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

// As many as twice the Ps wait for a word that one more goroutine, started last, sets.
TEST_P(Retake, SleepersOnAFutexAreWokenByOneWhoNeedsAP) {
    const int n = 2 * p + 3;
    std::atomic<std::uint32_t> word{0};
    std::atomic<int> started{0};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            started++;
            raw_futex_wait(&word, 0);
            done.one();
        });
    while (started < n) this_goroutine::yield();
    rt0::go([&] {
        word = 1;
        raw_futex_wake(&word);
    });
    done.wait();
}

TEST_P(Retake, SleepersDoNotKeepOthersFromRunning) {
    const int n = 2 * p;
    std::atomic<int> sleeping{n};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            raw_nanosleep(20'000'000);
            sleeping--;
            done.one();
        });
    this_goroutine::yield();
    rt0::chan<int> c(0);
    long sum = 0;
    for (int k = 0; k < 1000; k++) {
        rt0::go([c, k]() mutable { c.send(k); });
        sum += *c.recv();
    }
    EXPECT_EQ(sum, 999 * 1000 / 2);
    done.wait();
    EXPECT_EQ(sleeping.load(), 0);
}

// Nothing waits in its own queue nor in the global one: it is another P that has more to do than it gets through.
TEST_P(Retake, ABacklogElsewhereTakesThePOfOneThatBlocks) {
    if (p == 1) GTEST_SKIP() << "there is no other";
    std::atomic<std::uint32_t> word{0};
    std::atomic<rt::m*> blocked{nullptr};
    std::atomic<bool> block{false}, taken{false};
    countdown done(1);
    rt0::go([&] {
        blocked = rt::getg()->mp;
        while (!block) {}  // whoever waited behind it runs elsewhere by then
        raw_futex_wait(&word, 0);
        done.one();
    });
    while (!blocked) this_goroutine::yield();
    rt0::wait_group others;
    for (int i = 0; i < p + 1; i++)
        others.go([&] {
            for (; !taken; this_goroutine::yield())
                for (auto end = std::chrono::steady_clock::now() + 200us; std::chrono::steady_clock::now() < end;) {}
        });
    block = true;
    while ((blocked.load()->retake.load() & rt::rt_phase) != rt::rt_taken) this_goroutine::yield();
    taken = true;
    others.wait();
    word = 1;
    raw_futex_wake(&word);
    done.wait();
}

// The holder of a std::mutex parks; others block on it in the kernel, on every P.
TEST_P(Retake, AStdMutexHeldAcrossAPark) {
    std::mutex m;
    long n = 0;
    const int goroutines = 2 * p + 4;
    countdown done(goroutines);
    for (int i = 0; i < goroutines; i++)
        rt0::go([&] {
            for (int k = 0; k < 5; k++) {
                std::lock_guard l(m);
                n++;
                this_goroutine::sleep_for(100us);  // unlocked by whatever thread it wakes up on
            }
            done.one();
        });
    done.wait();
    EXPECT_EQ(n, 5l * goroutines);
}

struct pipe_pair {
    int fd[2];
    pipe_pair() {
        if (pipe(fd) != 0) std::abort();
    }
    ~pipe_pair() {
        close(fd[0]);
        close(fd[1]);
    }
};

// Each reads what the one before it wrote, in plain read(2).
TEST_P(Retake, ARingOfPipes) {
    constexpr int n = 20, rounds = 20;
    std::vector<pipe_pair> pipes(n);
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            for (int k = 0; k < rounds; k++) {
                char c;
                if (read(pipes[static_cast<std::size_t>(i)].fd[0], &c, 1) != 1) std::abort();
                if (i == n - 1 && k == rounds - 1) break;
                if (write(pipes[static_cast<std::size_t>((i + 1) % n)].fd[1], &c, 1) != 1) std::abort();
            }
            done.one();
        });
    char token = 'x';
    ASSERT_EQ(write(pipes[0].fd[1], &token, 1), 1);
    done.wait();
}

// ---- loops without a call

TEST_P(Retake, EndlessLoopsStopNobody) {
    const int n = p > 8 ? 8 : p;
    std::atomic<bool> stop{false};
    std::atomic<int> started{0};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            started++;
            while (!stop.load(std::memory_order_relaxed)) {}
            done.one();
        });
    while (started < n) this_goroutine::yield();
    rt0::chan<int> c(0);
    for (int k = 0; k < 20; k++) {
        rt0::go([c, k]() mutable { c.send(k); });
        EXPECT_EQ(*c.recv(), k);
        this_goroutine::sleep_for(1us);
    }
    stop = true;
    done.wait();
}

// The world stops though every P is in a loop, and the number of Ps changes under them.
TEST_P(Retake, TheWorldStopsBesideLoops) {
    const int n = p > 4 ? 4 : p;
    std::atomic<bool> stop{false};
    std::atomic<int> started{0};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            started++;
            while (!stop.load(std::memory_order_relaxed)) {}
            done.one();
        });
    while (started < n) this_goroutine::yield();
    int before = p;
    for (int k = 0; k < 10; k++)
        for (int other : {1, 2, 7, 3}) EXPECT_EQ(rt0::gomaxprocs(other), std::exchange(before, other));
    EXPECT_EQ(rt0::gomaxprocs(p), before);
    stop = true;
    done.wait();
}

// Those that lost their P come back through every kind of call.
TEST_P(Retake, TheWayBack) {
    const int n = 3 * (p > 4 ? 4 : p);
    rt0::mutex m;
    rt0::chan<int> c(1);
    long locked = 0;
    countdown done(n), spawned(10 * n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            for (int k = 0; k < 10; k++) {
                raw_nanosleep(300'000);
                switch (k % 5) {
                    case 0: c.send(1); c.recv(); break;
                    case 1: this_goroutine::yield(); break;
                    case 2: { std::lock_guard l(m); locked++; break; }
                    case 3: rt0::blocking([] { raw_nanosleep(1000); this_goroutine::yield(); }); break;
                    case 4: this_goroutine::sleep_for(10us); break;
                }
                rt0::go([&] { spawned.one(); });
            }
            raw_nanosleep(300'000);
            done.one();
        });
    done.wait();
    spawned.wait();
    EXPECT_EQ(locked, 2l * n);
}

// A goroutine that ends without its P, and one that unwinds.
TEST_P(Retake, EndingWithoutAP) {
    const int n = 4 * (p > 4 ? 4 : p);
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            struct at_end {
                countdown& done;
                ~at_end() {
                    raw_nanosleep(300'000);
                    done.one();
                    raw_nanosleep(300'000);
                }
            } e{done};
            if (i % 2) this_goroutine::exit();
        });
    done.wait();
}

TEST_P(Retake, LockedGoroutinesKeepTheirThread) {
    const int n = p > 4 ? 6 : p + 2;
    countdown done(n);
    std::atomic<int> moved{0};
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            this_goroutine::lock_os_thread();
            const long me = syscall(SYS_gettid);
            for (int k = 0; k < 10; k++) {
                raw_nanosleep(200'000);
                this_goroutine::yield();
                if (syscall(SYS_gettid) != me) moved++;
            }
            this_goroutine::unlock_os_thread();
            done.one();
        });
    done.wait();
    EXPECT_EQ(moved.load(), 0);
}

// Timers on the heap of a P whose goroutine is away.
TEST_P(Retake, TimersOfATakenPAreRun) {
    countdown done(2 * p);
    std::atomic<int> sleeping{0};
    for (int i = 0; i < p; i++)
        rt0::go([&] {
            rt0::go([&] {
                sleeping++;
                this_goroutine::sleep_for(1ms);
                done.one();
            });
            this_goroutine::yield();
            raw_nanosleep(10'000'000);
            done.one();
        });
    done.wait();
}

TEST_P(Retake, AForeignThreadIsServed) {
    const int n = p > 8 ? 8 : p;
    std::atomic<bool> stop{false};
    std::atomic<int> started{0};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            started++;
            while (!stop.load(std::memory_order_relaxed)) {}
            done.one();
        });
    while (started < n) this_goroutine::yield();
    rt0::chan<int> c(0), back(0);
    std::thread t([&] {
        for (int k = 0; k < 20; k++) {
            c.send(k);
            EXPECT_EQ(*back.recv(), k + 1);
        }
    });
    for (int k = 0; k < 20; k++) back.send(*c.recv() + 1);
    t.join();
    stop = true;
    done.wait();
}

}  // namespace
