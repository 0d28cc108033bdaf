// A scheduler at work under the model: Ms that run schedule(), each on the stack of its fibre as g0, Ps, and
// goroutines with stacks of their own that park, are readied and stolen by the product's functions.  There is no
// sysmon and no template thread: nothing mends what a protocol loses, and there are as many Ms as there are.
//
//   CL1  M i starts with P i while there are any; the others start asleep on the idle list.
//   CL2  A goroutine that has ended stays parked; the run is over when every M sleeps, and then every goroutine must
//        have ended.
#pragma once
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "arch/arch.h"
#include "kernel_if/clock.h"
#include "kernel_if/inject.h"
#include "sched/checkdead.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/switch.h"
#include "sched/taking.h"
#include "sched/upcross.h"
#include "tests/model/sched_world.h"

namespace model {

// Whether crossings go by membarrier (as they do where the kernel has it) or by fences.
inline void by_membarrier(bool on) {
    using namespace rt0;
    if (!on) kernel::inject_fail(kernel::inject::membarrier, 1, ENOSYS);
    const bool have = runtime::retakeinit() == nullptr;
    kernel::inject_off();
    ASSERT_EQ(have, on);
    runtime::local_gstatus = false;  // GS4: but where a test says otherwise
}

// What a scenario of a cluster is explored by: so many random schedules, as many of PCT, and at most `dfs` of DFS.
inline options with(unsigned preemptions, unsigned runs, unsigned dfs = 10'000) {
    options o;
    o.dfs = {preemptions, 1, 0, dfs};
    o.random_runs = o.pct_runs = runs;
    o.early = 1;
    return o;
}

class cluster {
public:
    // stops: the world is going to be stopped.
    cluster(world& w, int ps, int ms, bool stops = false) : n_ps_(ps) {
        using namespace rt0::runtime;
        fresh_sched(w, ps);
        checkdead_disable();
        sched.mnext = ms;
        sched.maxmcount = ms;
        w.constant(&sched.maxmcount);
        if (!stops) w.constant(&sched.gcwaiting);
        for (int i = 0; i < ps; i++) renew_p(w, i);
        publish(ps);
        for (int i = 0; i < ms; i++) add_m(w, i, i < ps ? pp(i) : nullptr);
    }
    // A goroutine, at first on the queue of P `on`.
    void go(int on, std::function<void()> f) {
        MODEL_CHECK(gs_.size() < most_goroutines);
        goroutine& gr = gs_.emplace_back();
        gr.f = std::move(f);
        gr.owner = this;
        rt0::runtime::g& gp = gr.gp;
        gp.goid = gs_.size();
        gp.closure = &gr;
        char* s = stack_of(gs_.size() - 1);
        gp.stk.lo = reinterpret_cast<std::uintptr_t>(s);
        gp.stk.hi = gp.stk.lo + stack_bytes;
        gp.sched.sp = rt0::arch::make_context(gp.stk.hi, rt0_goentry, run_goroutine, &gr);
        gp.atomicstatus.store(rt0::runtime::grunnable);
        rt0::runtime::runqput(pp(on), &gp, false);
    }
    // The same in user code: f makes public calls.
    void user(int on, std::function<void()> f) {
        go(on, [f = std::move(f)] {
            rt0::runtime::leave_runtime(rt0::runtime::getg());
            f();
            rt0::runtime::runtime_call rc;
            rc.stay_inside();
        });
    }
    // Dead Gs on the free list of P `on`: what newproc takes in a run, which allocates none.
    void spare(int on, int n) {
        static_assert(stack_bytes == rt0::runtime::cfg::stack_default);  // else newproc would want another one
        for (int i = 0; i < n; i++) {
            rt0::runtime::g& gp = spares_.emplace_back();
            char* s = stack_of(most_goroutines + spares_.size() - 1);
            gp.stk.lo = gp.stk.slot = reinterpret_cast<std::uintptr_t>(s);
            gp.stk.hi = gp.stk.lo + stack_bytes;
            gp.stk.size = stack_bytes;
            gp.atomicstatus.store(rt0::runtime::gdead);
            pp(on)->gfree.push(&gp);
            pp(on)->gfree_n++;
        }
    }
    // sysmon's looks at one P after the other, until one has been taken from a system call.
    void take_from_a_system_call() {
        using namespace rt0::runtime;
        std::int64_t now = 0;
        for (int i = 0;; i = (i + 1) % n_ps_, rt0::kernel::osyield()) {
            now += cfg::forced_preempt;  // since the last look
            taking one;
            takings found;
            if (pp(i)->status.load(memory_order_relaxed) == psyscall && retake_syscall(pp(i), now, false, &found)) return;
        }
    }
    int ended() const { return ended_; }
    rt0::runtime::g* gp(std::size_t i) { return &gs_[i].gp; }
    // Ps lie still from run to run, and with them the list of them, which is not for scenarios to free.
    static rt0::runtime::p* pp(int i) {
        static rt0::runtime::p all[max_threads];
        return &all[i];
    }
    // CL2, and the books of the idle lists.
    void check_end() {
        using namespace rt0::runtime;
        MODEL_CHECK(ended_ == static_cast<int>(gs_.size()));  // else a goroutine waits that nobody will run
        MODEL_CHECK(sched.nmspinning.load() == 0);
        MODEL_CHECK(sched.npidle.load() == static_cast<std::uint32_t>(n_ps_));
        MODEL_CHECK(sched.nmidle == static_cast<std::int32_t>(ms_.size()));
        MODEL_CHECK(sched.runqsize.load() == 0);
        for (int i = 0; i < n_ps_; i++) MODEL_CHECK(pp(i)->status.load() == pidle && !pp(i)->mp && runqempty(pp(i)));
    }

private:
    static constexpr std::size_t stack_bytes = 64 << 10, most_goroutines = 8;
    struct machine_m {
        rt0::runtime::m mp;
        rt0::runtime::g g0, gsignal;
        rt0::runtime::eh_globals eh{};
    };
    struct goroutine {
        rt0::runtime::g gp;
        std::function<void()> f;
        cluster* owner = nullptr;
    };
    static char* stack_of(std::size_t i) {
        static std::deque<std::unique_ptr<char[]>> all;
        while (all.size() <= i) all.push_back(std::make_unique<char[]>(stack_bytes));
        return all[i].get();
    }
    static rt0::runtime::mcache* cache(int i) {
        static std::deque<rt0::runtime::mcache*> all;
        while (static_cast<int>(all.size()) <= i) all.push_back(rt0::runtime::allocmcache());
        return all[static_cast<std::size_t>(i)];
    }
    static void renew_p(world& w, int i) {
        auto* slots = heap(i);
        rt0::runtime::p* pp = new (cluster::pp(i)) rt0::runtime::p;
        pp->id = i;
        pp->mcache = cache(i);
        pp->status.store(rt0::runtime::pidle);
        pp->timers.heap = slots;  // large enough: none is allocated during a run
        pp->timers.cap = heap_slots;
        w.constant(&pp->preempt);
        w.constant(&pp->schedtick);
        w.constant(&pp->turns);
    }
    static void publish(int n) {
        static int now = 0;
        if (std::exchange(now, n) == n) return;
        rt0::runtime::p* all[max_threads];
        for (int i = 0; i < n; i++) all[i] = pp(i);
        rt0::runtime::allp_set(all, static_cast<std::size_t>(n));
    }
    static constexpr std::uint32_t heap_slots = 64;
    static rt0::runtime::timers::slot* heap(int i) {
        static rt0::runtime::timers::slot all[max_threads][heap_slots];
        return all[i];
    }
    void add_m(world& w, int i, rt0::runtime::p* pp) {
        machine_m& x = ms_.emplace_back();
        x.mp.id = i;
        x.mp.g0 = &x.g0;
        x.mp.gsignal = &x.gsignal;
        x.mp.eh = &x.eh;
        x.mp.retake.store(rt0::runtime::retake_initial());
        x.mp.rand = 88172645463325252ull + static_cast<std::uint64_t>(i);
        x.g0.mp = x.gsignal.mp = &x.mp;
        x.g0.is_system = true;
        if (pp) tie(&x.mp, pp);
        w.lasting([&x] {
            x.mp.g0sp = (reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - 4096) & ~std::uintptr_t{15};
            if (!x.mp.pp) rt0::runtime::stopm();
            rt0::runtime::schedule();
        }, &x.g0);
    }
    static void tie(rt0::runtime::m* mp, rt0::runtime::p* pp) {
        mp->pp = pp;
        pp->mp = mp;
        pp->status.store(rt0::runtime::prunning);
    }
    static void run_goroutine(void* arg) {
        auto* gr = static_cast<goroutine*>(arg);
        rt0::runtime::finish_leave(gr->gp.mp);
        gr->f();
        gr->owner->ended_++;
        rt0::runtime::gopark(nullptr, nullptr, rt0::runtime::wait_reason::zero);
        fail("an ended goroutine was readied");
    }

    const int n_ps_;
    std::deque<machine_m> ms_;
    std::deque<goroutine> gs_;
    std::deque<rt0::runtime::g> spares_;
    int ended_ = 0;
};

}  // namespace model
