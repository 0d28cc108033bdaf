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
