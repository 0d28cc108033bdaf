// Threads that rt0 did not make: many at once, many in turn, every way to end, and what is
// left of them afterwards.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>

#include "kernel_if/thread.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
namespace this_goroutine = rt0::this_goroutine;

namespace {

// Extra Ms that a thread has now.  Those of the runtime's own threads come and go, too.
int extras_in_use() {
    runtime_call rc;
    rcu_reader r;
    int n = 0;
    for (m* mp : allm()) n += mp->is_extra && mp->lockedg;
    return n - sched.nmextraidle.load();
}
int extras_listed() {
    runtime_call rc;
    rcu_reader r;
    int n = 0;
    for (m* mp : allm()) n += mp->is_extra;
    return n;
}

// Waits, without a limit of its own, until f() holds.
template <class F>
void until(F f) {
    while (!f()) this_goroutine::sleep_for(1ms);
}

// A pthread of the smallest stack, so that thousands fit; its end is waited for by join or by `until`.
pthread_t start(void* (*fn)(void*), void* arg, bool detached = false) {
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, test::sanitized ? 4 << 20 : 128 << 10);
    if (detached) pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    pthread_t t;
    while (int e = pthread_create(&t, &a, fn, arg)) {  // the machine may be short of threads for a moment
        if (e != EAGAIN) std::abort();
        this_goroutine::sleep_for(10ms);
    }
    pthread_attr_destroy(&a);
    return t;
}
// Not inside blocking(): with one P each hand-over would wait for sysmon.
void join(pthread_t t) {
    while (pthread_tryjoin_np(t, nullptr) != 0) this_goroutine::yield();
}

struct Foreign : testing::Test {
    void TearDown() override {
        until([] { return extras_in_use() == 0; });
        until([] { return extras_listed() <= cfg::extra_ms_kept; });
    }
};

// ---- at once, in turn

TEST_F(Foreign, AThousandAtOnce) {
    constexpr int n = test::sanitized ? 200 : 1000;
    for (int round = 0; round < 2; round++) {
        struct shared {
            rt0::latch all{n};
            rt0::chan<int> to{0}, from{0};
        } s;
        std::vector<pthread_t> ts;
        for (int i = 0; i < n; i++)
            ts.push_back(start(
                [](void* p) -> void* {
                    auto& me = *static_cast<shared*>(p);
                    me.all.arrive_and_wait();  // nobody leaves before all are in
                    int v = me.to.recv().value();
                    this_goroutine::sleep_for(10us);
                    me.from.send(v + 1);
                    return nullptr;
                },
                &s));
        rt0::go([&] {
            for (int i = 0; i < n; i++) s.to.send(i);
        });
        long sum = 0;
        for (int i = 0; i < n; i++) sum += s.from.recv().value();
        EXPECT_EQ(sum, long{n} * (n + 1) / 2);
        for (pthread_t t : ts) join(t);
        until([] { return extras_listed() <= cfg::extra_ms_kept; });
    }
}

int mappings() {
    FILE* f = std::fopen("/proc/self/maps", "r");
    int lines = 0;
    for (int c; (c = std::fgetc(f)) != EOF;) lines += c == '\n';
    std::fclose(f);
    return lines;
}

TEST_F(Foreign, ThousandsInTurnLeaveNothing) {
    constexpr int n = test::sanitized ? 1000 : 20'000;
    std::atomic<int> ran{0};
    long rss = 0;
    int maps = 0, threads = 0;
    for (int i = 0; i < n; i++) {
        if (i == n / 10) {
            rss = test::resident_kib();
            maps = mappings();
            threads = rt0::kernel::count_threads();
        }
        join(start(
            [](void* p) -> void* {
                int one = 1;
                if (this_goroutine::id() % 16 == 0) {  // parks, too: with one P that takes a turn of sysmon's
                    rt0::chan<int> c(0);
                    rt0::go([c]() mutable { c.send(1); });
                    one = c.recv().value();
                }
                static_cast<std::atomic<int>*>(p)->fetch_add(one);
                return nullptr;
            },
            &ran));
    }
    EXPECT_EQ(ran.load(), n);
    EXPECT_LE(extras_listed(), cfg::extra_ms_kept) << "each thread finds the M of the one before";
    // What a leak of one small object for each thread would exceed, and noise does not.
    // ThreadSanitizer: each fiber that leaked would keep a part of its trace, 256 KiB.
    EXPECT_LT(test::resident_kib() - rss, test::tsan ? 128 << 10 : test::sanitized ? 64 << 10 : 4 << 10);
    EXPECT_LT(mappings() - maps, 100);
    EXPECT_LT(rt0::kernel::count_threads() - threads, 20);
}

// ---- ways to end

TEST_F(Foreign, PthreadExitDetachedAndLocked) {
    std::atomic<int> at_the_end{0};
    for (int i = 0; i < 50; i++) {
        start(
            [](void* p) -> void* {
                this_goroutine::lock_os_thread();  // three times, and never unlocked
                this_goroutine::lock_os_thread();
                this_goroutine::lock_os_thread();
                rt0::go([] {});
                rt0::blocking([] { this_goroutine::yield(); });
                static_cast<std::atomic<int>*>(p)->fetch_add(1);
                pthread_exit(nullptr);
            },
            &at_the_end, true);
    }
    until([&] { return at_the_end.load() == 50; });
}

