// Threads of kernel_if, one property at a time, in both kinds.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <semaphore>
#include <set>
#include <string>
#include <thread>

#include "arch/arch.h"
#include "kernel_if/clock.h"
#include "kernel_if/signal.h"
#include "tests/support/kthreads.h"

using namespace rt0::kernel;
using test::kthread_on_stack;

namespace {

struct Threads : testing::TestWithParam<thread_kind> {
    void SetUp() override {
        alarm(120);  // a test that hangs dies
        const char* why = "";
        thread_kind got = test::use_threads(GetParam(), &why);
        if (got != GetParam()) {
            ASSERT_TRUE(test::sanitized) << why;
            GTEST_SKIP() << why;
        }
        EXPECT_EQ(thread_mode(), got);
        EXPECT_EQ(why == nullptr, got == thread_kind::raw_clone);
        std::thread([] {}).join();  // ThreadSanitizer makes its own thread with the first
        test::until_threads(threads_before);
    }
    void TearDown() override {
        inject_off();
        alarm(0);
    }
    const int threads_before = test::tsan ? 2 : 1;
};
INSTANTIATE_TEST_SUITE_P(Kinds, Threads, testing::Values(thread_kind::raw_clone, thread_kind::pthread),
                         [](auto& i) { return i.param == thread_kind::raw_clone ? "raw" : "pthread"; });

struct seen {
    char* sp = nullptr;
    std::int32_t tid = 0, real_tid = 0, self_tid = 0;
    sigset_t mask = {};
    int threads = 0, libc_value = 0;
    void* stack_lo = nullptr;
    std::size_t stack_size = 0;
    std::binary_semaphore go{0};
};

thread_local int libc_value = 77;

void look(void* p) {
    auto* s = static_cast<seen*>(p);
    s->sp = static_cast<char*>(__builtin_frame_address(0));
    s->tid = rt0::kernel::gettid();
    s->real_tid = ::gettid();
    sigmask_get(&s->mask);
    s->threads = count_threads();
    s->libc_value = libc_value;
    libc_value = 5;
    pthread_attr_t a;
    pthread_getattr_np(pthread_self(), &a);
    pthread_attr_getstack(&a, &s->stack_lo, &s->stack_size);
    pthread_attr_destroy(&a);
    s->go.acquire();
}

TEST_P(Threads, RunsAsAsked) {
    seen s;
    kthread_on_stack t;
    ASSERT_EQ(t.start(look, &s), 0);
    EXPECT_FALSE(t.gone());
    EXPECT_NE(t.get().tid->load(), 0u);
    s.go.release();
    t.reap();
    EXPECT_EQ(t.get().tcb, nullptr);
    if (!test::sanitized) {  // ASan may show a frame on its fake stack
        EXPECT_GT(s.sp, t.lo());
        EXPECT_LT(s.sp, t.hi());
    }
    EXPECT_EQ(s.tid, s.real_tid);
    EXPECT_NE(s.tid, rt0::kernel::gettid());
    EXPECT_EQ(s.threads, threads_before + 1);
    test::until_threads(threads_before);
    EXPECT_EQ(s.libc_value, 77);
    EXPECT_EQ(libc_value, 77);
    EXPECT_EQ(s.stack_lo, t.lo());
    EXPECT_EQ(s.stack_size, test::kstack);
    for (int sig = 1; sig <= 64; sig++) {
        bool never = sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33;
        bool blocked = reinterpret_cast<unsigned long*>(&s.mask)[0] >> (sig - 1) & 1;
        EXPECT_EQ(blocked, !never) << sig;
    }
}

TEST_P(Threads, CreatorKeepsItsMask) {
    sigset_t usr, before, after;
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &usr, nullptr);
    sigmask_get(&before);
    {
        kthread_on_stack t;
        ASSERT_EQ(t.start([](void*) {}, nullptr), 0);
    }
    inject_fail(inject::clone, 1, EAGAIN);
    kthread_on_stack t;
    EXPECT_EQ(t.start([](void*) {}, nullptr), -EAGAIN);
    sigmask_get(&after);
    EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
    sigemptyset(&usr);
    pthread_sigmask(SIG_SETMASK, &usr, nullptr);
}

