// Changing stacks; SW1-SW3 in switch.h.
#include "sched/switch.h"

#include "base/throw.h"

extern "C" {
__thread void* rt0_tls_g __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;
}

namespace rt0::runtime {

void execute_books(m* mp, g* gp, bool inherit) {
    casgstatus(gp, grunnable, grunning);
    gp->mp = mp;
    mp->curg = gp;
    p* pp = mp->pp;
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

void gogo(g* gp) {
    m* mp = gp->mp;
    load_eh(gp, mp);
    setg(gp);
    asan_leave(nullptr, gp->stk);
    rt0_gogo(&gp->sched);
}

namespace {

// g0's side of mcall: `leave` holds the function.
void on_g0(void* arg) {
    g* gp = static_cast<g*>(arg);
    asan_entered(nullptr);
    m* mp = gp->mp;
    auto fn = mp->leave;
    fn(gp);
    runtime_throw("mcall: function returned");
}

void enter_g0(g* gp, void (*fn)(g*), void** keep_fake) {
    m* mp = gp->mp;
    if (gp == mp->g0) [[unlikely]]
        runtime_throw("mcall called on the system stack");
    save_eh(gp, mp);
    mp->leave = fn;
    setg(mp->g0);
    asan_leave(keep_fake, mp->g0->stk);
    rt0_mcall(&gp->sched, mp->g0sp, on_g0, gp);
}

void leave_for(g* gp, g* next, void (*leave)(g*), void** keep_fake) {
    m* mp = gp->mp;
    save_eh(gp, mp);
    load_eh(next, mp);
    mp->leaving = gp;
    mp->leave = leave;
    setg(next);
    asan_leave(keep_fake, next->stk);
    rt0_switch(&gp->sched, &next->sched);
}

}  // namespace

void mcall(void (*fn)(g*)) {
    g* gp = getg();
    enter_g0(gp, fn, asan_fake_of(gp));
    asan_entered(asan_fake_saved(gp));
    finish_leave(gp->mp);
}

void mcall_final(void (*fn)(g*)) {
    enter_g0(getg(), fn, nullptr);
    __builtin_unreachable();
}

void switch_to(g* gp, g* next, void (*leave)(g*)) {
    leave_for(gp, next, leave, asan_fake_of(gp));
    asan_entered(asan_fake_saved(gp));
    finish_leave(gp->mp);  // SW3: gp->mp, not the M we left
}

void switch_to_final(g* gp, g* next, void (*leave)(g*)) {
    leave_for(gp, next, leave, nullptr);
    __builtin_unreachable();
}

void systemstack_call(void (*fn)(void*), void* arg) {
    g* gp = getg();
    m* mp = gp ? gp->mp : nullptr;
    // No g: a foreign thread on its way in, on its own stack.  gsignal: a handler stays where it is (SG2).
    if (!gp || gp == mp->g0 || gp == mp->gsignal) return fn(arg);
    setg(mp->g0);
#ifdef RT0_ASAN
    struct call {
        void (*fn)(void*);
        void* arg;
        g* gp;
        const void* from_lo;
        std::size_t from_size;
    } c{fn, arg, gp, nullptr, 0};
    asan_leave(&gp->asan_fake, mp->g0->stk);
    rt0_oncall(
        mp->g0sp,
        [](void* a) {
            auto* cp = static_cast<call*>(a);
            asan_entered(nullptr);
            cp->fn(cp->arg);
            asan_leave(nullptr, cp->gp->stk);
        },
        &c);
    asan_entered(gp->asan_fake);
#else
    rt0_oncall(mp->g0sp, fn, arg);
#endif
    setg(gp);
}

}  // namespace rt0::runtime
