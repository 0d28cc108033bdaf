// checkdead: "all goroutines are asleep - deadlock!"
//
// Exact when every thread of the process is an M: an M that runs or may run a goroutine
// is neither idle, nor waiting for its locked G, nor sysmon, the template thread or the dumper, nor without a thread.  With
// any other thread (std::thread, an own main) nobody can know what it will send, so
// nothing is reported.
// A foreign thread in the runtime counts by its extra M; between that and its end it is
// any other thread, and so is the thread of an M that has ended, until the kernel is done with it.  Then sysmon looks, before
// it sleeps deeply again; for other threads it looks now and then.
// The M that sleeps until a timer is not on the idle list, so timers count as running, but only as long as
// there are any: one that was stopped does not wake that M.
//
// Source: Go's proc.go.
#include "sched/checkdead.h"

#include "base/throw.h"
#include "kernel_if/thread.h"
#include "sched/find.h"
#include "sched/mstart.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

bool disabled GUARDED_BY(sched.lock) = false;    // [lock:sched]
int sleeping_main GUARDED_BY(sched.lock) = 0;    // 1: the initial thread is no M, and does nothing any more [lock:sched]
#ifdef RT0_TSAN
constexpr int sanitizer_threads = 1;
#else
constexpr int sanitizer_threads = 0;
#endif

bool other_threads_exist() REQUIRES(sched.lock) {
    rcu_reader r;
    // All first: one of ours that ends in between then makes a stranger of itself, and is looked at again
    // later; the other way round it would hide one.
    int all = kernel::count_threads();
    int ours = sanitizer_threads + sleeping_main;
    for (m* mp : allm()) {
        if (mp->is_extra) continue;  // its thread, if it has one, is a stranger
        // The thread of one that ended runs the destructors of its thread_locals, which may send: a stranger until it is gone.
        if (!mp->ended) ours++;
    }
    return all < 0 || all > ours;
}

// How many goroutines could be blamed: user goroutines that wait.
int waiting_goroutines() {
    rcu_reader r;
    int n = 0;
    for (g* gp : allgs()) {
        if (gp->is_system) continue;
        std::uint32_t s = readgstatus(gp) & ~gscan;
        if (s == gwaiting) n++;
        if (s == grunnable || s == grunning || s == gsyscall || s == gdetached) {
            textbuf t;
            t << "checkdead: goroutine " << gp->goid << " has status " << s << " and no M to run it";
            runtime_throw(t.c_str());
        }
    }
    return n;
}

// The M in sleep_until_timer, when it is the last: without a P, and with no timer left it will find nothing and go idle.
// Nobody else can arm one.  Where a P was left idle with work it is on its way (TM5).
bool sleeps_for_nothing() REQUIRES(sched.lock) {
    // ORDER(poll): seq_cst; as in sleep_until_timer.
    return sched.lastpoll.load(memory_order_seq_cst) == 0 && sched.polluntil.load(memory_order_seq_cst) != 0 && !timers_pending() &&
           !sched.starved.load(memory_order_relaxed);  // relaxed: sched.lock
}

// ID4: two Ms that left their Ps idle each took the other for one that comes.
bool left_for_want_of_an_m() REQUIRES(sched.lock) {
    // relaxed: sched.lock.  The limit: whoever has raised it is on his way.
    if (mlimited() < mlimit()) return false;
    return sched.starved.load(memory_order_relaxed) && (sched.runqsize.load(memory_order_relaxed) != 0 || timers_pending());
}

}  // namespace

std::int64_t running_ms() {
    // relaxed: an extra M goes in and out of the count of idle ones while it counts as made.
    return sched.mnext - sched.nmfreed - sched.nmidle - sched.nmidlelocked - sched.nmsys -
           sched.nmextraidle.load(memory_order_relaxed);
}

// Those that may bring something about yet.
static std::int64_t blamable_ms() REQUIRES(sched.lock) {
    const std::int64_t run = running_ms();
    return run == 1 && sleeps_for_nothing() ? 0 : run;
}

void checkdead_later() {
    guard l(sched.lock);
    if (disabled || blamable_ms() > 0 || !sched.sysmonwait.load(memory_order_relaxed)) return;  // relaxed: sched.lock
    sched.sysmonwait.store(false, memory_order_relaxed);
    notewakeup(&sched.sysmonnote);
}

void checkdead_disable() {
    guard l(sched.lock);
    disabled = true;
}

void checkdead_main_sleeps() {
    guard l(sched.lock);
    disabled = false;
    sleeping_main = 1;
}

bool checkdead() {
    // relaxed: set once for good.
    if (disabled || sched.exiting.load(memory_order_relaxed) || panicking.load(memory_order_relaxed)) return false;
    std::int64_t run = blamable_ms();
    if (run > 0) return false;
    if (run < 0) {
        textbuf t;
        t << "checkdead: inconsistent counts: mcount " << sched.mnext - sched.nmfreed << " nmidle " << sched.nmidle
          << " nmidlelocked " << sched.nmidlelocked << " nmsys " << sched.nmsys << " nmextraidle "
          << sched.nmextraidle.load(memory_order_relaxed);  // relaxed: message
        runtime_throw(t.c_str());
    }
    if (left_for_want_of_an_m()) exhausted();
    if (other_threads_exist()) return true;
    int waiting = waiting_goroutines();
    sched.lock.unlock();  // the report takes its time; nothing else can run any more
    if (waiting == 0) fatal("no goroutines (main called this_goroutine::exit) - deadlock!");
    fatal("all goroutines are asleep - deadlock!");
}

}  // namespace rt0::runtime
