// procresize: Ps come and go while the world stands still.
//
//   PR1  A P, once made, is never freed: a shrunk one is dead and waits to be used again,
//        so that thieves and dumps may hold on to it.
//   PR2  Nothing is lost with a dying P: its Gs go to the global queue, its timers and free
//        Gs and cached memory to others.
#include "sched/procresize.h"

#include <new>

#include "base/throw.h"
#include "sched/lists.h"
#include "sched/newproc.h"
#include "sched/pidle.h"
#include "sched/runq.h"
#include "sched/template.h"
#include "sched/timer.h"

namespace rt0::runtime {

extern mcache* mcache0;  // m0's, until P0 takes it (init.cc)

namespace {

std::int32_t newprocs = 0;  // [stw] 0: as many as now

p* new_p() {
    void* mem = rtalloc(sizeof(p));
    if (!mem) out_of_memory("a processor");
    return new (mem) p;
}

void p_init(p* pp, std::int32_t id) {
    pp->id = id;
    pp->status.store(pgcstop, memory_order_relaxed);  // relaxed: the world is stopped
    if (pp->mcache) return;
    if (id == 0 && mcache0) {
        pp->mcache = mcache0;
        mcache0 = nullptr;
    } else if (!(pp->mcache = allocmcache())) {
        out_of_memory("a processor's cache");
    }
}

void p_destroy(p* pp) REQUIRES(sched.lock, retakelock) {
    bool inherit;
    pp->crowd = false;  // BN7: it is not run
    while (g* gp = runqget(pp, &inherit)) globrunqput(gp);
    movetimers(pp, getg()->mp->pp);
    gfpurge(pp);
    freemcache(pp->mcache);
    pp->mcache = nullptr;
    pp->goidcache = pp->goidcacheend = 0;
    pp->stopped = nullptr;
    pp->batchwhen = 0;
    pp->status.store(pdead, memory_order_relaxed);  // relaxed: the world is stopped
}

void grow_allp(std::int32_t n) {
    auto old = allp();
    if (static_cast<std::size_t>(n) <= old.n) return;
    p* ps[cfg::max_procs];
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); i++) {
        ps[i] = i < old.n ? old.data[i] : new_p();
        ps[i]->id = static_cast<std::int32_t>(i);
        if (i >= old.n) ps[i]->status.store(pdead, memory_order_relaxed);  // relaxed: not published yet
    }
    allp_set(ps, static_cast<std::size_t>(n));
}

// The calling M stays with its P, or takes P0 when its own is to die.
void keep_or_take_p(std::int32_t n) REQUIRES(retakelock) {
    m* mp = getg()->mp;
    if (mp->pp && mp->pp->id < n) {
        mp->pp->status.store(prunning, memory_order_relaxed);  // relaxed: the world is stopped
        return;
    }
    if (p* pp = mp->pp) {
        pp->mp = nullptr;
        mp->pp = nullptr;
    }
    p* p0 = allp().data[0];
    p0->mp = nullptr;
    p0->stopped = nullptr;  // its M finds another
    p0->status.store(pidle, memory_order_relaxed);  // relaxed: the world is stopped
    acquirep(p0);
}

}  // namespace

std::int32_t newprocs_wanted() {
    std::int32_t n = newprocs;
    newprocs = 0;
    return n ? n : gomaxprocs_now.load(memory_order_relaxed);  // relaxed: the world is stopped
}
void want_newprocs(std::int32_t n) { newprocs = n; }

void set_idle(p* pp, p** with_work) {
    pp->status.store(pidle, memory_order_relaxed);  // relaxed: sched.lock
    if (runqempty(pp)) return pidleput(pp);
    pp->mp.publish(mget());
    pp->link = *with_work;
    *with_work = pp;
}

resized procresize(std::int32_t n) {
    std::int32_t old = gomaxprocs_now.load(memory_order_relaxed);  // relaxed: the world is stopped
    if (old < 0 || n <= 0 || n > cfg::max_procs) runtime_throw("procresize: invalid arg");
    grow_allp(n);
    auto ps = allp();
    for (std::int32_t i = old; i < n; i++) p_init(ps.data[i], i);
    keep_or_take_p(n);
    for (std::int32_t i = n; i < old; i++) p_destroy(ps.data[i]);
    gomaxprocs_now.store(n, memory_order_relaxed);  // relaxed: the world is stopped
    p* mine = getg()->mp->pp;
    resized r = {nullptr, nullptr};
    for (std::int32_t i = n - 1; i >= 0; i--) {
        p* pp = ps.data[i];
        if (pp == mine) continue;
        if (!pp->stopped) {
            set_idle(pp, &r.with_work);
            continue;
        }
        pp->link = r.stopped;
        r.stopped = pp;
    }
    if (n < old && idle_ms_in_surplus()) order_trim();  // who becomes idle later sees it for himself (stopm)
    return r;
}

}  // namespace rt0::runtime
