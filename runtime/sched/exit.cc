// The end of the process.
//
//   EX1  From process_exit on no goroutine enters the runtime, nor a foreign thread: schedule() stops, crossings
//        from user code sleep for good, and the number of Ps stays.  One inside user code runs on, as a detached
//        std::thread would, while destructors run.
//   EX2  The exiting goroutine keeps its P, so that static destructors may close channels
//        and free what they own; one that would block says so and ends the process.
//   EX3  A report that another thread has begun meanwhile is not cut off: it ends the process, with its status.  One
//        that would begin later still does not begin (RP5).
#include "base/forked.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/sys.h"
#include "sched/exit.h"
#include "sched/init.h"
#include "sched/retake.h"
#include "sched/schedule.h"
#include "sched/upcross.h"

#include <cstdlib>

namespace rt0::runtime {

namespace {
atomic<g*> exiting_g{nullptr};
}

bool may_still_run(const g* gp) {
    return exiting_g.load(memory_order_relaxed) == gp;  // relaxed: set by that very goroutine
}

void disown_exit() { exiting_g.store(nullptr, memory_order_relaxed); }  // relaxed: one thread

void sleep_for_good() {
    forked_child_check();
    static note never;
    for (;;) notesleep(&never);
}

namespace {
// Every M, also those without a P: whoever crosses next looks (EX1).
void mark_exiting() {
    rcu_reader r;
    // ORDER(exit): seq_cst; after sched.exiting: an M made meanwhile reads that (retake_initial).
    for (m* mp : allm()) mp->retake.fetch_or(rt_exiting, memory_order_seq_cst);
}
}  // namespace

void exitinit() {
    // Registered first, so it comes last but for destructors of what was there before the boot.  An error: EX3 does not hold.
    std::atexit([] {
        if (!reporting() && !report_bar()) sleep_for_good();
    });
}

void process_exit(int code) {
    {
        runtime_call rc;
        g* first = nullptr;
        // relaxed: only the winner goes on; in a handler once more, as libc's exit does: the other handlers and the new status.
        if (!exiting_g.compare_exchange_strong(first, rc.gp, memory_order_relaxed, memory_order_relaxed) && first != rc.gp)
            sleep_for_good();
        sched.exiting.store(true, memory_order_seq_cst);    // ORDER(exit): before the marks
        sched.gcwaiting.store(true, memory_order_seq_cst);  // ORDER(exit): stops every schedule(); never cleared
        sched.detour.store(true, memory_order_relaxed);     // relaxed: as for any stop
        mark_exiting();
        rc.stay_inside();  // EX2: the P is not taken while handlers and destructors run
    }
    if (code != 0 && seeded()) report_seed();
    std::exit(code);
}

}  // namespace rt0::runtime