// Interrupted or refused, the waits for its end look again.
TEST_P(Threads, ReapWaitsThroughErrors) {
    for (int e : {EINTR, EAGAIN, ENOSYS}) {
        inject_fail(inject::futex_libc, 1, e, 1000);
        kthread_on_stack t;
        std::atomic<bool> done{false};
        auto late = [](void* p) {
            rt0::kernel::usleep(20'000);
            *static_cast<std::atomic<bool>*>(p) = true;
        };
        ASSERT_EQ(t.start(late, &done), 0);
        t.reap();
        EXPECT_TRUE(done);
        EXPECT_EQ(inject_hits(inject::futex_libc) > 0, thread_mode() == thread_kind::raw_clone);
        inject_off();
    }
}

TEST_P(Threads, GoneBecomesTrueWithoutReap) {
    kthread_on_stack t;
    std::binary_semaphore go{0};
    ASSERT_EQ(t.start([](void* p) { static_cast<std::binary_semaphore*>(p)->acquire(); }, &go), 0);
    for (int i = 0; i < 100; i++) EXPECT_FALSE(t.gone());
    go.release();
    while (!t.gone()) osyield();
    EXPECT_TRUE(t.gone());
    EXPECT_EQ(t.get().tid->load(), 0u);
    std::memset(t.lo(), 0xcc, static_cast<std::size_t>(t.hi() - t.lo()));  // the stack is ours
    t.reap();
}

// Several threads may ask; one says yes first, all in the end.
TEST_P(Threads, GoneAskedByMany) {
    for (int i = 0; i < 50; i++) {
        kthread_on_stack t;
        ASSERT_EQ(t.start([](void*) {}, nullptr), 0);
        auto wait = [&] {
            while (!t.gone()) osyield();
        };
        std::thread a(wait), b(wait);
        a.join();
        b.join();
        t.reap();
    }
}

std::atomic<int> tl_dtors, tsd_dtors;
struct counted {
    std::string s = std::string(100, 'x');
    ~counted() { tl_dtors++; }
};
thread_local counted tl_counted;
pthread_key_t tsd_key;

TEST_P(Threads, DestructorsRanWhenGone) {
    tl_dtors = tsd_dtors = 0;
    ASSERT_EQ(pthread_key_create(&tsd_key, [](void* p) { std::free(p), tsd_dtors++; }), 0);
    for (int i = 1; i <= 100; i++) {
        kthread_on_stack t;
        ASSERT_EQ(t.start(
                      [](void*) {
                          tl_counted.s += "y";
                          pthread_setspecific(tsd_key, std::malloc(10));
                      },
                      nullptr),
                  0);
        while (!t.gone()) osyield();
        EXPECT_EQ(tl_dtors, i);
        EXPECT_EQ(tsd_dtors, i);
        t.reap();
    }
    pthread_key_delete(tsd_key);
}

void nothing_much(void*) {
    std::free(std::malloc(100));
    std::free(std::malloc(5000));
    tl_counted.s += "z";
}

TEST_P(Threads, ManyInTurnWithFlatMemory) {
    const int n = test::sanitized ? 500 : 20'000;
    kthread_on_stack t;
    long settled = 0;
    for (int i = 0; i < n + 500; i++) {
        if (i == 500) settled = test::resident_kib();
        ASSERT_EQ(t.start(nothing_much, nullptr), 0);
        t.reap();
    }
    test::until_threads(threads_before);
    if (!test::sanitized) {
        EXPECT_LT(test::resident_kib() - settled, 512);
    }
}

TEST_P(Threads, ManyAtOnce) {
    constexpr int n = 200;
    std::counting_semaphore<n> go{0};
    std::atomic<int> in{0};
    struct arg {
        std::counting_semaphore<n>* go;
        std::atomic<int>* in;
    } a = {&go, &in};
    {
        std::unique_ptr<kthread_on_stack> ts[n];
        for (auto& t : ts) {
            t = std::make_unique<kthread_on_stack>();
            ASSERT_EQ(t->start(
                          [](void* p) {
                              ++*static_cast<arg*>(p)->in;
                              static_cast<arg*>(p)->go->acquire();
                          },
                          &a),
                      0);
        }
        while (in < n) osyield();
        EXPECT_EQ(count_threads(), threads_before + n);
        go.release(n);
    }
    test::until_threads(threads_before);
}

TEST_P(Threads, FailuresAreReportedAndCostNothing) {
    kthread_on_stack t;
    long settled = 0;
    inject_fail(inject::clone, 1, EAGAIN, 3'000);
    for (int i = 0; i < 3'000; i++) {
        if (i == 500) settled = test::resident_kib();
        ASSERT_EQ(t.start(nothing_much, nullptr), -EAGAIN);
        ASSERT_EQ(t.get().tcb, nullptr);
    }
    EXPECT_EQ(inject_hits(inject::clone), 3'000u);
    if (!test::sanitized) {
        EXPECT_LT(test::resident_kib() - settled, 512);
    }
    inject_fail(inject::tls_alloc, 1, ENOMEM);
    EXPECT_EQ(t.start(nothing_much, nullptr), -ENOMEM);
    ASSERT_EQ(t.start(nothing_much, nullptr), 0);
    t.reap();
    test::until_threads(threads_before);
}

TEST_P(Threads, PthreadKillReaches) {
    struct box {
        std::atomic<pthread_t> self{};
        int got = 0;
    } b;
    kthread_on_stack t;
    ASSERT_EQ(t.start(
                  [](void* p) {
                      auto* x = static_cast<box*>(p);
                      x->self = pthread_self();
                      sigset_t usr;
                      sigemptyset(&usr);
                      sigaddset(&usr, SIGUSR1);
                      sigwait(&usr, &x->got);
                  },
                  &b),
              0);
    while (b.self == pthread_t{}) osyield();
    EXPECT_EQ(pthread_kill(b.self, SIGUSR1), 0);
    t.reap();
    EXPECT_EQ(b.got, SIGUSR1);
}

// setuid interrupts every thread by a signal of libc's own and waits for all of them,
// also for those that are being created or fail to be.
TEST_P(Threads, SetuidWhileThreadsComeAndGo) {
    std::atomic<bool> stop{false};
    std::atomic<int> done{0};
    std::thread changer([&] {
        while (!stop) {
            if (setresuid(-1u, geteuid(), -1u) == 0) done++;
        }
    });
    kthread_on_stack t;
    for (int i = 0; i < (test::sanitized ? 200 : 2'000) || done < 20; i++) {
        if (i % 10 == 0) inject_fail(inject::clone, 1, EAGAIN);
        int e = t.start([](void*) { osyield(); }, nullptr);
        ASSERT_EQ(e, i % 10 == 0 ? -EAGAIN : 0);
        if (e == 0) t.reap();
    }
    stop = true;
    changer.join();
}

// In the child glibc is single-threaded again: threads made there must still lock.
void fork_and_thread(void*) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        kthread_on_stack a, b;
        auto churn = [](void*) {
            for (int i = 0; i < 20'000; i++) {
                void* p = std::malloc(static_cast<std::size_t>(i % 2000));
                std::free(std::malloc(3000));
                std::free(p);
            }
        };
        if (rt0::kernel::gettid() != getpid() || a.start(churn, nullptr) != 0 || b.start(churn, nullptr) != 0) _exit(1);
        churn(nullptr);
        a.reap();
        b.reap();
        test::until_threads(1);
        _exit(0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) std::abort();
}

TEST_P(Threads, ForkFromAThread) {
    if (test::sanitized) GTEST_SKIP() << "threads after a multi-threaded fork are not the sanitizers' business";
    for (int i = 0; i < 5; i++) {
        kthread_on_stack t;
        ASSERT_EQ(t.start(fork_and_thread, nullptr), 0);
    }
    fork_and_thread(nullptr);
}

_Unwind_Reason_Code count_frame(_Unwind_Context*, void* n) {
    ++*static_cast<int*>(n);
    return _URC_NO_REASON;
}
struct trace {
    int frames = 0;
    _Unwind_Reason_Code end = _URC_NO_REASON;
};

TEST_P(Threads, UnwindingEndsCleanly) {
    trace tr;
    kthread_on_stack t;
    ASSERT_EQ(t.start(
                  [](void* p) {
                      auto* x = static_cast<trace*>(p);
                      x->end = _Unwind_Backtrace(count_frame, &x->frames);
                  },
                  &tr),
              0);
    t.reap();
    EXPECT_EQ(tr.end, _URC_END_OF_STACK);
    EXPECT_GE(tr.frames, 3);
    EXPECT_LE(tr.frames, 10);
}

// Break one assumption about glibc after the other: every time the pthread kind with a reason.
TEST(ThreadInit, EachMismatchFallsBack) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer decides before";
    std::set<std::string> reasons;
    std::uint32_t nth = 1;
    for (;; nth++) {
        inject_fail(inject::calibrate, nth, EINVAL);
        const char* why = nullptr;
        thread_kind k = thread_init(&why);
        if (inject_hits(inject::calibrate) == 0) {
            EXPECT_EQ(k, thread_kind::raw_clone);
            EXPECT_EQ(why, nullptr);
            break;
        }
        ASSERT_EQ(k, thread_kind::pthread);
        ASSERT_NE(why, nullptr);
        EXPECT_NE(std::string(why).find("; using pthread_create"), std::string::npos) << why;
        reasons.insert(why);
        kthread_on_stack t;
        ASSERT_EQ(t.start(nothing_much, nullptr), 0);
        t.reap();
    }
    inject_off();
    EXPECT_GT(nth, 25u);
    EXPECT_GT(reasons.size(), 18u);
}

// What calibration asks of the system is refused: the pthread kind, but where the kernel only has no robust lists to show.
TEST(ThreadInit, RefusalsFallBack) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer decides before";
    const char* why = nullptr;
    for (std::uint32_t nth : {1, 2}) {  // calloc, pthread_create
        inject_fail(inject::libc, nth, EAGAIN);
        EXPECT_EQ(thread_init(&why), thread_kind::pthread);
        EXPECT_NE(why, nullptr);
    }
    inject_off();
    inject_fail(inject::mmap, 1, ENOMEM, -1);
    EXPECT_EQ(thread_init(&why), thread_kind::pthread);
    inject_off();
    inject_fail(inject::robust_list, 1, ENOSYS, -1);
    EXPECT_EQ(thread_init(&why), thread_kind::raw_clone) << why;
    inject_off();
    EXPECT_EQ(thread_init(nullptr), thread_kind::raw_clone);
}

TEST(Refused, ThreadsAreNotCountedAndTheSignalStackIsAnothers) {
    inject_fail(inject::tasks, 1, EMFILE);
    EXPECT_EQ(count_threads(), -EMFILE);
    inject_fail(inject::sigaltstack, 1, EFAULT);
    EXPECT_TRUE(sigaltstack_other(nullptr));
    EXPECT_EQ(inject_hits(inject::sigaltstack), 1u);
    struct sigaction sa;
    inject_fail(inject::sigaction, 1, EINVAL);
    EXPECT_EQ(sigaction_get(SIGUSR2, &sa), -EINVAL);
    inject_off();
    EXPECT_EQ(sigaction_get(1000, &sa), -EINVAL);
}

TEST(Inject, CountsAndEnds) {
    inject_fail(inject::madvise, 2, ENOMEM, 2);
    EXPECT_EQ(injected(inject::madvise), 0);
    EXPECT_EQ(injected(inject::mmap), 0);
    EXPECT_EQ(injected(inject::madvise), -ENOMEM);
    EXPECT_EQ(injected(inject::madvise), -ENOMEM);
    EXPECT_EQ(injected(inject::madvise), 0);
    EXPECT_EQ(inject_hits(inject::madvise), 2u);
    inject_fail(inject::madvise, 1, EIO, -1);
    for (int i = 0; i < 100; i++) EXPECT_EQ(injected(inject::madvise), -EIO);
    inject_off();
    EXPECT_EQ(injected(inject::madvise), 0);
}

}  // namespace
