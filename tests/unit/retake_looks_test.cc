// How soon a P is taken from user code, in sysmon's own measure: its looks, and its ticks.
//
// Each says what is so in many tries; those in which a thread of ours had no processor for long do not count, or not
// for that time.  So a busy machine makes a test longer and does not decide it.
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <rt0/rt0.h>

#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "kernel_if/syscall.h"
#include "sched/retake.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"

namespace rt = rt0::runtime;
namespace kernel = rt0::kernel;
using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

pid_t sysmon_thread() {
    pid_t tid;
    while ((tid = test::thread_named("rt0-sysmon")) < 0) this_goroutine::yield();
    return tid;
}

// ns for which the thread was ready to run and did not, up to when it ran last.
std::int64_t run_delay(pid_t tid) {
    std::int64_t ran = 0, waited = 0;
    std::ifstream("/proc/self/task/" + std::to_string(tid) + "/schedstat") >> ran >> waited;
    return waited;
}

struct one_p {
    int procs = rt0::gomaxprocs(1);
    ~one_p() { rt0::gomaxprocs(procs); }
};

template <class T>
T median_of_nine(std::vector<T> v) {
    EXPECT_EQ(v.size(), 9u);
    std::sort(v.begin(), v.end());
    return v[4];
}

// ---- those that block

