// Changing stacks; SW1-SW3 in switch.h.
#include "sched/switch.h"

#include "base/throw.h"

extern "C" {
__thread void* rt0_tls_g __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;
}

namespace rt0::runtime {

void gogo(g* gp) {
    m* mp = gp->mp;
    load_eh(gp, mp);
    setg(gp);
    san_leave(nullptr, gp);
    rt0_gogo(&gp->sched);
}

namespace {

// g0's side of mcall: `leave` holds the function.
void on_g0(void* arg) {
    g* gp = static_cast<g*>(arg);
    san_entered(nullptr);
    m* mp = gp->mp;
    auto fn = mp->leave;
    fn(gp);
    runtime_throw("mcall: function returned");
}

void enter_g0(g* gp, void (*fn)(g*), g* back) {
    m* mp = gp->mp;
    if (gp == mp->g0) [[unlikely]]
        runtime_throw("mcall called on the system stack");
    save_eh(gp, mp);
    mp->leave = fn;
    setg(mp->g0);
    san_g0_turn(mp);
    san_leave(back, mp->g0);
    rt0_mcall(&gp->sched, mp->g0sp, on_g0, gp);
}

}  // namespace

void mcall(void (*fn)(g*)) {
    g* gp = getg();
    enter_g0(gp, fn, gp);
    san_entered(gp);
    finish_leave(gp->mp);
}

void mcall_final(void (*fn)(g*)) {
    enter_g0(getg(), fn, nullptr);
    __builtin_unreachable();
}

void systemstack_call(void (*fn)(void*), void* arg) {
    g* gp = getg();
    m* mp = gp ? gp->mp.get() : nullptr;
    // No g: a foreign thread on its way in, on its own stack.  gsignal: a handler stays where it is (SG2).
    if (!gp || gp == mp->g0 || gp == mp->gsignal) return fn(arg);
    setg(mp->g0);
#ifdef RT0_ASAN
    struct call {
        void (*fn)(void*);
        void* arg;
        g* gp;
    } c{fn, arg, gp};
    san_leave(gp, mp->g0);
    rt0_oncall(
        mp->g0sp,
        [](void* a) {
            auto* cp = static_cast<call*>(a);
            san_entered(nullptr);
            cp->fn(cp->arg);
            san_leave(nullptr, cp->gp);
        },
        &c);
    san_entered(gp);
#else
    rt0_oncall(mp->g0sp, fn, arg);
#endif
    setg(gp);
}

}  // namespace rt0::runtime
