// What the runtime does at its edges: for threads whose end has begun, on stacks that are not its own, for forked children, for
// timers that never come and channels that are none.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include <rt0/rt0.h>

#include "base/seeded.h"
#include "chan/hchan.h"
#include "kernel_if/activity.h"
#include "kernel_if/inject.h"
#include "sched/sched.h"
#include "sched/signal.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"
#include "tests/support/on_thread.h"
#include "tests/support/parked.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
namespace detail = rt0::detail;
namespace this_goroutine = rt0::this_goroutine;
using rt0::op_status;
using testing_support::on_known_thread;
using testing_support::on_unknown_thread;
using testing_support::parked;

namespace {

template <class F>
void until(F f) {
    while (!f()) this_goroutine::sleep_for(1ms);
}

// What f() gives in a forked child.
template <class F>
int in_child(F f) {
    pid_t pid = fork();
    if (pid == 0) _exit(f());
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    return WEXITSTATUS(status);
}

// ---- channels

int destroyed = 0;
const detail::elem_type counted = {8, 8, nullptr, [](void*) noexcept { destroyed++; }};

// In a forked child a channel is freed unless somebody was inside at the fork, or is parked in it.
TEST(Channels, InAForkedChildOnesInUseStayAsTheyAre) {
    const int procs = rt0::gomaxprocs(1);
    detail::hchan* c = detail::makechan(counted, 1);
    std::uint64_t x = 1;
    ASSERT_EQ(detail::chansend(c, &x, false), op_status::ok);
    auto freed_in_child = [c] {
        return in_child([c] {
            detail::freechan(c);
            return destroyed;
        });
    };
    if (one_p()) {  // with TSan there is no such thing
        EXPECT_EQ(freed_in_child(), 0) << "nothing tells whether somebody is inside (CH6)";
    }
    rt0::gomaxprocs(2);
    EXPECT_EQ(freed_in_child(), 1) << "what was in its buffer";
    {
        runtime_call rc;
        lockchan(c);
        int n = freed_in_child();
        unlockchan(c);
        EXPECT_EQ(n, 0) << "locked";
    }
    std::atomic<std::uint64_t> id{0};
    rt0::go([&] {
        id = this_goroutine::id();
        std::uint64_t y = 2;
        detail::chansend(c, &y, true);
        id = 0;
    });
    until([&] { return parked(id, wait_reason::chan_send); });
    EXPECT_EQ(freed_in_child(), 0) << "a sender is parked there";
    ASSERT_EQ(detail::chanrecv(c, &x, false), op_status::ok);
    until([&] { return id == 0; });
    EXPECT_EQ(destroyed, 0);
    detail::freechan(c);
    EXPECT_EQ(destroyed, 1);
    rt0::gomaxprocs(procs);
}

// Moved only with an exception, so that it goes through channels in a box.
struct boxed {
    int v = 0;
    boxed() = default;
    explicit boxed(int n) : v(n) {}
    boxed(boxed&& o) noexcept(false) : v(std::exchange(o.v, 0)) {}
    boxed& operator=(boxed&& o) noexcept(false) {
        v = std::exchange(o.v, 0);
        return *this;
    }
};
static_assert(detail::is_boxed<boxed>);

TEST(Channels, NilOnesBlockWhateverTheyWouldCarry) {
    boxed b(7);
    EXPECT_EQ(rt0::chan<boxed>().try_send(b), op_status::would_block);
    EXPECT_EQ(rt0::chan<boxed>().try_recv(b), op_status::would_block);
    EXPECT_EQ(b.v, 7);
    std::string s = "kept";
    EXPECT_EQ(rt0::chan<std::string>().try_send(s), op_status::would_block);
    EXPECT_EQ(rt0::chan<std::string>().try_recv(s), op_status::would_block);
    EXPECT_EQ(s, "kept");
    static std::atomic<std::uint64_t> sender{0}, receiver{0};  // they are there until the end
    rt0::go([] {
        sender = this_goroutine::id();
        rt0::chan<std::string>().send("never");
    });
    rt0::go([] {
        receiver = this_goroutine::id();
        rt0::chan<std::string>().recv();
    });
    until([] { return parked(sender, wait_reason::chan_send_nil) && parked(receiver, wait_reason::chan_receive_nil); });
}

// ---- selects and timers

TEST(Select, AStopTokenOfAThreadThatIsKnown) {
    std::stop_source stop;
    std::atomic<std::uint64_t> id{0};
    rt0::chan<bool> stopped(1);
    rt0::go([&] {
        id = this_goroutine::id();
        rt0::select(rt0::recv(rt0::chan<int>(), [] { FAIL(); }),
                    rt0::done(stop.get_token(), [&] { stopped.send(true); }));
    });
    until([&] { return parked(id, wait_reason::select); });
    int locks = -1;
    on_known_thread([&] {
        stop.request_stop();
        locks = getg()->mp->lockedint;
    });
    EXPECT_TRUE(stopped.recv().value());
    EXPECT_EQ(locks, 0) << "a foreign thread is locked to its M anyway";
}

// So late that the clock cannot tell the time: never.
TEST(Select, AnAfterBeyondTheClockNeverComes) {
    rt0::chan<int> c(0);
    std::atomic<std::uint64_t> id{0};
    std::atomic<int> got{0};
    rt0::go([&] {
        id = this_goroutine::id();
        rt0::select(rt0::recv(c, [&](std::optional<int> v) { got = *v; }),
                    rt0::after(std::chrono::nanoseconds::max(), [] { ADD_FAILURE() << "the end of time"; }));
    });
    until([&] { return parked(id, wait_reason::select) || got != 0; });
    rt0::after(1ms).recv();  // a timer that had wrapped around would have come first
    c.send(3);
    until([&] { return got != 0; });
    EXPECT_EQ(got, 3);
}

TEST(Timers, OneForNoChannelFiresForNobody) {
    rt0::timer t(0ns, rt0::chan<rt0::time_point>());
    do this_goroutine::sleep_for(1ms);
    while (t.stop() && (t.reset(0ns), true));  // until it has fired, not been stopped
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(static_cast<bool>(t.channel()));
}

// A turn that took longer than 32 bits of nanoseconds is taken for the longest there is.
TEST(Timers, TheLengthOfATurnIsBounded) {
    const int procs = rt0::gomaxprocs(1);
    for (int tries = 0;; tries++) {  // again where the P was lost meanwhile
        ASSERT_LT(tries, 1000);
        {
            runtime_call rc;
            p* pp = rc.gp->mp->pp;
            pp->turn_ns = 0;
            pp->batchwhen = clock_now() - 1'000'000'000'000'000;
            pp->batchturns = pp->turns - 1;
        }
        this_goroutine::sleep_for(100us);
        runtime_call rc;
        const std::int64_t turn = std::exchange(rc.gp->mp->pp->turn_ns, 0);
        if (turn == INT32_MAX) break;
        ASSERT_LT(turn, INT32_MAX);
    }
    rt0::gomaxprocs(procs);
}

// UC4, SR6: a callback that readied somebody is over before he goes on, though its goroutine was asked to yield.
TEST(Contexts, ACallbackDoesNotYield) {
    const int procs = rt0::gomaxprocs(1);
    for (int tries = 0;; tries++) {  // again where the P was lost meanwhile
        ASSERT_LT(tries, 1000);
        rt0::context c = rt0::context().child();
        rt0::latch called(1);
        bool woke = false, early = false, asked = false;
        rt0::wait_group waits;
        waits.go([&] {
            called.wait();
            woke = true;
        });
        this_goroutine::yield();
        std::stop_callback cb(c.stop_token(), [&] {
            getg()->mp->retake.fetch_or(rt_preempt);
            called.count_down();
            early = woke;
            asked = getg()->mp->retake.load() & rt_preempt;
        });
        c.cancel();
        waits.wait();
        EXPECT_FALSE(early);
        EXPECT_EQ(getg()->noyield, 0);
        if (asked) break;
    }
    rt0::gomaxprocs(procs);
}

// SR6: nor does its thread go on with somebody else where its P is taken, though it is not back for a while.
template <class Cancel>
void expect_callback_keeps_thread(const std::stop_token& token, Cancel cancel) {
    const int procs = rt0::gomaxprocs(1);
    std::atomic<bool> over{false};
    std::atomic<int> others_there{0};  // on the callback's thread, during it
    int lost = 0;                      // so often the callback lost its P
    std::atomic<pid_t> tid{0}, after{0};
    rt0::wait_group others;
    for (int i = 0; i < 3; i++)
        others.go([&] {
            while (!over) {
                others_there += gettid() == tid;
                for (const auto end = std::chrono::steady_clock::now() + 1ms; std::chrono::steady_clock::now() < end;) {}
                this_goroutine::yield();
            }
        });
    rt0::wait_group canceller;
    canceller.go([&] {
        std::stop_callback cb(token, [&] {
            tid = gettid();
            others_there = 0;
            for (int i = 0; i < 5; i++) {
                const auto end = std::chrono::steady_clock::now() + 20s;
                while (getg()->mp->pp && std::chrono::steady_clock::now() < end) {}  // sysmon sees a hog
                lost += !getg()->mp->pp;
                rt0::num_goroutine();
            }
            after = gettid();
            over = true;
        });
        cancel();
    });
    canceller.wait();
    others.wait();
    EXPECT_GT(lost, 0);
    EXPECT_EQ(after, tid);
    EXPECT_EQ(others_there, 0);
    rt0::gomaxprocs(procs);
}
TEST(Contexts, ACallbackKeepsItsThread) {
    rt0::context c = rt0::context().child();
    expect_callback_keeps_thread(c.stop_token(), [&] { c.cancel(); });
}
TEST(Contexts, ANurserysCallbackKeepsItsThread) {
    rt0::nursery n;
    expect_callback_keeps_thread(n.stop_token(), [&] { n.cancel(); });
}

// ---- threads

TEST(Contexts, ANurseryOfAThreadThatIsUnknown) {
    bool known = true;
    on_unknown_thread([&] {
        { rt0::nursery n; }
        known = getg() != nullptr;
    });
    EXPECT_FALSE(known);
}

// Runs f on a thread whose hook for its end (FT3) was run: each call has its M for itself only (FT4).
template <class F>
void after_the_hook(F f) {
    struct shared {
        pthread_key_t key;
        F* f;
        int rounds = 0;
    } s{{}, &f};
    auto again = [](void* p) {
        auto& me = *static_cast<shared*>(p);
        if (++me.rounds < 3) pthread_setspecific(me.key, p);  // all keys have had a round then
        else (*me.f)();
    };
    ASSERT_EQ(pthread_key_create(&s.key, again), 0);
    on_unknown_thread([&] {
        this_goroutine::yield();
        pthread_setspecific(s.key, &s);
    });
    EXPECT_EQ(s.rounds, 3);
    pthread_key_delete(s.key);
}

TEST(Threads, AHoldKeepsTheGOfACallForTheNext) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's own destructor may come first";
    struct {
        bool before, in_call, kept, nested, same, after, unused;
    } has{};
    after_the_hook([&] {
        { runtime_call rc; }
        has.before = getg();
        {
            foreign_hold hold;
            const g* gp;
            {
                foreign_hold inner;
                runtime_call rc;
                gp = rc.gp;
                has.in_call = getg();
            }
            has.nested = getg();
            { runtime_call rc; has.same = rc.gp == gp; }
            has.kept = getg();
        }
        has.after = getg();
        { foreign_hold hold; }
        has.unused = getg();
    });
    EXPECT_FALSE(has.before);
    EXPECT_TRUE(has.in_call);
    EXPECT_TRUE(has.nested);
    EXPECT_TRUE(has.same);
    EXPECT_TRUE(has.kept);
    EXPECT_FALSE(has.after);
    EXPECT_FALSE(has.unused);
}

