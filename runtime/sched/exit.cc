// The end of the process.
//
//   EX1  From process_exit on no goroutine enters the runtime: schedule() stops, crossings
//        from user code sleep for good.  One inside user code runs on, as a detached
//        std::thread would, while destructors run.
//   EX2  The exiting goroutine keeps its P, so that static destructors may close channels
//        and free what they own; one that would block says so and ends the process.
#include "base/forked.h"
#include "base/throw.h"
#include "kernel_if/sys.h"
#include "sched/exit.h"
#include "sched/init.h"
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

void mark_running_exiting() {
    rcu_reader r;
    for (p* pp : allp()) {
        m* mp = pp->mp;
        g* gp = mp ? mp->curg : nullptr;
        // relaxed: acted upon at that goroutine's next crossing.
        if (gp && !may_still_run(gp)) gp->attn.fetch_or(attn_exiting, memory_order_relaxed);
    }
}

void process_exit(int code) {
    {
        runtime_call rc;
        g* none = nullptr;
        // relaxed: only the winner goes on.
        if (!exiting_g.compare_exchange_strong(none, rc.gp, memory_order_relaxed, memory_order_relaxed)) sleep_for_good();
        sched.exiting.store(true, memory_order_seq_cst);    // ORDER(exit): before the marks
        sched.gcwaiting.store(true, memory_order_seq_cst);  // ORDER(exit): stops every schedule(); never cleared
        mark_running_exiting();
    }
    std::exit(code);
}

}  // namespace rt0::runtime