// A canceled thread: rt0 calls are no cancellation points, what comes after them is.
TEST_F(Foreign, Canceled) {
#ifdef RT0_ASAN
    GTEST_SKIP() << "ASan takes the frames that a cancelled thread left for its own: an alarm in its thread exit";
#endif
#ifdef RT0_TSAN
    GTEST_SKIP() << "TSan believes a thread cancelled in pause() still there, and sees no locks of its thread exit";
#endif
    struct shared {
        rt0::chan<int> in{0}, go_on{0};
        bool survived_the_call = false;
    } s;
    pthread_t t = start(
        [](void* p) -> void* {
            auto& me = *static_cast<shared*>(p);
            me.in.send(1);
            me.go_on.recv();
            me.survived_the_call = true;
            for (;;) pause();
        },
        &s);
    s.in.recv();
    pthread_cancel(t);
    s.go_on.send(1);
    join(t);
    EXPECT_TRUE(s.survived_the_call);
}

// ---- destructors that call rt0

std::atomic<int> calls{0};
void use_rt0() {
    rt0::chan<int> c(0);
    rt0::go([c]() mutable { c.send(1); });
    calls += c.recv().value();
    this_goroutine::sleep_for(1us);
}

// Keys made before the runtime's own and after: their destructors run before and after the
// hook.  They arm themselves again in each of glibc's rounds.
void again(void* p);
pthread_key_t new_key() {
    pthread_key_t k;
    if (pthread_key_create(&k, again) != 0) std::abort();
    return k;
}
struct armed {
    pthread_key_t key;
    int rounds = 0;
};
void again(void* p) {
    auto* a = static_cast<armed*>(p);
    use_rt0();
    if (++a->rounds < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(a->key, a);
}
const pthread_key_t early_key = new_key();  // a static constructor: no foreign thread has called rt0 yet

struct object {
    int used = 0;
    ~object() { use_rt0(); }
};
thread_local object tls_object;

TEST_F(Foreign, DestructorsMayCallTheRuntime) {
#ifdef RT0_ASAN
    GTEST_SKIP() << "ASan's own destructor may come first, and takes every stack for foreign from then on";
#endif
#ifdef RT0_TSAN
    GTEST_SKIP() << "TSan's own destructor may come first, and knows the thread no more from then on";
#endif
    static const pthread_key_t late_key = new_key();
    for (bool first_in_destructor : {false, true}) {
        calls = 0;
        constexpr int n = 200;
        std::vector<std::unique_ptr<armed>> as;
        for (int i = 0; i < n; i++) {
            as.push_back(std::make_unique<armed>(armed{early_key}));
            as.push_back(std::make_unique<armed>(armed{late_key}));
            struct both {
                armed *a, *b;
                bool use;
            } x{as[as.size() - 2].get(), as.back().get(), !first_in_destructor};
            join(start(
                [](void* p) -> void* {
                    auto& mine = *static_cast<both*>(p);
                    pthread_setspecific(mine.a->key, mine.a);
                    pthread_setspecific(mine.b->key, mine.b);
                    tls_object.used = 1;
                    if (mine.use) use_rt0();
                    return nullptr;
                },
                &x));
            for (auto* a : {x.a, x.b}) ASSERT_EQ(a->rounds, PTHREAD_DESTRUCTOR_ITERATIONS);
        }
        EXPECT_EQ(calls.load(), n * (2 * PTHREAD_DESTRUCTOR_ITERATIONS + 1 + !first_in_destructor));
        until([] { return extras_in_use() == 0; });
        EXPECT_LE(extras_listed(), cfg::extra_ms_kept);
    }
}

// Libc does not say where its stack is: nobody knows what is left of it.
TEST_F(Foreign, OfAnUnknownStackNothingRemains) {
    std::size_t known = 0, unknown = 1;
    rt0::blocking([&] {
        std::thread([&] { known = this_goroutine::stack_remaining(); }).join();
        std::thread([&] {
            rt0::kernel::inject_fail(rt0::kernel::inject::libc, 1, ENOMEM);
            unknown = this_goroutine::stack_remaining();
            rt0::kernel::inject_off();
        }).join();
    });
    EXPECT_GT(known, 0u);
    EXPECT_EQ(unknown, 0u);
}

// The runtime's own threads have user code's thread_local objects, too.
TEST_F(Foreign, DestructorsOfAnMsThread) {
#ifdef RT0_ASAN
    GTEST_SKIP() << "as above";
#endif
    calls = 0;
    rt0::wait_group wg;
    constexpr int n = 20;
    wg.add(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            this_goroutine::lock_os_thread();  // its thread ends with it
            tls_object.used = 1;
            wg.done();
        });
    wg.wait();
    until([] { return calls.load() >= n - 1; });  // one may have been on the initial thread, which cannot end
}

// All at the same time: parked for good measure on everything, while the number of Ps changes.
TEST_F(Foreign, ComeAndGoWhileTheWorldStops) {
    constexpr int threads = 8, rounds = test::sanitized ? 20 : 200;
    std::atomic<int> left{threads};
    std::vector<std::thread> ts;
    for (int i = 0; i < threads; i++)
        ts.emplace_back([&] {
            for (int k = 0; k < rounds; k++) std::thread(use_rt0).join();
            left--;
        });
    int procs = rt0::gomaxprocs();
    for (int p = 1; left.load() != 0; p = p % 9 + 1) rt0::gomaxprocs(p);
    rt0::gomaxprocs(procs);
    rt0::blocking([&] {
        for (auto& t : ts) t.join();
    });
}

}  // namespace
