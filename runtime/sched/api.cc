// The public functions of <rt0/go.h> that belong to the scheduler.
#include <rt0/go.h>

#include "base/forked.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/exit.h"
#include "sched/init.h"
#include "sched/mstart.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/procresize.h"
#include "sched/retake.h"
#include "sched/schedule.h"
#include "sched/sched.h"
#include "sched/template.h"
#include "sched/timer.h"
#include "sched/upcross.h"

namespace rt0 {

namespace rt = runtime;

namespace detail {

// A goroutine outside already (nested, or a foreign thread) stays as it is.
syscall_scope::syscall_scope() : entered_(false) {
    rt::forked_child_check();
    if (rt::seeded()) return;  // SS2
    rt::g* gp = rt::getg();
    if (!gp || (gp->mp->retake.load(rt::memory_order_relaxed) & rt::rt_outside)) return;  // relaxed: its own bit
    // relaxed: set by this very goroutine.  It keeps its P to the end (EX2).
    if (rt::sched.exiting.load(rt::memory_order_relaxed) && rt::may_still_run(gp)) return;
    rt::runtime_call rc;
    rt::put_call_off(rc.gp);
    rc.give_back_p();
    entered_ = true;
}

syscall_scope::~syscall_scope() {
    if (!entered_) return;
    rt::runtime_call rc;
    rc.keep_p();
}

std::chrono::nanoseconds time_skipped() { return std::chrono::nanoseconds(rt::virtual_skipped()); }

namespace {
// Held during a write, without a P: who waits for it is as one whose own write blocks.
constinit rt::mutex lines{rt::lock_rank::print};
}

void line::write() {
    text_.push_back('\n');
    syscall_scope in_kernel;
    rt::guard one_after_the_other(lines);
    kernel::write_all(1, text_.data(), text_.size(), true);
}

}  // namespace detail

int num_cpu() {
    rt::runtime_call rc;
    return rt::numcpu();
}

int num_goroutine() {
    rt::runtime_call rc;
    return rt::gcount();
}

int num_thread() {
    rt::runtime_call rc;
    rt::guard l(rt::sched.lock);
    return rt::mcount() - rt::sched.nmextraidle.load(rt::memory_order_relaxed);  // relaxed: a count for reports
}

int set_max_threads(int n) {
    // Raised before the crossing, which may wait for a P: where each is kept by a goroutine that blocks, for want of an M,
    // sysmon finds one then.  Lowered after it, when the runtime is up and whoever would exceed the limit can say so.
    // relaxed, all: the limit alone; new Ms are counted under sched.lock.
    int old = rt::mlimit();
    bool raised = false;
    while (n > old && !raised)
        raised = rt::sched.maxmcount.compare_exchange_weak(old, n, rt::memory_order_relaxed, rt::memory_order_relaxed);
    if (raised) rt::forget_refusal();
    rt::runtime_call rc;
    if (n <= 0) panic("rt0::set_max_threads: the limit must be positive");
    {
        rt::guard l(rt::sched.lock);
        if (!raised) old = rt::sched.maxmcount.exchange(n, rt::memory_order_relaxed);  // relaxed: as above
        rt::checkmcount();  // as Go: fatal when more exist already
    }
    rt::room_for_m();
    return old;
}

int gomaxprocs(int n) {
    rt::runtime_call rc;
    int old = rt::gomaxprocs_now.load(rt::memory_order_relaxed);  // relaxed: changes only in a stopped world
    if (n <= 0 || n == old || rt::seeded()) return old;
    // relaxed: the exiting goroutine set it itself.  It stopped the world for good (EX1), and nobody would come to stop it again.
    if (rt::sched.exiting.load(rt::memory_order_relaxed)) return old;
    if (n > rt::cfg::max_procs) n = rt::cfg::max_procs;
    rt::world_acquire();
    rt::systemstack([&] {
        rt::stop_the_world();
        old = rt::gomaxprocs_now.load(rt::memory_order_relaxed);  // relaxed: the world is stopped
        rt::want_newprocs(n);
        rt::start_the_world();
    });
    rt::world_release();
    return old;
}

std::chrono::steady_clock::time_point now() {
    std::int64_t ns = rt::seeded() ? rt::virtual_look() : kernel::nanotime();
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}
void exit(int code) { rt::process_exit(code); }
std::span<char* const> args() { return rt::program_args(); }

namespace this_goroutine {

std::uint64_t id() {
    rt::runtime_call rc;
    return rc.gp->goid;
}

std::string_view name() {
    rt::runtime_call rc;
    return rc.gp->name;
}

void yield() {
    rt::runtime_call rc;
    rt::gosched();
}

void sleep_for(std::chrono::nanoseconds d) {
    rt::runtime_call rc;
    if (d.count() <= 0) return rt::gosched();
    std::int64_t now = rt::clock_now(), when;
    if (__builtin_add_overflow(now, d.count(), &when)) when = INT64_MAX;
    rt::timesleep(when);
}

void lock_os_thread() {
    rt::runtime_call rc;
    rt::lock_os_thread_ext(rc.gp);
}

void unlock_os_thread() {
    rt::runtime_call rc;
    rt::unlock_os_thread_ext(rc.gp);
}

void exit() {
    {
        rt::runtime_call rc;
        if (rc.gp->foreign) panic("this_goroutine::exit on a thread that is no goroutine");
    }
    rt::goexit_unwind();
}

std::size_t stack_remaining() {
    rt::runtime_call rc;
    std::uintptr_t here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (here < rc.gp->stk.lo || here > rc.gp->stk.hi) return 0;  // a foreign thread's stack
    return here - rc.gp->stk.lo;
}

}  // namespace this_goroutine

}  // namespace rt0

namespace rt0::runtime {

int gcount() {
    rcu_reader r;
    // relaxed throughout: a number that may be old when it is read.
    std::int64_t n = static_cast<std::int64_t>(allgs().n) - sched.gfree.n -
                     sched.ngsys.load(memory_order_relaxed);
    for (p* pp : allp()) n -= pp->gfree_n;
    return n < 1 ? 1 : static_cast<int>(n);
}

}  // namespace rt0::runtime