TEST(Threads, KeepTheirOwnSignalStack) {
    if (test::sanitized) GTEST_SKIP() << "as above";
    static char own[64 << 10];
    stack_t then = {};
    after_the_hook([&] {
        stack_t mine = {};
        mine.ss_sp = own;
        mine.ss_size = sizeof own;
        sigaltstack(&mine, nullptr);
        this_goroutine::yield();  // the G comes and goes
        sigaltstack(nullptr, &then);
        mine.ss_flags = SS_DISABLE;
        sigaltstack(&mine, nullptr);
    });
    EXPECT_EQ(then.ss_sp, own);
    EXPECT_EQ(then.ss_flags, 0);
}

// On a stack of the program's that lies below the thread's: nobody knows what is left of it.
ucontext_t outside, inside;
char low_stack[256 << 10];
std::size_t left_on_low_stack;

TEST(Threads, OnAStackOfTheProgramsNothingRemains) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer does not know that stack";
    std::size_t own = 0;
    left_on_low_stack = 1;
    on_known_thread([&] {
        own = this_goroutine::stack_remaining();
        if (reinterpret_cast<std::uintptr_t>(low_stack + sizeof low_stack) > getg()->stk.lo) return;
        getcontext(&inside);
        inside.uc_stack = {low_stack, 0, sizeof low_stack};
        inside.uc_link = &outside;
        makecontext(&inside, [] { left_on_low_stack = this_goroutine::stack_remaining(); }, 0);
        swapcontext(&outside, &inside);
    });
    EXPECT_GT(own, 0u);
    EXPECT_EQ(left_on_low_stack, 0u);
}

