// Scenes for tests/crash/sched_test.cc: guards that are hit where a handler must look twice whose they are, and signals that
// the runtime has no handler for.  argv[1] names one.  RT0_TEST_INJECT arms faults (armed.h).
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "mem/mem.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/armed.h"

namespace this_goroutine = rt0::this_goroutine;

namespace {

// Runs f on the initial thread, on a goroutine.  It does not come back.
void on_initial_thread(void (*f)()) {
    constexpr int n = 8;
    std::atomic<int> here{0};
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            this_goroutine::lock_os_thread();
            here++;
            while (here.load() < n) this_goroutine::yield();
            if (gettid() == getpid()) f();
        });
    rt0::chan<int>(0).recv();
}
[[gnu::noinline]] void write_at(std::uintptr_t p) { *reinterpret_cast<volatile char*>(p) = 1; }

// Above that thread's stack, which has no guard of ours but ends where the kernel lets it grow no more.
void fault_above_the_initial_stack() {
    on_initial_thread([] {
        std::uintptr_t p = rt0::runtime::getg()->mp->g0stack.hi;
        do p += 64 << 10;
        while (mmap(reinterpret_cast<void*>(p), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
               MAP_FAILED);
        write_at(p);
    });
}

// On a stack of the program's far below the goroutine's: its guard is hit by a pointer that went astray.
ucontext_t outside, inside;
char low_stack[256 << 10];
void stray_from_below() {
    rt0::go([] {
        if (reinterpret_cast<std::uintptr_t>(low_stack) + (2 << 20) > rt0::runtime::getg()->stk.slot) std::abort();
        getcontext(&inside);
        inside.uc_stack = {low_stack, 0, sizeof low_stack};
        makecontext(&inside, [] { write_at(rt0::runtime::getg()->stk.slot + 100); }, 0);
        swapcontext(&outside, &inside);
    });
    rt0::chan<int>(0).recv();
}

volatile bool sure = true;
[[gnu::noinline]] int recurse(int n) {
    volatile char frame[64];
    frame[0] = static_cast<char>(n);
    int r = sure ? recurse(n + 1) : 0;
    return r + frame[0];
}
// The stack of a goroutine ends while it is on its way to g0, or on its way out for good.
void overflow_on_the_way(bool leaving) {
    rt0::go({.name = "deep", .stack_size = 0}, [leaving] {
        using namespace rt0::runtime;
        g* gp = getg();
        m* mp = gp->mp;
        if (leaving) {
            mp->leaving = gp;
            mp->curg = nullptr;
        }
        setg(mp->g0);
        recurse(0);
    });
    rt0::chan<int>(0).recv();
}
void overflow_of_a_foreign_g0() {
    std::thread([] {
        this_goroutine::yield();
        rt0::runtime::runtime_call rc;
        rt0::runtime::systemstack([] { recurse(0); });
    }).join();
}
// Runs f on a goroutine whose stack lies above that of the g0 of its M, by less than a frame may reach: of many stacks of a
// goroutine's size one that lies so is made the g0's.
void above_g0(void (*f)()) {
    using namespace rt0::runtime;
    constexpr int n = 64;
    static stack below[n];
    static std::atomic<int> tried{0};
    {
        runtime_call rc;
        for (stack& s : below) s = stackalloc(current_mcache(), cfg::stack_default);
    }
    for (int i = 0; i < n; i++)
        rt0::go({.name = "deep", .stack_size = 0}, [f] {
            const stack mine = getg()->stk;
            for (const stack& s : below) {
                static std::atomic<bool> found{false};
                if (s.hi > mine.slot || mine.slot - s.lo > 900'000 || found.exchange(true)) continue;
                runtime_call rc;
                m* mp = rc.gp->mp;
                mp->g0stack = mp->g0->stk = s;
                mp->g0sp = s.hi - 64;  // nothing is in use below the old one
                rc.stay_inside();
                f();
            }
            if (++tried == n) _exit(98);  // none of them is close enough
            this_goroutine::sleep_for(std::chrono::hours(1));  // the next one needs another stack
        });
    rt0::chan<int>(0).recv();
}
void stray_from_g0() {
    above_g0([] {
        const std::uintptr_t p = rt0::runtime::getg()->stk.slot + 100;
        rt0::runtime::systemstack([p] { write_at(p); });
    });
}
// On a stack that is another goroutine's than the thread's: f(its guard).
void on_a_strange_stack(int (*f)(std::uintptr_t)) {
    rt0::runtime::g* main_g = rt0::runtime::getg();
    rt0::go({.name = "strange", .stack_size = 0}, [main_g, f] {
        const std::uintptr_t p = rt0::runtime::getg()->stk.slot + 100;
        rt0::runtime::setg(main_g);
        f(p);
    });
    rt0::chan<int>(0).recv();
}

const struct {
    const char* name;
    void (*run)();
} scenes[] = {
    {"fault", [] { write_at(16); }},
    {"quit-handled", [] {
         struct sigaction now;
         sigaction(SIGQUIT, nullptr, &now);
         rt0::exit(now.sa_handler != SIG_DFL);
     }},
    {"fault-on-initial", [] { on_initial_thread([] { write_at(16); }); }},
    {"fault-above-initial", fault_above_the_initial_stack},
    {"stray-from-below", stray_from_below},
    {"overflow-to-g0", [] { overflow_on_the_way(false); }},
    {"overflow-leaving", [] { overflow_on_the_way(true); }},
    {"overflow-foreign-g0", overflow_of_a_foreign_g0},
    {"overflow-above-g0", [] { above_g0([] { recurse(0); }); }},
    {"overflow-strange", [] { on_a_strange_stack([](std::uintptr_t) { return recurse(0); }); }},
    {"stray-strange", [] { on_a_strange_stack([](std::uintptr_t p) { return write_at(p), 0; }); }},
    {"stray-from-g0", stray_from_g0},
};

}  // namespace

void main_main() {
    const std::string what = rt0::args().size() > 1 ? rt0::args()[1] : "";
    for (auto& s : scenes)
        if (what == s.name) s.run();
    rt0::exit(99);
}
