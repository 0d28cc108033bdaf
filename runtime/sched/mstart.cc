// Ms: made by allocm and newm, run by mstart, ended by mexit, buried by freem.
//
//   MS1  An M's stacks and TLS are freed only after the kernel has let go of its thread
//        (thread_gone): mexit puts it on sched.freem, a later allocm looks.
//   MS2  An m is never freed but reused, so that who found it on allm may still read it.
//   MS3  A thread starts with all signals blocked and opens its mask when it has a
//        signal stack and a g.
#include "sched/mstart.h"

#include <cerrno>
#include <cxxabi.h>
#include <new>

#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/signal.h"
#include "kernel_if/sys.h"
#include "sched/checkdead.h"
#include "sched/lists.h"
#include "sched/pidle.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/switch.h"
#include "sched/sysmon.h"

namespace rt0::runtime {

namespace {

constexpr std::size_t mstart_gap = 4096;  // bytes between mstart's frame and where mcall starts: its own frame fits many times

m* dead_ms = nullptr;  // m structs to reuse, MS2 [lock:sched]

// MS1: of the Ms that ended, those whose thread is gone for good.
void bury_freem() {
    m* gone = nullptr;
    {
        guard l(sched.lock);
        m** link = &sched.freem;
        while (m* mp = *link) {
            if (kernel::thread_gone(&mp->thread)) {
                *link = mp->freelink;
                mp->freelink = gone;
                gone = mp;
            } else {
                link = &mp->freelink;
            }
        }
    }
    while (m* mp = gone) {
        gone = mp->freelink;
        kernel::thread_reap(&mp->thread);
        stackfree(current_mcache(), mp->g0stack);
        stackfree(current_mcache(), mp->gsigstack);
        guard l(sched.lock);
        mp->freelink = dead_ms;
        dead_ms = mp;
    }
}

[[noreturn]] void no_memory_for_m() { die("out of memory for the stacks of a new thread (see ulimit -v, vm.overcommit_memory)"); }

m* reuse_m() {
    guard l(sched.lock);
    m* mp = dead_ms;
    if (mp) dead_ms = mp->freelink;
    return mp;
}

}  // namespace

// A g of the system for mp on s; reuse: the g of an M that ended, or null.
static g* system_g(g* reuse, m* mp, const stack& s) {
    if (!s.slot) no_memory_for_m();
    if (!reuse && !(reuse = static_cast<g*>(rtalloc(sizeof(g))))) no_memory_for_m();
    g* gp = new (reuse) g;
    gp->mp = mp;
    gp->stk = s;
    gp->is_system = true;
    return gp;
}

m* allocm(void (*fn)()) {
    bury_freem();
    m* mp = reuse_m();
    g* old_g0 = nullptr;
    g* old_gsignal = nullptr;
    if (mp) {
        old_g0 = mp->g0;
        old_gsignal = mp->gsignal;
        mp->~m();
    } else if (!(mp = static_cast<m*>(rtalloc(sizeof(m))))) {
        no_memory_for_m();
    }
    new (mp) m;
    mp->g0stack = stackalloc(current_mcache(), cfg::g0_stack);
    mp->g0 = system_g(old_g0, mp, mp->g0stack);
    mp->gsignal = old_gsignal;
    mp->mstartfn = fn;
    mcommoninit(mp);
    return mp;
}

// The signal stack of an M.
static void mpreinit(m* mp) {
    mp->gsigstack = stackalloc(current_mcache(), cfg::gsignal_stack);
    mp->gsignal = system_g(mp->gsignal, mp, mp->gsigstack);
}

void mcommoninit(m* mp) {
    {
        guard l(sched.lock);
        mp->id = sched.mnext++;
        if (sched.mnext - sched.nmfreed > sched.maxmcount) {
            textbuf t;
            t << "program exceeds " << sched.maxmcount << "-thread limit (set_max_threads)";
            warn(t);
            runtime_throw("thread exhaustion");
        }
    }
    std::uint64_t seed =
        static_cast<std::uint64_t>(kernel::nanotime()) ^ (static_cast<std::uint64_t>(mp->id) + 1) * 0x9E3779B97F4A7C15ull;
    if (mp->rand == 0) mp->rand = seed ? seed : 1;
    mpreinit(mp);
    allm_add(mp);
}

void minit(m* mp) {
    mp->tid = kernel::gettid();
    mp->eh = reinterpret_cast<eh_globals*>(abi::__cxa_get_globals());
    rcu_thread_enter();
    minit_signal_stack(mp);
    if (mp->is_extra) return;  // a foreign thread keeps its timer slack
    kernel::set_timer_slack(1);  // timed futex waits would overshoot by 50 us
}

namespace {

void mstart1(void* arg) {
    m* mp = static_cast<m*>(arg);
    if (mp->mstartfn) mp->mstartfn();
    if (mp->nextp) {
        acquirep(mp->nextp);
        mp->nextp = nullptr;
    }
    schedule();
}

void mthread(void* arg) {
    m* mp = static_cast<m*>(arg);
    setg(mp->g0);
    minit(mp);
    textbuf name;
    name << "rt0-M" << mp->id;
    kernel::set_thread_name(name.c_str());
    kernel::sigmask_set(&m0.sigmask);  // MS3
    mstart(mp);
    setg(nullptr);  // thread_local destructors run as on a thread the runtime does not know
}

}  // namespace

[[gnu::noinline]] void mstart(m* mp) {
    std::uintptr_t here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    mp->g0sp = (here - mstart_gap) & ~(arch::stack_align - 1);
    mp->g0->sched.sp = mp->g0sp;
    rt0_mcall(&mp->mstartctx, mp->g0sp, mstart1, mp);
}

namespace {
void start_thread_of(m* mp) {
    int rc = 0;
    for (int i = 0; i < cfg::clone_retries; i++) {
        rc = kernel::thread_create(&mp->thread, mthread, mp, reinterpret_cast<void*>(mp->g0stack.lo),
                                   mp->g0stack.hi - mp->g0stack.lo);
        if (rc != -EAGAIN) break;
        kernel::usleep(1000u * static_cast<unsigned>(i + 1));  // limits may be shared with processes that come and go
    }
    if (rc == 0) return;
    textbuf t;
    t << "failed to create new OS thread (have " << mcount() - 1 << " already; errno=" << -rc
      << "); may need to increase max user processes (ulimit -u)";
    warn(t);
    runtime_throw("newosproc");
}
}  // namespace

void newm(void (*fn)(), p* pp) {
    m* mp = allocm(fn);
    mp->nextp = pp;
    start_thread_of(mp);
}

void newm_sysmon() {
    m* mp = allocm(sysmon);
    mp->is_sysmon = true;
    start_thread_of(mp);
}

void mexit() {
    m* mp = getg()->mp;
    if (mp == &m0) {  // the initial thread must outlive the others: it sleeps for good
        handoffp(releasep());
        {
            guard l(sched.lock);
            sched.nmfreed++;
            checkdead();
        }
        for (;;) notesleep(&mp->park);
    }
    sigset_t old;
    kernel::sigmask_block_all(&old);
    kernel::sigaltstack_set(nullptr, 0);
    allm_remove(mp);
    handoffp(releasep());
    {
        guard l(sched.lock);
        sched.nmfreed++;
        mp->freelink = sched.freem;
        sched.freem = mp;
        checkdead();
    }
    rcu_thread_leave();
    rt0_gogo(&mp->mstartctx);  // out of mstart, the thread ends
}

int mcount() { return static_cast<int>(sched.mnext - sched.nmfreed); }

}  // namespace rt0::runtime
