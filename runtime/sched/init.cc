// The boot sequence, station by station, and the end of the process.
//
//     rt0_go        g, m0, g0 tied together
//       check         what we rely on
//       args          argv, environment, auxiliary vector
//       osinit        ncpu, huge page size, thread layout
//       schedinit     stacks, memory, m0, debug variables, Ps
//       newproc       runtime_main becomes the first goroutine
//       mstart        m0 schedules; never returns
//     runtime_main  sysmon, init tasks, gcenable, main_main, exit(0)
//
// In a process with its own main the same sequence runs on a thread made for it
// (boot_from_foreign), without a main_main, and the callers take part as foreign threads.  So it does where a static
// constructor is the first to use the runtime: rt0_go finds it booted, has main_main run as one more goroutine, and the
// initial thread has no more to do.
#include "sched/init.h"

#include <cxxabi.h>
#include <pthread.h>

#include <cstdlib>

#include "base/throw.h"
#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "kernel_if/cpu.h"
#include "kernel_if/inject.h"
#include "kernel_if/signal.h"
#include "kernel_if/sys.h"
#include "kernel_if/thread.h"
#include "kernel_if/valgrind.h"
#include "sched/background.h"
#include "sched/check.h"
#include "sched/checkdead.h"
#include "sched/debugvars.h"
#include "sched/exit.h"
#include "sched/find.h"
#include "sched/fork.h"
#include "sched/leakcheck.h"
#include "sched/lists.h"
#include "sched/mstart.h"
#include "sched/pidle.h"
#include "sched/procresize.h"
#include "sched/retake.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/sysmon.h"
#include "sched/template.h"
#include "sched/upcross.h"

