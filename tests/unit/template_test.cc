// The template thread: who clones, spare Ms and what stands in their way, Ms that end when
// a storm is over.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <vector>

#include <rt0/go.h>
#include <rt0/sync.h>

#include "kernel_if/inject.h"
#include "kernel_if/thread.h"
#include "sched/mstart.h"
#include "sched/template.h"
#include "tests/support/gate.h"
#include "tests/support/kthreads.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
using rt0::kernel::inject;
using testing_support::countdown;
namespace this_goroutine = rt0::this_goroutine;

namespace {

struct counts {
    int ms, idle, coming;
};
counts count_ms() {
    runtime_call rc;
    guard l(sched.lock);
    return {mcount(), sched.nmidle, sched.nmcoming};
}

// Waits, without a limit of its own, until f() holds.
template <class F>
void until(F f) {
    while (!f()) this_goroutine::sleep_for(1ms);
}

// For the end of idle Ms: each look wakes a few of them, which live on then, so there is none for longer than they live.
template <class F>
void until_quiet(F f) {
    this_goroutine::sleep_for(20ms);
    while (!f()) this_goroutine::sleep_for(std::chrono::nanoseconds(cfg::idle_m_ns) + 1s);
}

void want(int n) {
    runtime_call rc;
    want_spare_ms(n);
}

struct Template : testing::Test {
    int procs = rt0::gomaxprocs();
    int limit = cfg::max_ms;
    void SetUp() override { settle(); }
    void TearDown() override {
        rt0::kernel::inject_off();
        rt0::set_max_threads(cfg::max_ms);
        succeed();  // the next test starts with a try that succeeded
        rt0::gomaxprocs(procs);
    }
    // Enough idle Ms for the test's own needs, and none on the way.
    static void settle() {
        want(6);
        until([] { return count_ms().coming == 0; });
    }
    static void succeed() {
        until([] {
            if (spare_ms_refused()) want(count_ms().idle + 4);
            return !spare_ms_refused();
        });
    }
};

TEST_F(Template, SpareMsComeToTheIdleList) {
    int have = count_ms().idle;
    want(have + 5);
    until([&] { return count_ms().idle >= have + 5; });
    settle();
    EXPECT_FALSE(spare_ms_refused());
    counts c = count_ms();
    want(1);  // there already
    want(0);
    this_goroutine::sleep_for(20ms);
    EXPECT_LE(count_ms().ms, c.ms);
}

TEST_F(Template, AtTheLimitOfThreadsNothingIsFatal) {
    testing::internal::CaptureStderr();
    rt0::set_max_threads(count_ms().ms);
    want(count_ms().idle + 3);
    until([] { return spare_ms_refused(); });
    std::string said = testing::internal::GetCapturedStderr();
    static bool first = true;  // gtest_repeat
    EXPECT_EQ(said.find("set_max_threads") != std::string::npos, first) << said;
    first = false;
    counts c = count_ms();
    EXPECT_EQ(c.coming, 0);
    rt0::set_max_threads(cfg::max_ms);
    EXPECT_FALSE(spare_ms_refused()) << "a raised limit is tried at once";
    until([&] {
        want(c.idle + 3);
        return count_ms().ms > c.ms;
    });
}

TEST_F(Template, CloneThatFailsIsTriedAgainLater) {
    static bool first = true;  // gtest_repeat
    for (int error : {EAGAIN, ENOMEM, EPERM}) {
        testing::internal::CaptureStderr();
        rt0::kernel::inject_fail(inject::clone, 1, error);
        int ms = count_ms().ms;
        want(ms);  // more than there are idle
        until([] { return spare_ms_refused(); });
        settle();
        EXPECT_EQ(rt0::kernel::inject_hits(inject::clone), 1u);
        EXPECT_LE(count_ms().ms, ms) << "the M that got no thread is not counted";
        std::string said = testing::internal::GetCapturedStderr();
        const char* wanted = !first ? "" : error == EAGAIN ? "ulimit -u" : error == ENOMEM ? "ulimit -v" : "";
        EXPECT_NE(said.find(wanted), std::string::npos) << said;
        if (!*wanted) {
            EXPECT_EQ(said, "") << "of each kind one line, ever";
        }
        succeed();
        settle();
    }
    first = false;
}

// Goroutines that block each in a read of a pipe of their own.
class blocked_readers {
public:
    explicit blocked_readers(int n) : done_(n), fds_(static_cast<std::size_t>(2 * n)) {
        for (int i = 0; i < n; i++) {
            int* fd = &fds_[static_cast<std::size_t>(2 * i)];
            if (pipe(fd) != 0) throw std::runtime_error("pipe");
            rt0::go([this, fd] {
                rt0::blocking([&] {
                    char c;
                    inside_++;
                    if (read(fd[0], &c, 1) != 1) std::abort();
                });
                done_.one();
            });
        }
        until([&] { return inside_.load() == n; });
    }
    ~blocked_readers() {
        for (std::size_t i = 0; i < fds_.size(); i += 2)
            if (write(fds_[i + 1], "x", 1) != 1) std::abort();
        done_.wait();
        for (int fd : fds_) close(fd);
    }

private:
    countdown done_;
    std::vector<int> fds_;
    std::atomic<int> inside_{0};
};

// Goroutines that block one after the other in plain read(2), on one P: each takes an idle M with it, in the hands of which
// the caller goes on.
class plain_readers {
public:
    plain_readers() {
        if (pipe(fd_) != 0) throw std::runtime_error("pipe");
    }
    void add_one() {
        wg_.go([this] {
            char c;
            inside_++;
            if (read(fd_[0], &c, 1) != 1) std::abort();
        });
        n_++;
        while (inside_.load() < n_) this_goroutine::yield();
    }
    ~plain_readers() {
        for (int i = 0; i < n_; i++)
            if (write(fd_[1], "x", 1) != 1) std::abort();
        wg_.wait();
        close(fd_[0]);
        close(fd_[1]);
    }

private:
    int fd_[2], n_ = 0;
    std::atomic<int> inside_{0};
    rt0::wait_group wg_;
};

void until_one_is_ahead() {
    while (count_ms().idle + count_ms().coming == 0) this_goroutine::yield();
}

// The hand-off that uses the last idle M has one made for the next: that need not wait for the template thread.
TEST_F(Template, OneSpareMIsAhead) {
    rt0::gomaxprocs(1);
    plain_readers readers;
    for (int i = count_ms().idle + 6; i > 0; i--) {
        readers.add_one();
        until_one_is_ahead();
    }
}

// But the last thread below the limit is left to somebody who must have it.  Tried until it is: somebody else's work on the
// machine may have held this thread up until its P, too, was taken, and an M was missed.
TEST_F(Template, TheLastThreadBelowTheLimitIsNoSpare) {
    rt0::gomaxprocs(1);
    for (bool left = false; !left;) {
        plain_readers readers;
        while (count_ms().idle > 1) readers.add_one();
        until_one_is_ahead();
        while (count_ms().coming > 0) this_goroutine::yield();
        const int ms = count_ms().ms;
        rt0::set_max_threads(ms + 1);
        readers.add_one();
        const std::uint32_t looks = sched.sysmonlooks.load();
        const auto begin = std::chrono::steady_clock::now();
        while (sched.sysmonlooks.load() - looks < 50 || std::chrono::steady_clock::now() - begin < 50ms) this_goroutine::yield();
        left = count_ms().ms == ms && count_ms().idle == 0;
        rt0::set_max_threads(cfg::max_ms);
    }
}

// After a storm the Ms end again, but for those worth keeping, and their stacks are freed.
TEST_F(Template, SurplusMsEnd) {
    rt0::gomaxprocs(2);
    constexpr int n = 100;
    { blocked_readers storm(n); }
    EXPECT_GE(count_ms().ms, n);
    until_quiet([] { return count_ms().idle <= 2 + cfg::idle_ms_kept + 2; });  // m0 stays, and one wakes for our own sleeping
    until([] {  // buried: off the list, and the thread gone
        runtime_call rc;
        rcu_reader r;
        return static_cast<int>(allm().n) <= mcount();
    });
    until([] { return rt0::kernel::count_threads() <= count_ms().ms + test::tsan; });  // it has a thread of its own
    { blocked_readers again(n); }
}

// Ms that were worth keeping with many Ps are not with few.
TEST_F(Template, FewerPsKeepFewerMs) {
    rt0::gomaxprocs(40);
    { blocked_readers storm(60); }
    EXPECT_GE(count_ms().idle, 40);
    rt0::gomaxprocs(1);
    until_quiet([] { return count_ms().idle <= 1 + cfg::idle_ms_kept + 2; });
}

std::atomic<int> born{0}, born_altered{0};
cpu_set_t whole;  // the processors of the process

// The first thing that a new M runs.
void look_at_own_thread() {
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0 || !CPU_EQUAL(&mine, &whole)) born_altered++;
    born++;
}

// Whoever needs a new M, and whatever was done to its thread: that one is as the process was.
TEST_F(Template, NewThreadsInheritNothingFromThoseThatNeedThem) {
    ASSERT_EQ(sched_getaffinity(0, sizeof whole, &whole), 0);
    if (CPU_COUNT(&whole) < 2) GTEST_SKIP() << "one processor: nothing to alter";
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &whole)) CPU_SET(cpu, &one);
    born = born_altered = 0;
    for (bool locked : {false, true}) {
        if (locked) this_goroutine::lock_os_thread();
        const int before = born;
        const pid_t here = gettid();
        {
            runtime_call rc;  // so this goroutine stays on its thread
            sched_setaffinity(here, sizeof one, &one);
            newm(look_at_own_thread, nullptr);
            sched_setaffinity(here, sizeof whole, &whole);
        }
        until([&] { return born.load() == before + 1; });
        if (locked) this_goroutine::unlock_os_thread();
    }
    EXPECT_EQ(born_altered.load(), 0);
}

}  // namespace
