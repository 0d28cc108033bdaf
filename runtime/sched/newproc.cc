// newproc: from a callable to a runnable goroutine, and back to the free list.
//
//   NP1  Between newproc_begin and newproc_commit a G is dead and belongs to the caller:
//        user code moves the closure onto its stack meanwhile (newproc_bytes copies it, inside the runtime).
//   NP2  The closure lies at the top of the new stack, above the first frame, and is
//        destroyed by its entry function before goexit.
//   NP3  A G on a free list keeps its stack if it has the default size.  Lists: pp.gfree
//        without any lock, sched.gfree under its own, 32 at a time between them.  What the global
//        list has too much of loses its stacks to the pool, and those their pages (bgscavenge).
//
// The tops of stacks are coloured (by 64-byte steps): at equal offsets within their
// slots all first frames would compete for the same cache sets: with 4 colours the six topmost lines of
// all stacks share 9 of 64 sets.  With 16 a hop of the ring takes 54 ns instead of 85, a spawn of a thousand
// 110 instead of 131 (P=1), and a goroutine parked in a channel still needs one page.
#include "sched/newproc.h"

#include <cxxabi.h>
#include <unwind.h>

#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>

#include <rt0/go.h>

#include "base/throw.h"
#include "mem/asan.h"
#include "sched/born.h"
#include "sched/find.h"
#include "sched/lists.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/switch.h"
#include "sched/upcross.h"

