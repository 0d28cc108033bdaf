// Changing stacks: the one wrapper around arch's switches.  Sanitizers hear of every
// change of stack here and nowhere else.
//
//   SW1  The G that is left cannot be readied, queued or freed before its context is
//        saved: another M would run on its stack.  So whoever leaves says what is to be
//        done with it (`leave`), and the context that is switched to does it first
//        (finish_leave), on its own stack:
//
//            M1, on gp's stack                    M1, on next's stack (or g0's)
//            mp->leaving = gp, mp->leave = fn
//            save registers, sp -> gp->sched
//            load next's ...                      finish_leave: fn(gp), from here gp may run elsewhere
//
//   SW2  __cxa_eh_globals travel with the goroutine: saved when it is left, loaded when
//        it is entered.  Two goroutines in catch blocks on one thread would otherwise
//        pop each other's exceptions.
//   SW3  After a switch returns, m and p may be others: read them again from gp.
#pragma once
#include "sched/probe.h"
#include "sched/sched.h"

#ifdef RT0_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace rt0::runtime {

inline void save_eh(g* gp, const m* mp) {
    gp->eh_caught = mp->eh->caught;
    gp->eh_uncaught = mp->eh->uncaught;
}
inline void load_eh(const g* gp, m* mp) {
    mp->eh->caught = gp->eh_caught;
    mp->eh->uncaught = gp->eh_uncaught;
}

// ---- what AddressSanitizer is told; nothing in other builds
#ifdef RT0_ASAN
inline void asan_leave(void** keep_fake, const stack& to) {
    __sanitizer_start_switch_fiber(keep_fake, reinterpret_cast<void*>(to.lo), to.hi - to.lo);
}
inline void asan_entered(void* fake) { __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
#else
inline void asan_leave(void**, const stack&) {}
inline void asan_entered(void*) {}
#endif
#ifdef RT0_ASAN
inline void** asan_fake_of(g* gp) { return &gp->asan_fake; }
inline void* asan_fake_saved(const g* gp) { return gp->asan_fake; }
#else
inline void** asan_fake_of(g*) { return nullptr; }
inline void* asan_fake_saved(const g*) { return nullptr; }
#endif

// First thing in every context that was switched to.
inline void finish_leave(m* mp) {
    if (g* gp = mp->leaving) {
        mp->leaving = nullptr;
        mp->leave(gp);
    }
}

// Makes gp the running goroutine of mp.  inherit: it goes on in the time slice of the
// one before.  Only the books; the stack is changed by the caller.
[[gnu::always_inline]] inline void execute_books(m* mp, g* gp, bool inherit) {
    casgstatus(gp, grunnable, grunning);
    gp->mp = mp;
    mp->curg = gp;
    p* pp = mp->pp;
    RT0_PROBE(execute, gp->goid, mp->id, pp->id);
    // A chain of Gs that ready each other through runnext shares one time slice, but a
    // bounded one: then the tick moves, and with it the looks at the global queue and timers.
    if (inherit && pp->inherited < cfg::runnext_inherit_max) {
        pp->inherited++;
        return;
    }
    pp->inherited = 0;
    // relaxed: written by this P alone, sysmon compares it with what it saw a tick ago.
    pp->schedtick.store(pp->schedtick.load(memory_order_relaxed) + 1, memory_order_relaxed);
}

// From g0: runs gp.  Does not return; the next mcall starts on g0 afresh.
[[noreturn]] void gogo(g* gp);

// From a goroutine: runs fn(gp) on g0.  fn ends in schedule() or gogo().  Returns when gp runs again.
void mcall(void (*fn)(g*));

// From a goroutine that will not run again.
[[noreturn]] void mcall_final(void (*fn)(g*));

inline void leave_for(g* gp, g* next, void (*leave)(g*), void** keep_fake) {
    m* mp = gp->mp;
    save_eh(gp, mp);
    load_eh(next, mp);
    mp->leaving = gp;
    mp->leave = leave;
    setg(next);
    asan_leave(keep_fake, next->stk);
    rt0_switch(&gp->sched, &next->sched);
}

// From gp straight to next (books done), then leave(gp) on next's side.  Returns when gp runs again.
inline void switch_to(g* gp, g* next, void (*leave)(g*)) {
    leave_for(gp, next, leave, asan_fake_of(gp));
    asan_entered(asan_fake_saved(gp));
    finish_leave(gp->mp);  // SW3: gp->mp, not the M we left
}

// The same for a gp that will not run again.
[[noreturn]] inline void switch_to_final(g* gp, g* next, void (*leave)(g*)) {
    leave_for(gp, next, leave, nullptr);
    __builtin_unreachable();
}

// First function on a new goroutine's stack.
void goroutine_main(void* gp);

}  // namespace rt0::runtime
