// Goroutines locked to their thread: what they do to it stays with it, whoever needs new
// threads meanwhile; nesting, ends, hand-overs.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>

#include "sched/sched.h"
#include "sched/upcross.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
namespace this_goroutine = rt0::this_goroutine;

namespace {

int tid() { return static_cast<int>(syscall(SYS_gettid)); }

// What a thread inherits from the one that makes it.
struct thread_state {
    cpu_set_t cpus;
    sigset_t blocked;
    std::string directory, name;
    mode_t mask = 0;
    int nice = 0, policy = 0, keep_caps = 0;

    static thread_state mine() {
        thread_state s;
        sched_getaffinity(0, sizeof s.cpus, &s.cpus);
        pthread_sigmask(SIG_BLOCK, nullptr, &s.blocked);
        char buf[4096];
        s.directory = getcwd(buf, sizeof buf);
        prctl(PR_GET_NAME, buf);
        s.name = buf;
        s.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(tid()));
        s.policy = sched_getscheduler(0);
        s.keep_caps = prctl(PR_GET_KEEPCAPS);
        return s;
    }
    // Not the name: each has its own.
    bool same(const thread_state& o) const {
        for (int sig = 1; sig <= 31; sig++)
            if (sigismember(&blocked, sig) != sigismember(&o.blocked, sig)) return false;
        return CPU_EQUAL(&cpus, &o.cpus) && directory == o.directory && nice == o.nice && policy == o.policy &&
               keep_caps == o.keep_caps;
    }
};

// Changes all of that on this thread, as far as it is allowed; at least affinity, mask, name and nice value.
void alter_thread() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    prctl(PR_SET_NAME, "altered");
    if (setpriority(PRIO_PROCESS, static_cast<id_t>(tid()), 7) != 0) std::abort();
    if (unshare(CLONE_FS) == 0 && chdir("/") != 0) std::abort();
    sched_param none{};
    sched_setscheduler(0, SCHED_BATCH, &none);
    prctl(PR_SET_KEEPCAPS, 1);
}

int idle_ms() {
    runtime_call rc;
    guard l(sched.lock);
    return sched.nmidle;
}

// More goroutines in the kernel than there are Ms that could run them: new ones are made.
// Each tells the state of its thread.
std::vector<thread_state> states_of_new_ms() {
    int n = idle_ms() + 12;
    rt0::chan<thread_state> states(n);
    std::vector<int> fds(static_cast<std::size_t>(2 * n));
    rt0::wait_group wg;
    wg.add(n);
    for (int i = 0; i < n; i++) {
        int* fd = &fds[static_cast<std::size_t>(2 * i)];
        if (pipe(fd) != 0) std::abort();
        rt0::go([=, &wg]() mutable {
            rt0::blocking([&] {
                states.send(thread_state::mine());
                char c;
                if (read(fd[0], &c, 1) != 1) std::abort();
            });
            wg.done();
        });
    }
    std::vector<thread_state> v;
    for (int i = 0; i < n; i++) v.push_back(states.recv().value());  // all are blocked at once
    for (std::size_t i = 0; i < fds.size(); i += 2)
        if (write(fds[i + 1], "x", 1) != 1) std::abort();
    wg.wait();
    for (int fd : fds) close(fd);
    return v;
}

struct Locked : testing::Test {
    int procs = rt0::gomaxprocs();
    void TearDown() override { rt0::gomaxprocs(procs); }
};

void expect_original(const std::vector<thread_state>& v, const thread_state& before) {
    for (const auto& s : v) {
        EXPECT_TRUE(s.same(before)) << s.name << " " << s.directory << " nice " << s.nice << " policy " << s.policy;
        EXPECT_NE(s.name, "altered");
    }
}

TEST_F(Locked, NewThreadsDoNotInheritWhatItAltered) {
    for (int p : {1, 2, 5}) {
        rt0::gomaxprocs(p);
        thread_state before = thread_state::mine();
        rt0::chan<std::vector<thread_state>> out(0);
        int altered = 0;
        rt0::go([&] {
            this_goroutine::lock_os_thread();
            if (tid() == getpid()) return out.send({});  // the initial thread is not ours to spoil
            altered = tid();
            alter_thread();
            EXPECT_FALSE(thread_state::mine().same(before));
            auto v = states_of_new_ms();
            EXPECT_FALSE(thread_state::mine().same(before)) << "still its own";
            EXPECT_EQ(tid(), altered);
            out.send(std::move(v));  // it ends locked, and its thread with it
        });
        expect_original(out.recv().value(), before);
        if (altered) {
            while (syscall(SYS_tgkill, getpid(), altered, 0) == 0) this_goroutine::sleep_for(1ms);
        }
        expect_original(states_of_new_ms(), before);
    }
}

