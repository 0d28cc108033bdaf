// The contract with glibc itself: its thread count, its list of stacks, and setuid's
// handshake with a thread that never came to run.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/glibc.h"
#include "tests/support/kthreads.h"

using namespace rt0::kernel;
using test::kthread_on_stack;

namespace {

struct Glibc : testing::Test {
    glibc_layout gl;
    void SetUp() override {
        alarm(200);  // a test that hangs dies
        if (test::use_threads(thread_kind::raw_clone) != thread_kind::raw_clone) GTEST_SKIP() << "no raw threads here";
        need_symbols();
        const char* why = glibc_calibrate(&gl);
        ASSERT_EQ(why, nullptr) << why;
    }
    void TearDown() override {
        inject_off();
        alarm(0);
    }
    int count() { return __atomic_load_n(gl.nthreads, __ATOMIC_SEQ_CST); }
    int listed() {
        int n = 0;
        for (auto* e = gl.stack_user->next; e != gl.stack_user; e = e->next) {
            EXPECT_EQ(e->next->prev, e);
            EXPECT_EQ(e->prev->next, e);
            n++;
        }
        return n;
    }
};

TEST_F(Glibc, BooksBalance) {
    int n = count(), l = listed();
    EXPECT_EQ(n, 1);
    {
        std::atomic<bool> stop{false};
        auto wait = [](void* p) {
            while (!*static_cast<std::atomic<bool>*>(p)) osyield();
        };
        kthread_on_stack a, b, c;
        ASSERT_EQ(a.start(wait, &stop), 0);
        ASSERT_EQ(b.start(wait, &stop), 0);
        inject_fail(inject::clone, 1, EAGAIN);
        ASSERT_EQ(c.start(wait, &stop), -EAGAIN);
        EXPECT_EQ(count(), n + 2);
        EXPECT_EQ(listed(), l + 2);
        stop = true;
        while (!a.gone() || !b.gone()) osyield();
        EXPECT_EQ(count(), n);
        EXPECT_EQ(listed(), l + 2);  // until they are reaped
    }
    EXPECT_EQ(count(), n);
    EXPECT_EQ(listed(), l);
}

// setuid finds a thread on the list that is not cloned yet, and waits for it: -2.
TEST_F(Glibc, SetuidIsReleasedByAFailedClone) {
    kthread_on_stack stack;
    char* pd = glibc_thread_new(gl, nullptr, nullptr, stack.lo(), test::kstack);
    ASSERT_NE(pd, nullptr);
    glibc_thread_enlist(gl, pd);
    auto* word = reinterpret_cast<std::atomic<std::int32_t>*>(pd + gl.setxid_futex);
    EXPECT_EQ(*word, -1);
    std::atomic<int> result{77};
    std::thread changer([&] { result = setresuid(-1u, geteuid(), -1u); });
    while (*word != -2) osyield();
    // From here no thread can be made: setuid holds the lock of the list.
    EXPECT_EQ(result, 77);
    glibc_thread_delist(gl, pd, false);  // lets setuid go on, then waits for that lock
    changer.join();
    EXPECT_EQ(result, 0);
    glibc_thread_free(gl, pd);
    EXPECT_EQ(count(), 1);
}

// One of ours and one of glibc's sleep on the stack lock: ours, woken first, wakes glibc's.
TEST_F(Glibc, StackLockWakesTheNext) {
    if (!test::sleep_is_visible()) GTEST_SKIP() << "the kernel does not show system calls";
    std::atomic<int> ours{0}, theirs{0}, go{0};
    kthread_on_stack stack;
    std::thread a([&] {
        ours = ::gettid();
        while (go < 1) osyield();
        EXPECT_EQ(stack.start([](void*) {}, nullptr), 0);
    });
    std::thread b([&] {
        theirs = ::gettid();
        while (go < 2) osyield();
        std::thread([] {}).join();
    });
    while (!ours || !theirs) osyield();
    std::uint32_t free = 0;
    while (!gl.stack_lock->compare_exchange_strong(free, 1)) free = 0;
    go = 1;
    while (!test::sleeps_on(ours, gl.stack_lock)) osyield();
    EXPECT_EQ(*gl.stack_lock, 2u);
    go = 2;
    while (!test::sleeps_on(theirs, gl.stack_lock)) osyield();
    EXPECT_EQ(gl.stack_lock->exchange(0), 2u);
    futex_wake(gl.stack_lock, 1);
    a.join();
    b.join();
    stack.reap();
    EXPECT_EQ(*gl.stack_lock, 0u);
}

// The lock is glibc's: held by us, it stops pthread_create, and both wake each other.
TEST_F(Glibc, StackLockIsShared) {
    std::atomic<bool> stop{false};
    std::thread churn([&] {
        while (!stop) std::thread([] {}).join();
    });
    kthread_on_stack t;
    for (int i = 0; i < 2'000; i++) {
        ASSERT_EQ(t.start([](void*) {}, nullptr), 0);
        t.reap();
    }
    stop = true;
    churn.join();
    EXPECT_EQ(gl.stack_lock->load(), 0u);
    EXPECT_EQ(listed(), 1);  // the initial thread
    EXPECT_EQ(count(), 1);
}

}  // namespace