namespace rt0::runtime {

namespace {

std::size_t stack_size_for(std::size_t asked) {
    if (asked == 0) return cfg::stack_default;
    if (asked < cfg::stack_min) return cfg::stack_min;
    std::size_t n = cfg::stack_min;
    while (n < asked) n *= 2;
    return n;
}

bool alloc_stack(g* gp, std::size_t size) {
    systemstack([&] { gp->stk = stackalloc(current_mcache(), size); });
    m* mp = getg()->mp;
    RT0_PROBE_WITH(stackalloc, probe_goid(mp->curg), mp->id, probe_pid(mp->pp), size);
    if (gp->stk.slot) fresh_stack(gp->stk);  // it may have been another goroutine's
    return gp->stk.slot != 0;
}

void drop_stack(g* gp) {
    stack s = gp->stk;
    gp->stk = {};
    systemstack([&] { stackfree(current_mcache(), s); });
}

g* gfpop_stack() REQUIRES(sched.gfree.lock) {
    g* gp = sched.gfree.stack.pop();
    if (gp && --sched.gfree.nstack < sched.gfree.low) sched.gfree.low = sched.gfree.nstack;
    return gp;
}

// Refills pp's list from the global one; Gs with stacks first.
[[gnu::noinline]] void gfrefill(p* pp) {
    guard l(sched.gfree.lock);
    while (pp->gfree_n < cfg::gfree_batch) {
        g* gp = gfpop_stack();
        if (!gp && !(gp = sched.gfree.nostack.pop())) break;
        --sched.gfree.n;
        pp->gfree.push(gp);
        pp->gfree_n++;
    }
}

[[gnu::noinline]] void gfspill(p* pp, std::int32_t keep) {
    guard l(sched.gfree.lock);
    while (pp->gfree_n > keep) {
        g* gp = pp->gfree.pop();
        pp->gfree_n--;
        if (gp->stk.slot) sched.gfree.nstack++;
        (gp->stk.slot ? sched.gfree.stack : sched.gfree.nostack).push(gp);
        ++sched.gfree.n;
    }
}

}  // namespace

g* gfget(p* pp, std::size_t size) {
    if (pp->gfree.empty() && sched.gfree.n != 0) gfrefill(pp);  // a hint; gfrefill looks under the lock
    g* gp = pp->gfree.pop();
    if (!gp) return nullptr;
    pp->gfree_n--;
    if (gp->stk.slot && size == cfg::stack_default) {
        fresh_stack(gp->stk);
        return gp;
    }
    if (gp->stk.slot) drop_stack(gp);
    if (alloc_stack(gp, size)) return gp;
    gfput(pp, gp);
    return nullptr;
}

void gfput(p* pp, g* gp) {
    if (readgstatus(gp) != gdead) runtime_throw("gfput: bad status (not gdead)");
    if (gp->stk.slot && gp->stk.size != cfg::stack_default) drop_stack(gp);
    pp->gfree.push(gp);
    if (++pp->gfree_n >= cfg::gfree_local_max) gfspill(pp, cfg::gfree_local_max - cfg::gfree_batch);
}

void gfpurge(p* pp) { gfspill(pp, 0); }

std::int32_t gfcold(bool idle) {
    guard l(sched.gfree.lock);
    std::int32_t n = idle ? sched.gfree.nstack : sched.gfree.low;
    sched.gfree.low = sched.gfree.nstack;
    return n;
}

std::int32_t gfshed(std::int32_t most) {
    std::int32_t n = 0;
    for (; n < most; n++) {
        g* gp;
        {
            guard l(sched.gfree.lock);
            if (!(gp = gfpop_stack())) break;
        }
        drop_stack(gp);
        guard l(sched.gfree.lock);
        sched.gfree.nostack.push(gp);  // gfree.n counted it all the while: it never lived
    }
    return n;
}

g* malg(std::size_t size) {
    static_assert(sizeof(g) <= cfg::kept_object && cfg::kept_object - sizeof(g) < 64);
    void* mem = rtalloc_g();
    if (!mem) return nullptr;
    g* gp = new (mem) g;
    if (!alloc_stack(gp, size)) {
        rtfree(mem);
        return nullptr;
    }
    casgstatus(gp, gidle, gdead);
    allg_add(gp);
    return gp;
}

void gdestroy(g* gp) {
    m* mp = gp->mp;
    casgstatus(gp, grunning, gdead);
    san_dead(gp);
    if (gp->is_system) {
        sched.ngsys.fetch_sub(1, memory_order_relaxed);  // relaxed: a count for reports
        gp->is_system = false;
    }
    gp->lockedm = nullptr;
    gp->goexiting = false;
    gp->param = nullptr;
    gp->calls = {};
    watched_copy(gp->name, "", 1);
    gp->waitreason = wait_reason::zero;
    gp->eh_caught = nullptr;
    gp->eh_uncaught = 0;
    gp->mp = nullptr;
    if (mp->curg == gp) mp->curg = nullptr;
}

std::uint64_t next_goid(p* pp) {
    if (pp->goidcache == pp->goidcacheend) {
        // relaxed: only uniqueness matters.
        pp->goidcache = sched.goidgen.fetch_add(cfg::goid_batch, memory_order_relaxed) + 1;
        pp->goidcacheend = pp->goidcache + cfg::goid_batch;
    }
    return pp->goidcache++;
}

namespace {

[[gnu::always_inline]] inline g* begin(g* self, const newproc_args& a) {
    p* pp = self->mp->pp;
    std::size_t size = stack_size_for(a.stack_size);
    g* newg = gfget(pp, size);
    if (!newg && !(newg = malg(size))) [[unlikely]] return nullptr;
    newg->goid = next_goid(pp);
    newg->parentgoid = self->goid;
    newg->gopc = a.callerpc;
    std::size_t n = a.name.size() < sizeof newg->name ? a.name.size() : sizeof newg->name - 1;
    watched_copy(newg->name, a.name.data(), n);
    watched_copy(newg->name + n, "", 1);
    std::uintptr_t top = newg->stk.hi - (newg->stk.slot >> std::countr_zero(newg->stk.size)) % cfg::stack_colours * 64;
    std::size_t align = a.closure_align < arch::stack_align ? arch::stack_align : a.closure_align;
    top = (top - a.closure_size) & ~(align - 1);
    newg->closure = reinterpret_cast<void*>(top);
    newg->stack_top = top & ~(arch::stack_align - 1);
    return newg;
}

[[gnu::always_inline]] inline void commit(g* self, g* newg, void (*entry)(void*), std::uintptr_t startpc) {
    newg->entry = entry;
    newg->startpc = startpc;
    newg->sched.sp = arch::make_context(newg->stack_top, rt0_goentry, goroutine_main, newg);
    san_born(newg);
    casgstatus(newg, gdead, grunnable);
    RT0_PROBE_G(newproc, self, newg->goid);
    born_put(self->mp->pp, newg);
    wakep_for_newborn();
}

}  // namespace

g* newproc_begin(const newproc_args& a) { return begin(getg(), a); }

void newproc_commit(g* newg, void (*entry)(void*), std::uintptr_t startpc) { commit(getg(), newg, entry, startpc); }

void newproc_abort(g* newg) { gfput(getg()->mp->pp, newg); }

g* newproc_system(void (*fn)(void*), void* arg, const char* name) {
    g* newg = newproc_begin({.closure_size = 0,
                             .closure_align = 1,
                             .stack_size = 0,
                             .name = name,
                             .callerpc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))});
    if (!newg) out_of_memory("the runtime's own goroutines");
    newg->is_system = true;
    sched.ngsys.fetch_add(1, memory_order_relaxed);  // relaxed: a count for reports
    newg->closure = arg;
    newproc_commit(newg, fn, reinterpret_cast<std::uintptr_t>(fn));
    return newg;
}

