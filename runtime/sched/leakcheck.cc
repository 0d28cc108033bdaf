// LeakSanitizer looks for pointers on the stacks of threads; a goroutine that is parked
// for ever when the process ends has its objects on a stack that no thread runs on.
//
// The ranges are registered in an atexit handler: LeakSanitizer's own was installed
// before main, so it runs after ours.  Not earlier, and not whole arenas, since those
// contain guards, which the checker would fault on.
#include "sched/leakcheck.h"

#ifdef RT0_ASAN
#include <sanitizer/lsan_interface.h>

#include <cstdlib>

#include "sched/sched.h"

namespace rt0::runtime {

namespace {

void register_live_stacks() {
    g* self = getg();
    if (!self || !self->mp) return;  // a foreign thread ends the process: it is no reader of the lists
    rcu_reader r;
    for (g* gp : allgs()) {
        std::uint32_t status = readgstatus(gp) & ~std::uint32_t{gscan};
        if (status == gidle || status == gdead || gp->foreign || !gp->stk.slot) continue;
        bool at_rest = status == gwaiting || status == grunnable;
        std::uintptr_t from = at_rest ? gp->sched.sp : gp->stk.lo;
        __lsan_register_root_region(reinterpret_cast<void*>(from), gp->stk.hi - from);
    }
}

}  // namespace

void leakcheckinit() { std::atexit(register_live_stacks); }

}  // namespace rt0::runtime
#else
namespace rt0::runtime {
void leakcheckinit() {}
}  // namespace rt0::runtime
#endif
