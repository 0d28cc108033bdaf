// A program that uses everything once, for tests/crash/fault_test.cc: fault_prog [SCENE].
//
// Boots, runs a mixed workload whose result is known, prints it and how many faults were
// injected (armed.h).  Whatever the kernel refuses meanwhile, it must end with the right
// answer or with one clear line.  Scenes, instead of everything:
//     stalls   goroutines that block and loop without a word to the runtime
//     writes   println from several goroutines, and a dump of them
//     strays   deadlocks are looked for, beside threads that come and go; stacks of all sizes
//     panic, segv, raised   the end with a report, beside goroutines of every kind
//     million  a million goroutines at once, or as many as can be had
//     limited  everything, with rt0::set_max_threads(20)
// RT0_TEST_LIMIT (limited.h): the same under limits of the process; for limits_test.cc.
#include <rt0/rt0.h>

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "sched/background.h"
#include "sched/newproc.h"
#include "sched/upcross.h"
#include "tests/support/armed.h"
#include "tests/support/limited.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

constexpr int extra_threads = 100;

// What a careful program does when memory is short: tries again, a few times.
template <class F>
void go(rt0::go_options o, F f) {
    for (int tries = 0;; tries++) {
        try {
            return rt0::go(o, f);
        } catch (const std::bad_alloc&) {
            if (tries == 3) throw;
            this_goroutine::yield();
        }
    }
}
// A group of goroutines, all of them joined.
class group {
public:
    template <class F>
    void go(F f, std::size_t stack = 0) {
        wg_.add(1);
        ::go({.name = {}, .stack_size = stack}, [this, f]() mutable {
            f();
            wg_.done();
        });
    }
    void join() { wg_.wait(); }

private:
    rt0::wait_group wg_;
};

void wrong(const char* what, long got, long want) {
    std::fprintf(stderr, "wrong answer: %s is %ld, not %ld\n", what, got, want);
    std::_Exit(99);
}
void expect(const char* what, long got, long want) {
    if (got != want) wrong(what, got, want);
}

void channels() {
    for (std::size_t cap : {0, 3}) {
        rt0::chan<int> c(cap);
        std::atomic<long> sum{0};
        group in, out;
        for (int i = 0; i < 6; i++) {
            out.go([&, c]() mutable {
                for (int v : c) sum += v;
            });
            in.go([c]() mutable {
                for (int v = 1; v <= 100; v++) c.send(v);
            });
        }
        in.join();
        c.close();
        out.join();
        expect("the sum received", sum, 6 * 5050);
    }
}

void selects_and_timers() {
    std::atomic<long> fired{0};
    group all;
    for (int i = 0; i < 10; i++) {
        all.go([&] {
            for (int k = 0; k < 5; k++) this_goroutine::sleep_for(100us);
            fired++;
        });
        all.go([&] {
            rt0::chan<int> never(0);
            rt0::select(rt0::recv(never, [](std::optional<int>) {}), rt0::after(300us, [&] { fired++; }));
        });
    }
    rt0::timer t(200us);
    if (t.channel().recv()) fired++;
    all.join();
    expect("timers fired", fired, 21);
}

void locks() {
    rt0::mutex m;
    rt0::condition_variable cv;
    long plain = 0;
    group all;
    for (int i = 0; i < 8; i++)
        all.go([&] {
            for (int k = 0; k < 50; k++) {
                std::unique_lock<rt0::mutex> l(m);
                plain++;
                cv.notify_all();
                if (k % 10 == 0) this_goroutine::yield();
            }
        });
    {
        std::unique_lock<rt0::mutex> l(m);
        cv.wait(l, [&] { return plain == 400; });
    }
    all.join();
    expect("the count under the lock", plain, 400);
}

[[gnu::noinline]] long deep(int n) {
    volatile char frame[1024];
    frame[0] = static_cast<char>(n);
    return n == 0 ? 0 : deep(n - 1) + (frame[0] == static_cast<char>(n));
}
void stacks() {
    std::atomic<long> depth{0};
    group all;
    for (int i = 0; i < 4; i++) all.go([&] { depth += deep(700); }, 1 << 20);
    for (int i = 0; i < 40; i++) all.go([&] { depth += deep(25); });
    all.join();
    expect("the depth of stacks", depth, 4 * 700 + 40 * 25);
}

void many_parked() {
    rt0::chan<int> gate(0);
    std::atomic<long> ended{0};
    group all;
    for (int i = 0; i < 300; i++)
        all.go([&] {
            gate.recv();
            ended++;
        });
    gate.close();
    all.join();
    expect("the goroutines ended", ended, 300);
    rt0::runtime::runtime_call rc;
    rt0::runtime::wake_scavenger(rt0::runtime::gfcold(true), false);
}

// Each blocks until all do: as many threads are needed.
void threads() {
    std::atomic<int> in{0};
    std::atomic<bool> out{false};
    group all;
    for (int i = 0; i < extra_threads; i++)
        all.go([&] {
            rt0::blocking([&] {
                in++;
                in.notify_all();
                while (!out) out.wait(false);
            });
        });
    rt0::blocking([&] {
        for (int n; (n = in.load()) < extra_threads;) in.wait(n);
    });
    out = true;
    out.notify_all();
    all.join();
    expect("the threads at once", in, extra_threads);
}

void locked_and_foreign() {
    std::atomic<long> ended{0};
    group all;
    for (int i = 0; i < 6; i++)
        all.go([&] {
            this_goroutine::lock_os_thread();
            this_goroutine::yield();
            ended++;
        });
    all.join();
    rt0::chan<int> c(0);
    std::thread strange([c]() mutable {
        for (int i = 0; i < 10; i++) c.send(i);
    });
    for (int i = 0; i < 10; i++) ended += *c.recv();
    rt0::blocking([&] { strange.join(); });
    expect("locked goroutines and foreign values", ended, 6 + 45);
}