TEST_F(Locked, NewThreadsDoNotInheritFromAForeignThread) {
    for (int p : {1, 3}) {
        rt0::gomaxprocs(p);
        thread_state before = thread_state::mine();
        std::vector<thread_state> v;
        std::thread t([&] {
            alter_thread();
            v = states_of_new_ms();
        });
        rt0::blocking([&] { t.join(); });
        EXPECT_FALSE(v.empty());
        expect_original(v, before);
    }
}

TEST_F(Locked, NestsAndEndsWithTheLastUnlock) {
    for (int p : {1, 4}) {
        rt0::gomaxprocs(p);
        rt0::wait_group wg;
        constexpr int n = 20;
        std::atomic<int> moved{0};
        wg.add(n);
        for (int i = 0; i < n; i++)
            rt0::go([&] {
                this_goroutine::lock_os_thread();
                this_goroutine::lock_os_thread();
                int t = tid();
                for (int k = 0; k < 10; k++) {
                    this_goroutine::yield();
                    this_goroutine::sleep_for(1us);
                    if (k == 5) this_goroutine::unlock_os_thread();
                    rt0::blocking([] { this_goroutine::yield(); });
                    if (k % 3 == 0) usleep(1);
                    if (tid() != t) moved++;
                }
                this_goroutine::unlock_os_thread();
                this_goroutine::unlock_os_thread();  // one too many: nothing
                this_goroutine::yield();
                wg.done();
            });
        wg.wait();
        EXPECT_EQ(moved.load(), 0);
    }
}

// By return, by this_goroutine::exit, out of a nest of locks and out of a catch block.
TEST_F(Locked, ItsThreadEndsWithIt) {
    enum way { by_return, by_exit, nested, in_catch, ways };
    for (int p : {1, 2})
        for (int w = 0; w < ways; w++) {
            rt0::gomaxprocs(p);
            rt0::chan<int> c(0);
            std::atomic<int> destroyed{0};
            rt0::go([&] {
                struct at_end {
                    std::atomic<int>* n;
                    ~at_end() { (*n)++; }
                } a{&destroyed};
                this_goroutine::lock_os_thread();
                if (w == nested) this_goroutine::lock_os_thread();
                c.send(tid());
                if (w == by_exit) this_goroutine::exit();
                if (w == in_catch) {
                    try {
                        throw 1;
                    } catch (int) {
                        this_goroutine::exit();
                    }
                }
            });
            int t = c.recv().value();
            while (destroyed.load() != 1) this_goroutine::sleep_for(1ms);
            if (t == getpid()) continue;
            while (syscall(SYS_tgkill, getpid(), t, 0) == 0) this_goroutine::sleep_for(1ms);
        }
}

// Two that ready each other for ever, one of them on a thread of its own: who waits in the ring, as a newborn or in the
// global queue has its turn all the same (LO4).
TEST_F(Locked, APairThatHandsItsPOverLeavesOthersTheirTurns) {
    for (bool strange : {false, true}) {
        rt0::gomaxprocs(1);
        rt0::chan<int> there(0), back(0);
        std::atomic<bool> over{false};
        rt0::wait_group wg;
        wg.go([=] {
            while (auto v = there.recv()) back.send(*v);
        });
        auto ping = [&] {
            for (int i = 0; !over; i++) {
                there.send(i);
                back.recv();
            }
            there.close();
        };
        std::thread t;
        if (strange) t = std::thread(ping);
        else
            wg.go([&] {
                this_goroutine::lock_os_thread();
                ping();
            });
        for (int i = 0; i < 100; i++) this_goroutine::yield();
        for (int i = 0; i < 20; i++) {
            bool ran = false;
            rt0::wait_group one;
            one.go([&] { ran = true; });
            rt0::blocking([] { usleep(1000); });  // comes back through the global queue
            one.wait();
            EXPECT_TRUE(ran);
        }
        over = true;
        wg.wait();
        if (strange) rt0::blocking([&] { t.join(); });
    }
}

