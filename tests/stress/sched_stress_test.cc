// The scheduler under load: everything at once, with an oracle for each.  No verdict
// depends on time; RT0_STRESS_ROUNDS (default 1) multiplies the work.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rt0/go.h>

#include "sched/sched.h"
#include "sched/timer.h"
#include "tests/support/gate.h"
#include "tests/support/join.h"
#include "tests/support/pelted_tests.h"
#include "tests/support/report.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
using testing_support::countdown;
namespace this_goroutine = rt0::this_goroutine;

namespace {

int rounds(int n) {
    static const int factor = [] {
        const char* s = std::getenv("RT0_STRESS_ROUNDS");
        return s && std::atoi(s) > 0 ? std::atoi(s) : 1;
    }();
    return n * factor;
}

// Restores the number of Ps at the end of a test.
struct procs {
    int before = rt0::gomaxprocs();
    ~procs() { rt0::gomaxprocs(before); }
};

// A baton handed from one to the other: the receiver is readied as soon as its lock is
// free, which is between its unlockf and the end of its switch.
struct baton {
    rt0::runtime::mutex lock;
    g* waiter = nullptr;
    bool full = false;

    void take() {
        runtime_call rc;
        lock.lock();
        if (full) {
            full = false;
            lock.unlock();
            return;
        }
        waiter = getg();
        goparkunlock(&lock, wait_reason::chan_receive);
    }
    void give() {
        runtime_call rc;
        g* wake = nullptr;
        {
            guard l(lock);
            if (waiter) std::swap(wake, waiter);
            else full = true;
        }
        if (wake) goready(wake);
    }
};

TEST(SchedStress, EarlyReadyPingPong) {
    procs keep;
    for (int p : {1, 2, 3, 8, 64}) {
        rt0::gomaxprocs(p);
        constexpr int pairs = 8;
        const int n = rounds(4000);
        std::vector<std::unique_ptr<baton>> a, b;
        for (int i = 0; i < pairs; i++) {
            a.push_back(std::make_unique<baton>());
            b.push_back(std::make_unique<baton>());
        }
        std::atomic<int> handed{0};
        countdown done(2 * pairs);
        for (int i = 0; i < pairs; i++) {
            rt0::go([&, i] {
                for (int k = 0; k < n; k++) {
                    a[i]->give();
                    b[i]->take();
                }
                done.one();
            });
            rt0::go([&, i] {
                for (int k = 0; k < n; k++) {
                    a[i]->take();
                    handed++;
                    b[i]->give();
                }
                done.one();
            });
        }
        done.wait();
        EXPECT_EQ(handed.load(), pairs * n);
    }
}

// Reads the lists of Gs, Ms and Ps, which others grow and shrink, without a lock.
void read_lists_until(const std::atomic<bool>& stop) {
    while (!stop.load()) {
        EXPECT_GE(rt0::num_goroutine(), 1);
        auto dump = testing_support::parse_dump(rt0::stack_dump());
        EXPECT_EQ(dump.error, "");
        std::set<std::string> seen;
        for (auto& b : dump.blocks) EXPECT_TRUE(seen.insert(b.header.substr(0, b.header.find(" ["))).second) << b.header;
        this_goroutine::sleep_for(5ms);
    }
}

// P i stands at i, also while their number changes.
void read_ps_until(const std::atomic<bool>& stop) {
    std::size_t most = 0;
    while (!stop.load()) {
        {
            rt0::runtime::runtime_call rc;
            rt0::runtime::rcu_reader reading;
            auto all = rt0::runtime::allp();
            int wrong = 0;
            for (std::size_t i = 0; i < all.n; i++) wrong += !all.data[i] || all.data[i]->id != static_cast<std::int32_t>(i);
            EXPECT_EQ(wrong, 0);
            most = std::max(most, all.n);
        }
        this_goroutine::yield();
    }
    EXPECT_GT(most, 1u);
}

// Resizing while goroutines yield, sleep, spawn and sit in system calls: each reports once.
TEST(SchedStress, ResizeLosesNothing) {
    procs keep;
    constexpr int workers = 200;
    const int steps = rounds(60);
    std::atomic<std::uint64_t> count{0}, slept{0}, spawned{0}, called{0};
    std::atomic<bool> stop{false};
    countdown done(workers + 4);
    for (int w = 0; w < workers; w++) {
        rt0::go([&, w] {
            for (int s = 0; s < steps; s++) {
                switch ((w + s) % 4) {
                    case 0: this_goroutine::yield(); break;
                    case 1:
                        this_goroutine::sleep_for(std::chrono::microseconds(1 + (w * 7 + s) % 900));
                        slept++;
                        break;
                    case 2: {
                        countdown one(1);
                        rt0::go([&] {
                            spawned++;
                            one.one();
                        });
                        one.wait();
                        break;
                    }
                    case 3:
                        rt0::blocking([&] {
                            usleep(1);
                            called++;
                        });
                        break;
                }
                count++;
            }
            done.one();
        });
    }
    for (int r = 0; r < 2; r++) {
        rt0::go([&, r] {
            for (int k = r; !stop.load(); k++) {
                rt0::gomaxprocs(k % 16 == 15 ? 1024 : 1 + (k * 29 + r * 13) % 64);
                this_goroutine::yield();
            }
            done.one();
        });
    }
    for (auto read_until : {read_lists_until, read_ps_until})
        rt0::go([&, read_until] {
            read_until(stop);
            done.one();
        });
    while (count.load() < static_cast<std::uint64_t>(workers) * steps) this_goroutine::sleep_for(1ms);
    stop = true;
    done.wait();
    std::uint64_t each = static_cast<std::uint64_t>(workers) * steps / 4;
    EXPECT_EQ(slept.load(), each);
    EXPECT_EQ(spawned.load(), each);
    EXPECT_EQ(called.load(), each);
    while (rt0::num_goroutine() > 1) this_goroutine::yield();
}

long gettid_now() { return syscall(SYS_gettid); }

TEST(SchedStress, LockedGoroutinesKeepTheirThread) {
    procs keep;
    for (int p : {1, 2, 8, 64}) {
        rt0::gomaxprocs(p);
        constexpr int locked = 12, free = 12;
        const int n = rounds(60);
        std::atomic<int> moved{0}, progress{0};
        std::atomic<bool> stop{false};
        countdown done(locked), others(free);
        for (int i = 0; i < locked; i++) {
            rt0::go([&, i] {
                this_goroutine::lock_os_thread();
                long tid = gettid_now();
                for (int k = 0; k < n; k++) {
                    switch ((i + k) % 3) {
                        case 0: this_goroutine::yield(); break;
                        case 1: this_goroutine::sleep_for(50us); break;
                        case 2: rt0::blocking([] { usleep(1); }); break;
                    }
                    if (gettid_now() != tid) moved++;
                }
                if (i % 2) this_goroutine::unlock_os_thread();  // the others end their thread
                done.one();
            });
        }
        for (int i = 0; i < free; i++) {
            rt0::go([&] {
                while (!stop.load()) {
                    progress++;
                    this_goroutine::yield();
                }
                others.one();
            });
        }
        done.wait();
        stop = true;
        others.wait();
        EXPECT_EQ(moved.load(), 0);
        EXPECT_GE(progress.load(), free);
    }
}

struct odd : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Exceptions that are caught, kept over a park inside the handler, rethrown and continued
// on whatever M the goroutine wakes on.
TEST(SchedStress, ParkedInCatchBlocks) {
    procs keep;
    rt0::gomaxprocs(8);
    constexpr int n = 400;
    const int times = rounds(20);
    std::atomic<int> right{0}, wrong{0};
    countdown done(n);
    for (int i = 0; i < n; i++) {
        rt0::go([&, i] {
            for (int k = 0; k < times; k++) {
                std::string mine = std::to_string(i) + "/" + std::to_string(k);
                try {
                    try {
                        throw odd(mine);
                    } catch (const odd& e) {
                        if (i % 3) this_goroutine::yield();
                        else this_goroutine::sleep_for(std::chrono::microseconds(i % 200 + 1));
                        try {
                            throw i;
                        } catch (int v) {
                            this_goroutine::yield();
                            if (v != i) wrong++;
                        }
                        if (e.what() != mine || std::uncaught_exceptions() != 0) wrong++;
                        this_goroutine::yield();
                        throw;
                    }
                } catch (const std::exception& e) {
                    this_goroutine::yield();
                    e.what() == mine ? right++ : wrong++;
                }
                if (std::current_exception()) wrong++;
            }
            done.one();
        });
    }
    done.wait();
    EXPECT_EQ(right.load(), n * times);
    EXPECT_EQ(wrong.load(), 0);
}

// Destructors that park while an exception is on its way.
TEST(SchedStress, ParkedWhileUnwinding) {
    procs keep;
    rt0::gomaxprocs(4);
    struct parker {
        std::atomic<int>& bad;
        int depth;
        ~parker() {
            if (std::uncaught_exceptions() != depth) bad++;
            this_goroutine::yield();
            try {
                throw depth;
            } catch (int) {
                this_goroutine::yield();
            }
            if (std::uncaught_exceptions() != depth) bad++;
        }
    };
    constexpr int n = 200;
    const int times = rounds(20);
    std::atomic<int> caught{0}, bad{0};
    countdown done(n);
    for (int i = 0; i < n; i++) {
        rt0::go([&] {
            for (int k = 0; k < times; k++) {
                try {
                    parker p{bad, 1};
                    throw std::string("on its way");
                } catch (const std::string& s) {
                    if (s == "on its way") caught++;
                }
                parker quiet{bad, 0};
            }
            done.one();
        });
    }
    done.wait();
    EXPECT_EQ(caught.load(), n * times);
    EXPECT_EQ(bad.load(), 0);
}

TEST(SchedStress, ForeignThreads) {
    const int batches = rounds(20);
    std::atomic<int> ran{0};
    int resting = rt0::num_goroutine();
    for (int b = 0; b < batches; b++) {
        std::vector<std::thread> ts;
        for (int t = 0; t < 50; t++) {
            ts.emplace_back([&, t] {
                rt0::go([&] { ran++; });
                if (t % 2) this_goroutine::yield();
                if (t % 5 == 0) this_goroutine::sleep_for(50us);
                if (rt0::num_goroutine() < 1) ran -= 1000;
            });
        }
        rt0::blocking([&] {
            for (auto& t : ts) testing_support::join(t);
        });
    }
    while (ran.load() < batches * 50) this_goroutine::yield();
    while (rt0::num_goroutine() > resting) this_goroutine::yield();
    EXPECT_EQ(ran.load(), batches * 50);
}

TEST(SchedStress, HundredThousandSleepers) {
    constexpr int n = 100'000;
    std::atomic<int> woken{0}, early{0};
    countdown done(n);
    for (int i = 0; i < n; i++) {
        rt0::go({.stack_size = 32 << 10}, [&, i] {
            auto d = std::chrono::microseconds(i * 37 % 50'000);
            auto until = std::chrono::steady_clock::now() + d;
            this_goroutine::sleep_for(d);
            if (std::chrono::steady_clock::now() < until) early++;
            woken++;
            done.one();
        });
    }
    done.wait();
    EXPECT_EQ(woken.load(), n);
    EXPECT_EQ(early.load(), 0);
}

// Deadlines armed and disarmed from many goroutines while the callbacks run elsewhere:
// each armed timer either ran or was disarmed, never both, never neither (TM2).
TEST(SchedStress, TimersRunOrAreDeleted) {
    procs keep;
    rt0::gomaxprocs(8);
    constexpr int workers = 40;
    const int times = rounds(300);
    std::atomic<int> wrong{0};
    std::atomic<std::uint64_t> ran{0}, deleted{0};
    countdown done(workers);
    for (int w = 0; w < workers; w++) {
        rt0::go([&, w] {
            struct shot {
                timer t;
                int fired = 0;  // no atomic: TM2 orders the callback before deltimer's return
            };
            for (int k = 0; k < times; k++) {
                shot s;
                s.t.f = [](timer* t, std::int64_t) { static_cast<shot*>(t->arg)->fired++; };
                s.t.arg = &s;
                s.t.when = std::chrono::steady_clock::now().time_since_epoch().count() + (w * 31 + k * 17) % 60'000;
                {
                    runtime_call rc;
                    addtimer(&s.t);
                }
                if (k % 3 == 0) this_goroutine::yield();
                if (k % 7 == 0) this_goroutine::sleep_for(20us);
                bool armed;
                {
                    runtime_call rc;
                    armed = deltimer(&s.t);
                }
                if (s.fired + (armed ? 1 : 0) != 1) wrong++;
                (armed ? deleted : ran)++;
            }
            done.one();
        });
    }
    done.wait();
    EXPECT_EQ(wrong.load(), 0);
    EXPECT_EQ(ran.load() + deleted.load(), static_cast<std::uint64_t>(workers) * times);
}

}  // namespace
