// LeakSanitizer looks for pointers on the stacks of threads; a goroutine that is parked
// for ever when the process ends has its objects on a stack that no thread runs on.
//
// So an atexit handler copies what lies on those stacks into one region that is a root
// of the check: LeakSanitizer's own handler was installed before main, so it runs after
// ours.  Not the stacks themselves: the checker reads /proc/self/maps once for each root
// region, which takes minutes with 10,000 of them.  Not whole arenas: they contain guards,
// which the checker would fault on.
#include "sched/leakcheck.h"

#ifdef RT0_ASAN
#include <sanitizer/lsan_interface.h>

#include <cstdlib>

#include "base/config.h"
#include "kernel_if/memory.h"
#include "sched/lists.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

struct range {
    std::uintptr_t from, to;
};

// What may hold pointers of a G that lives; empty for others.
range live_stack(const g* gp) {
    std::uint32_t status = readgstatus(gp) & ~std::uint32_t{gscan};
    if (status == gidle || status == gdead || gp->foreign || !gp->stk.slot) return {0, 0};
    bool at_rest = status == gwaiting || status == grunnable;
    return {at_rest ? gp->sched.sp : gp->stk.lo, gp->stk.hi};
}

// Word by word and past poisoned red zones; a G that runs meanwhile changes what is read, no harm.
__attribute__((no_sanitize("address", "undefined"))) void copy_words(std::uintptr_t* to, range r) {
    for (auto* w = reinterpret_cast<volatile std::uintptr_t*>(r.from); w < reinterpret_cast<std::uintptr_t*>(r.to); w++) *to++ = *w;
}

void root_live_stacks() {
    rcu_reader r;
    auto gs = allgs();
    constexpr std::size_t most = cfg::stack_default;  // bytes of one stack that are looked at, from the top
    std::size_t cap = gs.n * most, used = 0;
    void* mem = cap ? kernel::sys_reserve(cap, 4096) : nullptr;
    if (!mem) return;
    for (g* gp : gs) {
        range s = live_stack(gp);
        if (s.to - s.from > most) s.from = s.to - most;
        copy_words(reinterpret_cast<std::uintptr_t*>(static_cast<char*>(mem) + used), s);
        used += s.to - s.from;
    }
    if (used) __lsan_register_root_region(mem, used);
}

void at_exit() {
    const bool stranger = !getg();  // a thread that rt0 does not know ends the process: no reader of the lists so far
    if (stranger) rcu_thread_enter();
    root_live_stacks();
    if (stranger) rcu_thread_leave();
}

}  // namespace

void leakcheckinit() { std::atexit(at_exit); }

}  // namespace rt0::runtime
#else
namespace rt0::runtime {
void leakcheckinit() {}
}  // namespace rt0::runtime
#endif