void exceptions() {
    std::atomic<long> caught{0};
    group all;
    for (int i = 0; i < 10; i++)
        all.go([&, i] {
            try {
                this_goroutine::yield();
                throw i;
            } catch (int v) {
                this_goroutine::sleep_for(50us);
                caught += v;
            }
        });
    all.join();
    expect("exceptions", caught, 45);
}

void everything() {
    channels();
    selects_and_timers();
    locks();
    stacks();
    many_parked();
    threads();
    locked_and_foreign();
    exceptions();
    int before = rt0::gomaxprocs(4);
    channels();
    rt0::gomaxprocs(before);
}

// More loops than processors, and plain reads, on one P: they must lose it, one after the other, before
// this goroutine can end them.
void stalls() {
    int before = rt0::gomaxprocs(1);
    std::atomic<bool> stop{false};
    std::atomic<long> stalled{0}, ended{0};
    int fd[2];
    if (pipe(fd) != 0) std::abort();
    const int loops = rt0::num_cpu() + 1;
    group all;
    for (int i = 0; i < loops; i++)
        all.go([&] {
            stalled++;
            while (!stop.load(std::memory_order_relaxed)) {}
            this_goroutine::yield();
            ended++;
        });
    for (int i = 0; i < 3; i++)
        all.go([&] {
            char c;
            stalled++;
            ended += read(fd[0], &c, 1);
        });
    while (stalled < loops + 3) this_goroutine::yield();
    stop = true;
    ended += write(fd[1], "xyz", 3);
    all.join();
    close(fd[0]);
    close(fd[1]);
    expect("the stalled goroutines ended", ended, loops + 6);
    rt0::gomaxprocs(2);
    channels();
    rt0::gomaxprocs(before);
}

// What println says may be lost, nothing else.
void writes() {
    group all;
    std::atomic<long> lines{0};
    for (int i = 0; i < 5; i++)
        all.go([&, i] {
            for (int k = 0; k < 5; k++) {
                rt0::println("line", i, k);
                lines++;
            }
        });
    all.join();
    expect("the lines", lines, 25);
}

// The last M that runs sees foreign threads wait, and looks for them among those of the process.
void strays() {
    for (int i = 0; i < 4; i++) {
        rt0::chan<int> c(0);
        std::thread strange([c]() mutable {
            usleep(2000);
            c.send(1);
        });
        expect("what a stray sent", *c.recv(), 1);
        rt0::blocking([&] { strange.join(); });
    }
    for (std::size_t kib = 64; kib <= 4096; kib *= 2) {
        group all;
        std::atomic<long> depth{0};
        for (int i = 0; i < 20; i++) all.go([&] { depth += deep(20); }, kib << 10);
        all.join();
        expect("the depth of stacks", depth, 20 * 20);
        rt0::runtime::runtime_call rc;
        rt0::runtime::wake_scavenger(rt0::runtime::gfcold(true), true);
    }
}

// No goroutine can be had any more, or there are a million; then all end.
void million() {
    rt0::chan<int> gate(0);
    rt0::wait_group ended;
    std::atomic<long> n{0};
    long started = 0;
    try {
        for (; started < 1'000'000; started++) {
            ended.add(1);
            rt0::go([&] {
                gate.recv();
                n++;
                ended.done();
            });
        }
    } catch (const std::bad_alloc&) {
        ended.done();
    }
    gate.close();
    ended.wait();
    expect("the goroutines of a million", n, started);
    std::printf("%s\n", started == 1'000'000 ? "all there" : "refused");
}

// Goroutines that loop, block, park and are locked stand by.
[[noreturn]] void die(const std::string& how) {
    std::atomic<int> there{0};
    rt0::chan<int> never(0);
    int fd[2];
    if (pipe(fd) != 0) std::abort();
    auto stand_by = [&](auto f) {
        rt0::go([&there, f]() mutable {
            there++;
            f();
        });
    };
    stand_by([] {
        for (std::atomic<long> i{0};;) i.fetch_add(1, std::memory_order_relaxed);
    });
    stand_by([fd] {
        char c;
        rt0::blocking([&] { (void)!read(fd[0], &c, 1); });
    });
    stand_by([never]() mutable { never.recv(); });
    stand_by([never]() mutable {
        this_goroutine::lock_os_thread();
        never.recv();
    });
    while (there < 4) this_goroutine::yield();
    int* volatile nowhere = reinterpret_cast<int*>(8);
    if (how == "segv") *nowhere = 1;
    if (how == "raised") raise(SIGSEGV);
    rt0::panic("as told");
}

}  // namespace

void main_main() {
    auto args = rt0::args();
    const std::string scene = args.size() > 1 ? args[1] : "";
    if (scene == "panic" || scene == "segv" || scene == "raised") die(scene);
    if (scene == "limited") rt0::set_max_threads(20);
    if (scene == "stalls") stalls();
    else if (scene == "writes") writes();
    else if (scene == "strays") strays();
    else if (scene == "million") million();
    else everything();
    unsigned hits = 0;
    const bool two = std::strchr(std::getenv("RT0_TEST_INJECT") ?: "", ';');
    for (unsigned i = 0; i < static_cast<unsigned>(rt0::kernel::inject::calls); i++)
        if (!two || i != static_cast<unsigned>(rt0::kernel::inject::guard_probe))  // sets the scene for another fault
            hits += rt0::kernel::inject_hits(static_cast<rt0::kernel::inject>(i));
    std::printf("right, %u faults\n", hits);
}