[[gnu::noinline]] void futex_wait_for_one(std::atomic<std::uint32_t>* word) {
    while (word->load() == 0) kernel::sysc_sure(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, nullptr);
}
void futex_set_one(std::atomic<std::uint32_t>* word) {
    *word = 1;
    kernel::sysc_sure(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

// "Within about 100 us": sysmon looks every 20 us when it took a P a moment ago.  The first look at one
// that blocks, declared or not, sees that its P has moved on since the last, the second takes the P; one more may fall
// into the heir's wake-up.  So in one of four tries at least: in others the one that blocks, or the heir, waits for a
// processor first.
static_assert(rt::cfg::sysmon_tick_min == 20'000);
void expect_a_few_looks(void (*block)(std::atomic<std::uint32_t>*)) {
    one_p p1;
    struct moment {
        std::uint32_t looks = rt::sched.sysmonlooks.load();
        std::int64_t when = kernel::nanotime();
    };
    std::vector<std::uint32_t> looks;
    std::uint32_t storms = 0;
    while (looks.size() < 36) {
        const std::uint32_t before = rt::sched.stormtakes.load();
        std::atomic<std::uint32_t> word{0};
        moment blocked, others_run;
        rt0::wait_group both;
        both.go([&] {
            both.go([&] {
                others_run = {};
                futex_set_one(&word);
            });
            blocked = {};
            block(&word);
        });
        both.wait();
        const auto took = others_run.when - blocked.when;
        // Else: it was asked to yield before it blocked, or a thread was away for long.
        if (took <= 0 || took >= rt::cfg::sysmon_tick_busy) continue;
        looks.push_back(others_run.looks - blocked.looks);
        storms += rt::sched.stormtakes.load() - before;
    }
    EXPECT_LE(storms, looks.size() / 4) << "SM5: only where the last one was slow to come back";
    std::sort(looks.begin(), looks.end());
    EXPECT_LE(looks[looks.size() / 4], 3u);
    EXPECT_GE(looks[looks.size() / 4], 2u) << "SM2: seen twice, where no other blocks";
}
TEST(RetakeLooks, ABlockedOneLosesItsPInAFewLooks) { expect_a_few_looks(futex_wait_for_one); }
TEST(RetakeLooks, SoDoesOneThatSaysSo) {
    expect_a_few_looks([](auto* word) { rt0::blocking([=] { futex_wait_for_one(word); }); });
}

// SM5: where many block at once one look is enough for some of them.
TEST(RetakeLooks, OneOfManyThatBlockNeedsOneLook) {
    one_p p1;
    constexpr int n = 40;
    const std::uint32_t before = rt::sched.stormtakes.load();
    while (rt::sched.stormtakes.load() - before < n / 2) {
        std::atomic<std::uint32_t> word{0};
        std::atomic<int> begun{0};
        rt0::wait_group all;
        for (int i = 0; i < n; i++)
            all.go([&] {
                begun++;
                futex_wait_for_one(&word);
            });
        while (begun < n) this_goroutine::yield();
        futex_set_one(&word);
        all.wait();
    }
}

// ---- loops

// On one P: runs body(lost) while another goroutine waits for the P; lost() becomes true when the P is taken, or if the
// other ran without that.
template <class F>
void beside_one_that_waits(F body) {
    rt0::wait_group both;
    both.go([&] {
        std::atomic<bool> ran{false};
        both.go([&] { ran = true; });
        rt::m* mp = rt::getg()->mp;
        body([&] { return (mp->retake.load() & rt::rt_phase) == rt::rt_taken || ran; });
        while (!ran) this_goroutine::yield();
    });
    both.wait();
}

// From when it begins until lost(), as seen from within, less the time for which this thread or, beyond a tick, sysmon had
// no processor.
template <class F>
std::int64_t loop_until(F lost) {
    constexpr std::int64_t away = 200'000;  // ns; a turn of this loop takes far less, a look comes that soon after a tick
    std::uint32_t looks = rt::sched.sysmonlooks.load();
    const std::int64_t begin = kernel::nanotime();
    std::int64_t now = begin, excused = 0, due = begin + rt::cfg::sysmon_tick_busy;
    while (!lost()) {
        const std::int64_t last = std::exchange(now, kernel::nanotime());
        if (now - last > away || now > due + away) excused += now - last;
        if (looks != rt::sched.sysmonlooks.load()) {
            looks = rt::sched.sysmonlooks.load();
            due = now + rt::cfg::sysmon_tick_busy;
        }
    }
    return now - begin - excused;
}

TEST(RetakeLooks, ALoopLosesItsPIn10Ms) {
    one_p p1;
    std::vector<std::int64_t> lasted;
    while (lasted.size() < 9)
        beside_one_that_waits([&](auto lost) {
            const std::int64_t ns = loop_until(lost);
            if (ns > rt::cfg::forced_retake / 2) lasted.push_back(ns);  // else it had to yield before it looped
        });
    EXPECT_LE(median_of_nine(lasted), 10'000'000);
}

// A thread that waits for a processor uses none, as one that blocks; the kernel tells the two apart, and a loop keeps its P
// for as long as it may run.
TEST(RetakeLooks, ALoopThatWaitsForAProcessorDoesNotBlock) {
    one_p p1;
    std::atomic<bool> end{false};
    std::vector<std::thread> rivals;
    for (int i = 0; i < rt0::num_cpu(); i++)
        rivals.emplace_back([&] {
            while (!end.load(std::memory_order_relaxed)) {}
        });
    std::vector<std::int64_t> lasted;
    while (lasted.size() < 9) {
        std::atomic<bool> stop{false}, looping{false};
        bool looped_first = false;
        std::int64_t took = 0;
        rt0::wait_group both;
        const std::int64_t asked = kernel::nanotime();
        both.go([&] {
            both.go([&] {
                took = kernel::nanotime() - asked;
                looped_first = looping;
                stop = true;
            });
            looping = true;
            while (!stop.load(std::memory_order_relaxed)) {}
        });
        both.wait();
        if (looped_first) lasted.push_back(took);  // else it was asked to yield before it looped
    }
    // In most of them: the slice may have begun with the parent's, which may have waited for a processor in it.
    EXPECT_GE(median_of_nine(lasted), rt::cfg::forced_retake / 2);
    end = true;
    for (auto& t : rivals) t.join();
}

// Beside an idle P a declared call keeps its own, until forced_preempt.
TEST(RetakeLooks, ADeclaredCallKeepsItsPWhileNobodyWaits) {
    const int procs = rt0::gomaxprocs(2);
    int kept = 0;
    for (int i = 0; i < 9; i++) {
        this_goroutine::sleep_for(1ms);
        rt::p* pp = rt::runtime_call_quiet().gp->mp->pp;
        rt0::blocking([&] {
            const std::uint32_t tick = pp->syscalltick.load(), looks = rt::sched.sysmonlooks.load();
            const std::int64_t begin = kernel::nanotime();
            while (kernel::nanotime() - begin < rt::cfg::forced_preempt / 2 && rt::sched.sysmonlooks.load() - looks < 10) {}
            kept += pp->syscalltick.load() == tick;
        });
    }
    EXPECT_GE(kept, 5);
    rt0::gomaxprocs(procs);
}

// A goroutine in short declared calls, one after the other, has no more than a slice though no look finds the same call twice.  (It
// may also be found between two of them twice in a row, mostly soon, but once in a while after a second.)
TEST(RetakeLooks, ShortCallsAreOneSlice) {
    one_p p1;
    std::uint32_t most = 0;
    for (int i = 0; i < 40; i++) {
        std::atomic<bool> ran{false};
        rt0::wait_group other;
        other.go([&] { ran = true; });
        const std::uint32_t before = rt::sched.sysmonlooks.load();
        while (!ran)
            rt0::blocking([] {
                const std::int64_t begin = kernel::nanotime();
                while (kernel::nanotime() - begin < 5'000) {}
            });
        most = std::max(most, rt::sched.sysmonlooks.load() - before);
        other.wait();
    }
    EXPECT_LE(most, 2 * rt::cfg::forced_preempt / rt::cfg::sysmon_tick_min) << "looks are no closer than that";
}

// SM3: a loop that lost its P and blocks by now is no hog any more.
TEST(RetakeLooks, ALoopThatBlocksIsNone) {
    one_p p1;
    const int n = rt0::num_cpu() + 1;
    int fd[2];
    ASSERT_EQ(pipe(fd), 0);
    std::atomic<int> hogs{0};
    rt0::wait_group all;
    for (int i = 0; i < n; i++)
        all.go([&] {
            rt::m* mp = rt::getg()->mp;
            while (!(mp->retake.load() & rt::rt_hog)) {}
            hogs++;
            char byte;
            EXPECT_EQ(read(fd[0], &byte, 1), 1);
        });
    while (hogs < n) this_goroutine::yield();
    auto marked = [] {
        rt::runtime_call rc;
        rt::guard l(rt::retakelock);
        return rt::sched.nhogs;
    };
    while (marked() != 0) this_goroutine::sleep_for(1ms);
    EXPECT_EQ(write(fd[1], std::string(static_cast<std::size_t>(n), 'x').data(), static_cast<std::size_t>(n)), n);
    all.wait();
    close(fd[0]);
    close(fd[1]);
}

// ---- a stop of the world

// "Within 100 us in the median": one round takes the Ps from loops, and the second is stop_round later.
TEST(RetakeLooks, TheWorldStopsInOneRoundBesideALoopPerProcessor) {
    static_assert(rt::cfg::stop_round == 100'000);
    const int procs = rt0::gomaxprocs(rt0::num_cpu() + 1);
    std::atomic<bool> end{false};
    std::atomic<int> looping{0};
    rt0::wait_group all;
    for (int i = 0; i < rt0::num_cpu(); i++)
        all.go([&] {
            looping++;
            while (!end.load(std::memory_order_relaxed)) {
                const std::int64_t begin = kernel::nanotime();
                while (kernel::nanotime() - begin < 20 * rt::cfg::stop_round) {}
                this_goroutine::yield();  // takes a P again
            }
        });
    while (looping < rt0::num_cpu()) this_goroutine::yield();
    std::vector<std::uint32_t> rounds, returned;
    for (int i = 0; i < 41; i++) {
        const std::uint32_t before = rt::sched.stoprounds.load(), returns = rt::sched.stopreturns.load();
        rt0::gomaxprocs(rt0::num_cpu() + 1 + i % 2);
        rounds.push_back(rt::sched.stoprounds.load() - before);
        returned.push_back(rt::sched.stopreturns.load() - returns);
        this_goroutine::sleep_for(1ms);
    }
    end = true;
    all.wait();
    std::sort(rounds.begin(), rounds.end());
    EXPECT_EQ(rounds[rounds.size() / 2], 1u) << "0: the loops had no Ps";
    EXPECT_GT(*std::max_element(returned.begin(), returned.end()), 0u) << "each stop leaves threads that run without a P";
    rt0::gomaxprocs(procs);
}

// What others take to stop is not a part of the caller's slice; but who stops the world time and again has one only.
TEST(RetakeLooks, AStopBeginsASliceOnceATurn) {
    const int procs = rt0::gomaxprocs(2);
    this_goroutine::sleep_for(1ms);  // another turn
    rt::p* pp;
    std::uint32_t slices, turns;
    {
        rt::runtime_call_quiet rc;
        pp = rc.gp->mp->pp;
        slices = pp->stopslices.load();
        turns = pp->turns;
        pp->preempt.store(true);
        rc.gp->mp->retake.fetch_or(rt::rt_preempt);  // as sysmon does
    }
    for (int n : {3, 2}) {
        rt0::gomaxprocs(n);
        rt::runtime_call_quiet rc;
        if (pp != rc.gp->mp->pp || pp->turns != turns) break;  // under chaos it may have had to yield
        EXPECT_EQ(pp->stopslices.load(), slices + 1) << n;
        EXPECT_FALSE(pp->preempt.load());
    }
    rt0::gomaxprocs(procs);
}

// ---- sysmon's own ticks

// Nobody waits: after a millisecond of looks each 20 us they double to one a millisecond.
TEST(RetakeLooks, ALoneLoopIsLookedAtOnceAMillisecond) {
    one_p p1;
    // looks, ns, and for how many of them sysmon or this thread had no processor, while this goroutine looped with its P.
    // Without one (others that had still to end wanted it) sysmon would have nothing to look at.
    auto loop_while = [](auto goes_on) {
        for (;;) {
            while (rt0::num_goroutine() > 1) this_goroutine::yield();
            rt::m* mp = rt::getg()->mp;
            auto lost = [mp] { return (mp->retake.load() & rt::rt_phase) == rt::rt_taken; };
            auto delay = [] { return run_delay(sysmon_thread()) + run_delay(gettid()); };
            const std::int64_t delayed = delay(), begin = kernel::nanotime();
            const std::uint32_t before = rt::sched.sysmonlooks.load();
            std::int64_t ns = 0;
            std::uint32_t looks = 0;
            while (!lost() && goes_on(looks, ns)) {
                looks = rt::sched.sysmonlooks.load() - before;
                ns = kernel::nanotime() - begin;
            }
            if (!lost()) return std::tuple(looks, ns, delay() - delayed);
        }
    };
    auto [looks, ns, away] = loop_while([](std::uint32_t, std::int64_t so_far) { return so_far < 300'000'000; });
    EXPECT_LE(looks, ns / 1'000'000 + 100) << "it may have been away at the end";
    // And not much more rarely.
    std::tie(looks, ns, away) = loop_while([](std::uint32_t n, std::int64_t) { return n < 100; });
    EXPECT_LE(ns - away, 300'000'000);
}

// With every P idle its ticks double to 10 ms, and after one or ten of those it sleeps (SM7).
TEST(RetakeLooks, SysmonsTicksDoubleWhileEveryPIsIdle) {
    const std::string status = "/proc/self/task/" + std::to_string(sysmon_thread()) + "/status";
    auto sleeps = [&] {
        std::ifstream in(status);
        std::int64_t n = -1;
        for (std::string word; in >> word;)
            if (word == "voluntary_ctxt_switches:") in >> n;
        return n;
    };
    const auto ps = (rt::rcu_reader(), rt::allp());
    auto rounds = [&] {
        std::uint32_t n = 0;
        for (rt::p* pp : ps) n += pp->schedtick.load() + pp->syscalltick.load();
        return n;
    };
    bool quiet = false;  // nothing woke a P, after which the ticks begin anew
    for (int tries = 0; !quiet; tries++) {
        ASSERT_LT(tries, 20) << "some P ran in every second";
        // From a moment on in which every P is idle: until then its ticks are short.  Never in the runtime.
        std::int64_t before = 0, after = 0;
        std::thread watch([&] {
            while (rt::sched.npidle.load() != static_cast<std::uint32_t>(rt::gomaxprocs_now.load())) usleep(1000);
            const std::uint32_t ran = rounds();
            before = sleeps();
            usleep(1'000'000);
            after = sleeps();
            quiet = rounds() == ran;
        });
        this_goroutine::sleep_for(1500ms);
        watch.join();
        if (quiet) {
            EXPECT_LE(after - before, 10 + rt::cfg::sysmon_idle_ticks + 10);  // growing, long, and what a lock costs now and then
        }
    }
}

// On its note, until a P leaves the idle list.
TEST(RetakeLooks, SysmonSleepsWhileEveryPIsIdle) {
    auto sleeps = [] { return rt::sched.sysmonwait.load(); };
    std::atomic<bool> seen{false};
    std::thread watch([&] {  // never in the runtime
        while (!sleeps()) usleep(1000);
        seen = true;
    });
    while (!seen) this_goroutine::sleep_for(1s);
    watch.join();
    while (sleeps()) {}
}

// SM7: where somebody wakes every 30 ms it is not woken, too, each time.
TEST(RetakeLooks, SysmonIsNotWokenWithEachShortSleep) {
    constexpr int wakes = 30;
    std::atomic<bool> over{false};
    int deep = 0;
    std::thread watch([&] {  // never in the runtime
        for (bool was = false; !over; usleep(1000)) {
            const bool is = rt::sched.sysmonwait.load();
            deep += is && !was;
            was = is;
        }
    });
    for (int i = 0; i < wakes; i++) this_goroutine::sleep_for(30ms);
    over = true;
    watch.join();
    EXPECT_LE(deep, wakes * 2 / 3);
}

// ---- sysmon's own thread (SM4)

bool is_realtime(pid_t tid) { return (sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO; }

// It comes forward for a long slice that another waits for, before the slice is over, and steps back.
TEST(RetakeLooks, SysmonComesForwardForALongSlice) {
    if (!test::realtime_permitted() || !kernel::idle_class_permitted()) GTEST_SKIP() << "no CAP_SYS_NICE";
    one_p p1;
    const pid_t sysmon = sysmon_thread();
    while (is_realtime(sysmon)) this_goroutine::sleep_for(1ms);
    for (bool forward = false; !forward;)
        beside_one_that_waits([&](auto lost) {
            while (!forward && !lost()) forward = is_realtime(sysmon);
        });
    while (is_realtime(sysmon)) this_goroutine::sleep_for(1ms);
}

}  // namespace
