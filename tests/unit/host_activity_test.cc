// kernel::activity: what the kernel says of threads whose state is known, and the scheduling classes of threads.
// What is waited for without a limit comes, or the test hangs: that is how it fails.
#include <gtest/gtest.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <memory>
#include <thread>
#include <vector>

#include "kernel_if/activity.h"
#include "kernel_if/inject.h"
#include "kernel_if/syscall.h"
#include "kernel_if/thread.h"

using namespace rt0::kernel;

namespace {

// A thread whose tid is known.
class known_thread {
public:
    template <class F>
    explicit known_thread(F f)
        : t_([this, f] {
              tid_ = static_cast<std::int32_t>(syscall(SYS_gettid));
              f();
          }) {
        while (tid_.load() == 0) sched_yield();
    }
    std::int32_t tid() const { return tid_.load(); }
    pthread_t handle() { return t_.native_handle(); }
    void join() { t_.join(); }

private:
    std::atomic<std::int32_t> tid_{0};
    std::thread t_;
};

bool tells() { return activity_now(static_cast<std::int32_t>(syscall(SYS_gettid))) != activity::unknown; }

struct Activity : testing::Test {
    void SetUp() override {
        if (!tells()) GTEST_SKIP() << "this kernel does not tell what a thread does";
    }
};

// From when it is first seen blocked until it is woken it is blocked at each look, and uses no processor.
void expect_blocked(known_thread& t) {
    while (activity_now(t.tid()) != activity::blocked) sched_yield();
    const activity_file fd = activity_open(t.tid());
    ASSERT_GE(fd.fd, 0);
    const std::int64_t used = thread_cputime(t.tid());
    EXPECT_GT(used, 0);
    for (int i = 0; i < 1000; i++) ASSERT_EQ(activity_read(fd), activity::blocked) << i;
    EXPECT_EQ(thread_cputime(t.tid()), used);
    activity_close(fd);
}

TEST_F(Activity, AFutexWait) {
    std::atomic<std::uint32_t> word{0};
    known_thread t([&] {
        while (word.load() == 0) sysc_sure(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr);
    });
    expect_blocked(t);
    word = 1;
    sysc_sure(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX);
    t.join();
}

TEST_F(Activity, ASleep) {
    struct sigaction a = {};
    a.sa_handler = [](int) {};
    sigaction(SIGUSR1, &a, nullptr);  // without SA_RESTART it ends the sleep
    known_thread t([] {
        timespec day{86'400, 0};
        EXPECT_EQ(sysc_sure(SYS_nanosleep, &day, nullptr), -EINTR);
    });
    expect_blocked(t);
    pthread_kill(t.handle(), SIGUSR1);
    t.join();
}

TEST_F(Activity, ARead) {
    int fd[2];
    ASSERT_EQ(pipe(fd), 0);
    known_thread t([&] {
        char c;
        EXPECT_EQ(read(fd[0], &c, 1), 1);
    });
    expect_blocked(t);
    EXPECT_EQ(write(fd[1], "x", 1), 1);
    t.join();
    close(fd[0]);
    close(fd[1]);
}

// Loops, more of them than processors: most wait for one, which is "running" all the same.
TEST_F(Activity, LoopsThatHaveAProcessorOrWaitForOne) {
    std::atomic<bool> end{false};
    std::atomic<int> looping{0};
    std::vector<std::unique_ptr<known_thread>> ts;
    for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency() + 2; i++)
        ts.push_back(std::make_unique<known_thread>([&] {
            looping++;
            while (!end.load(std::memory_order_relaxed)) {}
        }));
    while (looping.load() < static_cast<int>(ts.size())) sched_yield();
    for (auto& t : ts) {
        const activity_file fd = activity_open(t->tid());
        ASSERT_GE(fd.fd, 0);
        for (int i = 0; i < 300; i++) ASSERT_EQ(activity_read(fd), activity::running) << i;
        const std::int64_t used = thread_cputime(t->tid());
        while (thread_cputime(t->tid()) == used) {}  // its turn comes
        activity_close(fd);
    }
    end = true;
    for (auto& t : ts) t->join();
}

// Where `syscall` is root's file and the process is not, any more, the state letter tells.
TEST_F(Activity, ByTheStateOfTheThread) {
    auto open_refused = [](std::int32_t tid) {
        inject_fail(inject::activity, 1, EACCES);
        const activity_file fd = activity_open(tid);
        inject_off();
        EXPECT_GE(fd.fd, 0);
        return fd;
    };
    int pipe_fd[2];
    ASSERT_EQ(pipe(pipe_fd), 0);
    std::atomic<bool> end{false};
    known_thread reads([&] {
        prctl(PR_SET_NAME, "a) R (b");
        char c;
        EXPECT_EQ(read(pipe_fd[0], &c, 1), 1);
    });
    known_thread loops([&] {
        prctl(PR_SET_NAME, "a) S (b");
        while (!end.load(std::memory_order_relaxed)) {}
    });
    const activity_file blocked = open_refused(reads.tid()), running = open_refused(loops.tid());
    while (activity_read(blocked) != activity::blocked) sched_yield();
    while (activity_read(running) != activity::running) sched_yield();
    for (int i = 0; i < 300; i++) {
        ASSERT_EQ(activity_read(blocked), activity::blocked) << i;
        ASSERT_EQ(activity_read(running), activity::running) << i;
    }
    end = true;
    EXPECT_EQ(write(pipe_fd[1], "x", 1), 1);
    reads.join();
    loops.join();
    for (int fd : {blocked.fd, running.fd, pipe_fd[0], pipe_fd[1]}) close(fd);
}

// Where the program has closed a descriptor that is not its own and got the number for a file, that one stays open.
TEST_F(Activity, ADescriptorThatIsAnotherFileByNow) {
    const activity_file f = activity_open(static_cast<std::int32_t>(syscall(SYS_gettid)));
    ASSERT_GE(f.fd, 0);
    int pipe_fd[2];
    ASSERT_EQ(pipe(pipe_fd), 0);
    ASSERT_EQ(dup2(pipe_fd[0], f.fd), f.fd);
    EXPECT_EQ(activity_read(f), activity::unknown);
    activity_close(f);
    EXPECT_NE(fcntl(f.fd, F_GETFD), -1);
    for (int fd : {f.fd, pipe_fd[0], pipe_fd[1]}) EXPECT_EQ(close(fd), 0);
}

TEST_F(Activity, AThreadThatHasEnded) {
    std::atomic<bool> end{false};
    known_thread t([&] {
        while (!end.load()) sched_yield();
    });
    const activity_file fd = activity_open(t.tid());
    ASSERT_GE(fd.fd, 0);
    EXPECT_NE(activity_read(fd), activity::unknown);
    end = true;
    t.join();
    while (activity_read(fd) != activity::unknown) sched_yield();  // joined a moment before the kernel is done with it
    activity_close(fd);
    EXPECT_EQ(activity_open(t.tid()).fd, -ENOENT);
    EXPECT_EQ(activity_now(t.tid()), activity::unknown);
    EXPECT_LT(thread_cputime(t.tid()), 0);
}

TEST_F(Activity, WhereTheKernelRefuses) {
    const auto me = static_cast<std::int32_t>(syscall(SYS_gettid));
    const activity_file fd = activity_open(me);
    EXPECT_NE(activity_read(fd), activity::unknown);
    inject_fail(inject::activity, 1, EMFILE, -1);
    EXPECT_EQ(activity_open(me).fd, -EMFILE);
    EXPECT_EQ(activity_read(fd), activity::unknown);
    EXPECT_EQ(activity_now(me), activity::unknown);
    inject_off();
    inject_fail(inject::activity, 1, EINTR);
    EXPECT_NE(activity_read(fd), activity::unknown) << "asked again";
    inject_off();
    activity_close(fd);
}

// ---- classes

int class_of(std::int32_t tid) { return static_cast<int>(syscall(SYS_sched_getscheduler, tid)) & ~SCHED_RESET_ON_FORK; }

TEST(Classes, IntoIdleAndBack) {
    std::atomic<bool> probed{false}, end{false};
    known_thread t([&] {
        idle_class_probe();
        probed = true;
        while (!end.load()) usleep(1000);
    });
    while (!probed.load()) sched_yield();
    const std::int32_t tid = t.tid();
    if (idle_class_permitted()) {
        EXPECT_EQ(class_of(tid), SCHED_OTHER) << "the probe came back";
        EXPECT_EQ(idle_class_leave(tid), -EINVAL);
        EXPECT_EQ(idle_class_enter(tid), 0);
        EXPECT_EQ(class_of(tid), SCHED_IDLE);
        EXPECT_EQ(idle_class_enter(tid), -EINVAL);
        EXPECT_EQ(idle_class_leave(tid), 0);
        EXPECT_EQ(class_of(tid), SCHED_OTHER);
        sched_param p = {};
        ASSERT_EQ(syscall(SYS_sched_setscheduler, tid, SCHED_BATCH, &p), 0);
        EXPECT_EQ(idle_class_enter(tid), -EINVAL) << "the program's choice";
        EXPECT_EQ(idle_class_leave(tid), -EINVAL);
        EXPECT_EQ(class_of(tid), SCHED_BATCH);
    }
    end = true;
    t.join();
    EXPECT_LT(idle_class_enter(tid), 0);
}

TEST(Classes, WhereTheKernelRefuses) {
    std::thread([] {
        idle_class_probe();
        // Two calls to enter, two to leave, which it could not do afterwards where that is not permitted.
        const std::uint32_t calls = idle_class_permitted() ? 4 : 2;
        for (std::uint32_t nth = 1; nth <= calls; nth++) {
            inject_fail(inject::idle_class, nth, EPERM, -1);
            idle_class_probe();
            EXPECT_FALSE(idle_class_permitted()) << nth;
            inject_off();
            idle_class_leave(0);
        }
        inject_fail(inject::idle_class, 1, ESRCH);
        EXPECT_FALSE(idle_class_now());
        inject_off();
        inject_fail(inject::realtime, 1, EPERM);
        EXPECT_EQ(realtime_enter(), -EPERM);
        inject_off();
        idle_class_probe();
    }).join();
}

TEST(Classes, RealtimeAndBack) {
    int entered = 1, inside = -1, again = 0, after = -1;
    known_thread t([&] {
        entered = realtime_enter();
        inside = class_of(0);
        again = realtime_enter();
        realtime_leave();
        after = class_of(0);
    });
    t.join();
    if (entered == -EPERM) GTEST_SKIP() << "not permitted here";
    EXPECT_EQ(entered, 0);
    EXPECT_EQ(inside, SCHED_FIFO);
    EXPECT_EQ(again, -EINVAL) << "it has another class already";
    EXPECT_EQ(after, SCHED_OTHER);
}

}  // namespace