namespace {

// Runs the goroutine's function.  No catch-all: an exception that nobody catches must
// find no handler at all, so that std::terminate is called with the throwing stack whole.
// Forced unwinding (this_goroutine::exit, pthread_exit, cancellation) does stop here.
// UBSan: an exception that is not C++'s is caught as a reference to nothing.  ASan: frames that
// forced unwinding passes without a landing pad stay poisoned, and what is called from here uses their memory again.
__attribute__((no_sanitize("undefined", "address"))) void run_entry(g* gp) {
    try {
        gp->entry(gp->closure);
    } catch (abi::__forced_unwind&) {
        asan_unpoison(reinterpret_cast<void*>(gp->stk.lo), gp->stk.hi - gp->stk.lo);
        if (!gp->goexiting) fatal("pthread_exit or cancellation inside a goroutine");
        gp->goexiting = false;  // the exception object is cleaned up rightly now
    }
}

}  // namespace

void goroutine_main(void* arg) {
    g* gp = static_cast<g*>(arg);
    san_entered(nullptr);
    finish_leave(gp->mp);
    if (!gp->is_system) leave_runtime(gp);
    run_entry(gp);
    runtime_call rc;  // a lost P, an exiting state cannot pass here unseen
    goexit();
}

namespace {

static_assert(sizeof(_Unwind_Exception) <= sizeof(g::unwind_exception) &&
              alignof(_Unwind_Exception) <= alignof(decltype(g::unwind_exception)));

void forced_exit_cleanup(_Unwind_Reason_Code, _Unwind_Exception*) {
    if (getg()->goexiting) fatal("this_goroutine::exit: exception not rethrown");
}

_Unwind_Reason_Code forced_exit_step(int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception*,
                                     _Unwind_Context*, void*) {
    if (actions & _UA_END_OF_STACK) runtime_throw("this_goroutine::exit: unwound past the goroutine's entry");
    return _URC_NO_REASON;
}

}  // namespace

void goexit_unwind() {
    g* gp = getg();
    gp->goexiting = true;
    auto* ex = new (gp->unwind_exception.bytes) _Unwind_Exception{};
    ex->exception_class = 0x5254300047454954;  // "RT0\0GEIT"
    ex->exception_cleanup = forced_exit_cleanup;
    _Unwind_ForcedUnwind(ex, forced_exit_step, nullptr);
    runtime_throw("this_goroutine::exit: unwinding failed");
}

}  // namespace rt0::runtime

namespace rt0::detail {

namespace rt = runtime;

static_assert(closure_on_stack == rt::cfg::closure_on_stack);

namespace {
// Inside: the goroutine, dead yet.  callerpc: of the go statement.
[[gnu::always_inline]] inline rt::g* begin(rt::g* self, const go_options& o, std::size_t size, std::size_t align, void* callerpc) {
    return rt::begin(self, {.closure_size = size,
                            .closure_align = align,
                            .stack_size = o.stack_size,
                            .name = o.name,
                            .callerpc = reinterpret_cast<std::uintptr_t>(callerpc)});
}
void check_options(const go_options& o) {
    if (o.stack_size > rt::cfg::stack_max) throw std::length_error("rt0::go: stack_size over 1 GiB");
}
}  // namespace

new_goroutine newproc_begin(const go_options& o, std::size_t size, std::size_t align) {
    check_options(o);
    rt::g* newg;
    {
        rt::runtime_call rc;
        newg = begin(rc.gp, o, size, align, __builtin_return_address(0));
    }
    if (!newg) throw std::bad_alloc();
    return {newg, newg->closure};
}

void newproc_commit(void* newg, void (*entry)(void*)) {
    rt::runtime_call rc;
    rt::commit(rc.gp, static_cast<rt::g*>(newg), entry, reinterpret_cast<std::uintptr_t>(entry));
}

void newproc_abort(void* newg) noexcept {
    rt::runtime_call rc;
    rt::newproc_abort(static_cast<rt::g*>(newg));
}

void newproc_bytes(const go_options& o, const void* closure, std::size_t size, std::size_t align, void (*entry)(void*)) {
    check_options(o);
    rt::g* newg;
    {
        rt::runtime_call rc;
        newg = begin(rc.gp, o, size, align, __builtin_return_address(0));
        if (newg) {
            std::memcpy(newg->closure, closure, size);
            rt::commit(rc.gp, newg, entry, reinterpret_cast<std::uintptr_t>(entry));
        }
    }
    if (!newg) throw std::bad_alloc();
}

}  // namespace rt0::detail