namespace rt0::runtime {

// constinit: the first call of the runtime may come from a static constructor, and what it
// set up must not be constructed again after it.
constinit m0_room room_of_m0;
constinit g g0;
constinit schedt sched;
constinit atomic<std::int32_t> gomaxprocs_now{0};
mcache* mcache0 = nullptr;
std::size_t physHugePageSize = 0;

namespace {

int main_argc = 0;
char** main_argv = nullptr;
void (*main_main)() = nullptr;
constinit kernel::auxv aux;
constinit atomic<std::uint32_t> boot_state{0};  // futex word: 0 not booted, 1 booting, 2 done
constinit note boot_done;

// glibc hands what main gets to constructors, too, those of a library that is loaded later among them.
[[gnu::constructor(101)]] void keep_args(int argc, char** argv, char**) {
    main_argc = argc;
    main_argv = argv;
}

void args(int argc, char** argv) {
    if (argv) keep_args(argc, argv, nullptr);
    aux = kernel::read_auxv(argv ? argv + argc + 1 : nullptr);
    boottrace("args");
}

void osinit() {
    ncpu = kernel::getproccount();
    physHugePageSize = kernel::getHugePageSize();
    const char* why = nullptr;
    kernel::thread_kind kind = kernel::thread_init(&why);
    boottrace("osinit");
    if (kind == kernel::thread_kind::pthread) boottrace(why ? why : "threads by pthread_create");
}

// m0 steals in another order in each run; the other Ms have their seeds from the clock (mcommoninit).
void alginit() {
    if (aux.random) {
        std::uint64_t seed;
        __builtin_memcpy(&seed, aux.random, sizeof seed);
        if (seed) m0.rand = seed;
    }
}

// Not analysed: there is one thread so far.
void schedinit() NO_THREAD_SAFETY_ANALYSIS {
    sched.starttime = kernel::nanotime();
    sched.waitclock.store(sched.starttime, memory_order_relaxed);  // relaxed: one thread so far
    sched.lastpoll.store(sched.starttime, memory_order_relaxed);  // relaxed: one thread so far
    upcall_tracebackinit();
    leakcheckinit();
    boottrace("tracebackinit");
    mallocinit();
    mcache0 = allocmcache();
    if (!mcache0) out_of_memory("the scheduler");
    boottrace("stackinit mallocinit");
    sched.mnext = 1;  // m0
    if (!mcommoninit(&m0)) out_of_memory("the scheduler");
    boottrace("mcommoninit");
    alginit();
    boottrace("cpuinit alginit");  // cpuinit: what the processor can do stands in aux
    kernel::sigmask_get(&m0.sigmask);
    boottrace("msigsave");
    boottrace("goargs goenvs");  // nothing to convert: C++ takes argv and environ as they are
    parsedebugvars(std::getenv("RT0DEBUG"));
    boottrace("parsedebugvars");
    const char* why = retakeinit();
    boottrace(why ? why : "retakeinit");
    m0.retake.store(retake_initial(), memory_order_relaxed);  // relaxed: one thread so far
    boottrace("gcinit");  // nothing to set up: there is no collector yet
    {
        guard r(retakelock);
        guard l(sched.lock);
        if (procresize(maxprocs_from_environment()).with_work) runtime_throw("unknown runnable goroutine during bootstrap");
    }
    boottrace("procresize");
}

void run_main(void*);
void run_boot(void*);

void start_main(void (*entry)(void*)) {
    newproc_args a{.closure_size = 0, .closure_align = 1, .stack_size = cfg::main_stack, .name = {}, .callerpc = 0};
    g* gp = newproc_begin(a);
    if (!gp) out_of_memory("the main goroutine's stack of 8 MiB");
    newproc_commit(gp, entry, reinterpret_cast<std::uintptr_t>(main_main));
}

// Stations 1-8 on the calling thread, up to the first goroutine being queued: the main goroutine, or, where there is none, one
// of the runtime's that only does what is left of the boot.
void bootstrap(int argc, char** argv) {
    boottrace("rt0_go");
    m0init();
    exitinit();
    m0.g0 = &g0;
    g0.mp = &m0;
    g0.is_system = true;
    g0.stk = m0.g0stack = thread_stack();
    if (g0.stk.lo) kernel::vg_stack_register(reinterpret_cast<void*>(g0.stk.lo), g0.stk.hi - g0.stk.lo);
    setg(&g0);
    check(kernel::read_auxv(nullptr).page_size);
    boottrace("check");
    args(argc, argv);
    osinit();
    m0.eh = reinterpret_cast<eh_globals*>(abi::__cxa_get_globals());
    schedinit();
    minit(&m0);
    initsig();
    m0.wakes_deferred++;  // the main goroutine must start on m0: no other M before runtime_main
    if (argv) start_main(run_main);
    else newproc_system(run_boot, nullptr, "boot");
    boottrace("newproc");
}

void runtime_main() {
    g* gp = getg();
    boottrace("runtime_main");
    lockOSThread();
    if (gp->mp != &m0) runtime_throw("runtime_main not on m0");
    m0.wakes_deferred--;
    m0.wake_wanted = false;
    systemstack([] {
        newm_sysmon();
        start_template_thread();
        start_dumper();
    });
    boottrace("sysmon");
    gcenable();
    boottrace("gcenable");
    unlockOSThread();
    boot_state.store(2, memory_order_release);  // ORDER(boot): pairs with booted()
    notewakeup(&boot_done);
}

void run_main_main(void*) {
    boottrace("main_main");
    main_main();
    // ORDER(panicking): acquire; pairs with the release in report_begin: a report is not cut short.
    if (panicking.load(memory_order_acquire)) {
        runtime_call rc;
        gopark(nullptr, nullptr, wait_reason::panic_wait);
    }
    process_exit(0);
}

void run_main(void*) {
    {
        runtime_call rc;
        runtime_main();
    }
    run_main_main(nullptr);
}

void run_boot(void*) { runtime_main(); }

// On the initial thread, of a runtime that a static constructor booted.
[[noreturn]] void run_main_beside() {
    {
        runtime_call rc;
        start_main(run_main_main);
    }
    checkdead_main_sleeps();
    foreign_leave();
    block_all_but_faults();  // handlers run on threads that have a g
    sleep_for_good();
}

}  // namespace

stack thread_stack() {
    stack s;
    pthread_attr_t a;
    if (kernel::injected(kernel::inject::libc) || pthread_getattr_np(pthread_self(), &a) != 0) return s;
    void* lo;
    std::size_t n;
    if (pthread_attr_getstack(&a, &lo, &n) == 0) {
        s.lo = reinterpret_cast<std::uintptr_t>(lo);
        s.hi = s.lo + n;
    }
    pthread_attr_destroy(&a);
    return s;
}

bool booted() {
    // ORDER(boot): acquire; pairs with the release in runtime_main.
    return boot_state.load(memory_order_acquire) == 2;
}

void rt0_go(int argc, char** argv, void (*main_fn)()) {
    forkinit();
    const auto symbols = kernel::look_up_symbols();
    std::uint32_t none = 0;
    // ORDER(boot): acq_rel; one thread boots.
    if (!boot_state.compare_exchange_strong(none, 1, memory_order_acq_rel, memory_order_acquire)) {
        main_main = main_fn;  // the boot goes by what it was told
        run_main_beside();
    }
    kernel::keep_symbols(symbols);
    main_main = main_fn;
    bootstrap(argc, argv);
    boottrace("mstart");
    mstart(&m0);
    runtime_throw("mstart returned");
}

namespace {

void boot_thread(void*) {
    bootstrap(0, nullptr);
    mstart(&m0);
    runtime_throw("mstart returned");
}

}  // namespace

void boot_from_foreign() {
    forkinit();
    const auto symbols = kernel::look_up_symbols();  // here, for a constructor that dlopen runs
    std::uint32_t none = 0;
    // ORDER(boot): acq_rel; one thread boots, the others wait for it.
    if (!boot_state.compare_exchange_strong(none, 1, memory_order_acq_rel, memory_order_acquire)) {
        while (!booted()) {  // once in a process' life, a few milliseconds
            forked_child_check();
            kernel::usleep(50);
        }
        return;
    }
    kernel::keep_symbols(symbols);
    checkdead_disable();
    // m0 lives on a thread of its own: an ordinary one, since thread_init has not run.
    pthread_t t;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&a, (1 << 20) + kernel::pthread_share());
    bool made = !kernel::injected(kernel::inject::libc) &&
                pthread_create(&t, &a, [](void*) -> void* { boot_thread(nullptr); return nullptr; }, nullptr) == 0;
    if (!made) die("cannot create the first thread of the runtime (see ulimit -u)");
    pthread_attr_destroy(&a);
    notesleep(&boot_done);
}

bool is_main(const g* gp) { return main_main && gp->startpc == reinterpret_cast<std::uintptr_t>(main_main); }
std::span<char* const> program_args() { return {main_argv, static_cast<std::size_t>(main_argc)}; }
int numcpu() { return ncpu; }

}  // namespace rt0::runtime