// ---- forked children

// The thread that forks is the child's only one, and its end is the child's: nothing of the runtime keeps it.
TEST(Fork, TheChildOfAThreadMayEndAsAThreadDoes) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's own checks at the end see the parent's threads";
    fflush(stdout);
    int status = -1;
    on_known_thread([&] {
        pid_t pid = fork();
        if (pid == 0) {
            testing::UnitTest::GetInstance()->listeners().Release(
                testing::UnitTest::GetInstance()->listeners().default_result_printer());
            return;  // the last thread's: exit(0)
        }
        waitpid(pid, &status, 0);
    });
    EXPECT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Fork, TheChildOfAThreadThatIsIdleByChoiceIsIdle) {
    if (!rt0::kernel::idle_class_permitted()) GTEST_SKIP() << "a thread may not become SCHED_IDLE and leave it again here";
    this_goroutine::lock_os_thread();
    sched_param none = {};
    EXPECT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    int idle = in_child([] { return sched_getscheduler(0) == SCHED_IDLE; });
    EXPECT_EQ(sched_setscheduler(0, SCHED_OTHER, &none), 0);
    EXPECT_EQ(idle, 1);
    EXPECT_EQ(in_child([] { return sched_getscheduler(0) == SCHED_IDLE; }), 0);
    this_goroutine::unlock_os_thread();
}

// ---- signals

// Nobody is asked for a stack whom the signal cannot reach, or where it has no handler.
TEST(Stacks, AreNotAskedForWhereTheSignalDoesNotCome) {
    static m unborn;
    m* mine;
    {
        runtime_call rc;
        mine = rc.gp->mp;
    }
    using rt0::kernel::inject;
    auto steps = [mine] {  // that are as they should be
        using rt0::kernel::inject_hits;
        rt0::kernel::inject_fail(inject::sigaction, 1, EINVAL);
        rt0::kernel::inject_fail(inject::tgkill, 1, ESRCH, -1);
        const bool handled = !request_stack(mine) && inject_hits(inject::sigaction) == 1 && inject_hits(inject::tgkill) == 0;
        if (!handled) return 0;
        const bool born = !request_stack(&unborn) && inject_hits(inject::tgkill) == 0;
        if (!born) return 1;
        mine->tid = rt0::kernel::gettid();
        return !request_stack(mine) && inject_hits(inject::tgkill) == 1 ? 3 : 2;
    };
    // In a child, for the handler is asked for once.
    EXPECT_EQ(in_child(steps), 3) << "0: no handler, 1: no thread yet, 2: the kernel refuses";
}

}  // namespace
