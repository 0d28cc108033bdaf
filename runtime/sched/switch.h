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
//   SW4  (ThreadSanitizer) Each goroutine is a fiber from newproc until it is dead, a thread and its
//        foreign G have the thread's own, g0 has one besides.  The switch of fibers comes right before that of
//        stacks, and orders what one did before what the next does, as one thread does.  systemstack() stays on
//        the caller's fiber.  g0 never returns from what mcall called, so that its fiber's shadow
//        stack only grows (64 Ki frames, then TSan dies): it has a new fiber every tsan_g0_turns.
#pragma once
#include "sched/probe.h"
#include "sched/sched.h"

#ifdef RT0_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef RT0_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace rt0::runtime {

inline void save_eh(g* gp, const m* mp) {
    const eh_globals* eh = mp->eh;
    gp->eh_caught = eh->caught;
    gp->eh_uncaught = eh->uncaught;
}
inline void load_eh(const g* gp, m* mp) {
    eh_globals* eh = mp->eh;
    eh->caught = gp->eh_caught;
    eh->uncaught = gp->eh_uncaught;
}

// ---- what sanitizers are told; nothing in other builds.
//
//   san_leave      right before the stack of `to` is gone to; from: who will come back, or null
//   san_entered    first on the stack that was gone to; gp: whose saved context it was, or null for a new frame
//   san_born, san_dead         a goroutine's run begins, has ended (on another's stack)
//   san_thread                 mp belongs to the calling thread from now on
//   san_g0_enter, _leave       the thread's frames end and g0's begin, on the same stack; and back
//   san_g0_turn, san_g0_dead   g0 is about to be entered afresh; its M is no more
// always_inline: the ThreadSanitizer's note of a call would be taken on one fiber and dropped on the other.
#ifdef RT0_ASAN
inline void san_leave(g* from, const g* to) {
    __sanitizer_start_switch_fiber(from ? &from->asan_fake : nullptr, reinterpret_cast<void*>(to->stk.lo), to->stk.hi - to->stk.lo);
}
inline void san_entered(const g* gp) { __sanitizer_finish_switch_fiber(gp ? gp->asan_fake : nullptr, nullptr, nullptr); }
inline void san_born(g* gp) { gp->asan_fake = nullptr; }
#elif defined(RT0_TSAN)
[[gnu::always_inline]] inline void san_leave(g*, const g* to) { __tsan_switch_to_fiber(to->tsan_fiber, 0); }
inline void san_entered(const g*) {}
inline void san_born(g* gp) { gp->tsan_fiber = __tsan_create_fiber(0); }
#else
inline void san_leave(g*, const g*) {}
inline void san_entered(const g*) {}
inline void san_born(g*) {}
#endif
#ifdef RT0_TSAN
inline void san_dead(g* gp) {
    if (gp->tsan_fiber) __tsan_destroy_fiber(gp->tsan_fiber);
    gp->tsan_fiber = nullptr;
}
inline void san_g0_dead(m* mp) {
    if (mp->g0) san_dead(mp->g0);
}
inline void san_thread(m* mp) { mp->tsan_fiber = __tsan_get_current_fiber(); }
inline void san_g0_turn(m* mp) {
    if (mp->tsan_turns++ % cfg::tsan_g0_turns != 0) return;
    san_g0_dead(mp);
    san_born(mp->g0);
}
[[gnu::always_inline]] inline void san_g0_enter(m* mp) {
    san_g0_turn(mp);
    san_leave(nullptr, mp->g0);
}
[[gnu::always_inline]] inline void san_g0_leave(m* mp) { __tsan_switch_to_fiber(mp->tsan_fiber, 0); }
inline void san_foreign(g* gp) { gp->tsan_fiber = gp->mp->tsan_fiber; }
#else
inline void san_dead(g*) {}
inline void san_g0_dead(m*) {}
inline void san_thread(m*) {}
inline void san_g0_turn(m*) {}
inline void san_g0_enter(m*) {}
inline void san_g0_leave(m*) {}
inline void san_foreign(g*) {}
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
    const std::uint32_t turns = pp->turns + 1;
    pp->turns = turns;
    if (inherit && turns - pp->chain <= cfg::runnext_inherit_max) return;
    pp->chain = turns;
    // relaxed: written by this P alone, sysmon compares it with what it saw a tick ago.
    pp->schedtick.store(pp->schedtick.load(memory_order_relaxed) + 1, memory_order_relaxed);
}

// From g0: runs gp.  Does not return; the next mcall starts on g0 afresh.
[[noreturn]] void gogo(g* gp);

// From a goroutine: runs fn(gp) on g0.  fn ends in schedule() or gogo().  Returns when gp runs again.
void mcall(void (*fn)(g*));

// From a goroutine that will not run again.
[[noreturn]] void mcall_final(void (*fn)(g*));

// back: gp, or null if it will not run again.
inline void leave_for(g* gp, g* next, void (*leave)(g*), g* back) {
    m* mp = gp->mp;
    save_eh(gp, mp);
    load_eh(next, mp);
    mp->leaving = gp;
    mp->leave = leave;
    setg(next);
    san_leave(back, next);
    rt0_switch(&gp->sched, &next->sched);
}

// From gp straight to next (books done), then leave(gp) on next's side.  Returns when gp runs again.
inline void switch_to(g* gp, g* next, void (*leave)(g*)) {
    leave_for(gp, next, leave, gp);
    san_entered(gp);
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