// One that yields waits for a turn of each other, as any does, and behind a pair that hands the P to and fro as long as that may
// (RQ6).
TEST_F(Locked, HasItsTurnBehindOthers) {
    rt0::gomaxprocs(1);
    constexpr long turns = 200;
    for (bool pair : {false, true}) {
        std::atomic<bool> over{false};
        std::atomic<long> others{0};
        long meanwhile = 0;
        rt0::chan<int> there(0), back(0);
        rt0::wait_group wg;
        wg.go([&] {
            if (!pair) return;
            while (auto v = there.recv()) back.send(*v);
        });
        for (int i = 0; i < (pair ? 1 : 2); i++)
            wg.go([&] {
                for (; !over; others++) {
                    if (pair) there.send(1), back.recv();
                    else this_goroutine::yield();
                }
                if (pair) there.close();
            });
        wg.go([&] {
            this_goroutine::lock_os_thread();
            this_goroutine::yield();
            const long before = others;
            for (long i = 0; i < turns; i++) this_goroutine::yield();
            meanwhile = others - before;
            over = true;
        });
        wg.wait();
        EXPECT_LE(meanwhile, turns * (pair ? cfg::runnext_inherit_max : 8)) << (pair ? "exchanges" : "yields");
    }
}

// Locked goroutines that wait for each other only, with one P and with many.
TEST_F(Locked, HandTheirPsToEachOther) {
    for (int p : {1, 2, 7}) {
        rt0::gomaxprocs(p);
        constexpr int n = 6, laps = 200;
        std::vector<rt0::chan<int>> ring;
        for (int i = 0; i < n; i++) ring.emplace_back(0);
        std::atomic<int> wrong{0};
        rt0::wait_group wg;
        wg.add(n);
        for (int i = 0; i < n; i++)
            rt0::go([&, i] {
                this_goroutine::lock_os_thread();
                int t = tid();
                for (int k = 0; k < laps; k++) {
                    int v = ring[static_cast<std::size_t>(i)].recv().value();
                    if (tid() != t) wrong++;
                    if (i == n - 1 && k == laps - 1) break;
                    ring[static_cast<std::size_t>((i + 1) % n)].send(v + 1);
                }
                wg.done();
            });
        ring[0].send(0);
        wg.wait();
        EXPECT_EQ(wrong.load(), 0);
    }
}

// glibc's setuid sends each thread a signal and waits until it has been taken: also by those that are about to end, whose
// destructors of thread_locals take their time.
TEST_F(Locked, SetuidWhileTheirThreadsEnd) {
    struct lingers {
        int used = 0;
        ~lingers() { usleep(500); }
    };
    static thread_local lingers l;
    std::atomic<bool> over{false};
    rt0::wait_group wg;
    for (int i = 0; i < 2; i++)
        wg.go([&] {
            while (!over) {
                rt0::wait_group one;
                one.go([] {
                    this_goroutine::lock_os_thread();
                    l.used++;
                });
                one.wait();
            }
        });
    for (int i = 0; i < 100; i++) {
        rt0::blocking([] { EXPECT_EQ(setresuid(static_cast<uid_t>(-1), geteuid(), static_cast<uid_t>(-1)), 0); });
        this_goroutine::yield();
    }
    over = true;
    wg.wait();
}

// For who decides, at the limit of threads, whether somebody may come for those that are not locked (ID4).
TEST_F(Locked, AreCounted) {
    auto counted = [] { return rt0::runtime::sched.nmlocked.load(); };
    while (counted() != 0) rt0::this_goroutine::yield();  // threads of other tests' end
    rt0::this_goroutine::lock_os_thread();
    rt0::this_goroutine::lock_os_thread();
    EXPECT_EQ(counted(), 1);
    rt0::this_goroutine::unlock_os_thread();
    EXPECT_EQ(counted(), 1);
    rt0::this_goroutine::unlock_os_thread();
    rt0::this_goroutine::unlock_os_thread();
    EXPECT_EQ(counted(), 0);
    std::atomic<int> most{0};
    rt0::wait_group ended;
    ended.go([&] {
        rt0::this_goroutine::lock_os_thread();
        most = counted();
    });
    ended.wait();
    std::thread([&] {  // a thread of the program's own is none of those that are counted
        rt0::this_goroutine::lock_os_thread();
        rt0::this_goroutine::unlock_os_thread();
    }).join();
    EXPECT_EQ(most, 1);
    while (counted() != 0) rt0::this_goroutine::yield();
}

}  // namespace
