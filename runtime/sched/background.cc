// bgsweep and bgscavenge, the runtime's own goroutines, and gcenable that starts them.
//
// bgsweep has nothing to sweep before there is a collector: it announces itself and
// parks; the collector's sweep phase will ready it.  bgscavenge returns idle memory
// to the kernel: sysmon wakes it when there is enough that has been idle for a while.
#include "sched/background.h"

#include <algorithm>
#include <utility>

#include "base/throw.h"
#include "kernel_if/clock.h"
#include "sched/newproc.h"
#include "sched/sched.h"
#include "sched/timer.h"

namespace rt0::runtime {

namespace {

// gcenable's channel of capacity 2: the two announce themselves, gcenable waits for both.
struct {
    mutex lock{lock_rank::waitq};
    int arrived GUARDED_BY(lock) = 0;      // [lock]
    g* waiter GUARDED_BY(lock) = nullptr;  // [lock]
} started;

void announce() {
    g* wake = nullptr;
    {
        guard l(started.lock);
        if (++started.arrived == 2) wake = started.waiter;
    }
    if (wake) goready(wake);
}

bool collection_enabled = false;

void bgsweep(void*) {
    announce();
    for (;;) {
        while (sweepone()) gosched();  // nothing, before the first collection
        gopark(nullptr, nullptr, wait_reason::bgsweep_wait);
    }
}

struct {
    mutex lock{lock_rank::waitq};
    g* gp GUARDED_BY(lock) = nullptr;  // [lock] set while it is parked
    std::int32_t cold GUARDED_BY(lock) = 0;  // [lock] stacks of dead Gs it is to free
} scavenger;

// Parks until there is something to do; of how many dead Gs to free the stacks.
std::int32_t wait_for_scavenging() {
    scavenger.lock.lock();
    if (scavenger.cold == 0) {
        scavenger.gp = getg();
        goparkunlock(&scavenger.lock, wait_reason::bgscavenge_wait);
        scavenger.lock.lock();
    }
    std::int32_t n = std::exchange(scavenger.cold, 0);
    scavenger.lock.unlock();
    return n;
}

void bgscavenge(void*) {
    announce();
    for (;;) {
        // In steps, so that a P is not held for long: 1.5 us a stack.
        constexpr std::int32_t step = cfg::scavenge_step / cfg::stack_default;
        std::int32_t cold = wait_for_scavenging();
        for (bool more = true; more;) {
            std::int32_t shed = gfshed(std::min(step, cold));
            cold -= shed;
            more = scavenge(cfg::scavenge_step) != 0 || shed != 0;
            if (more) timesleep(kernel::nanotime() + cfg::scavenge_pause);
        }
    }
}

}  // namespace

void wake_scavenger(std::int32_t cold) {
    g* gp;
    {
        guard l(scavenger.lock);
        scavenger.cold = cold;
        gp = scavenger.gp;
        scavenger.gp = nullptr;
    }
    if (gp) goready_injected(gp);
}

void gcenable() {
    newproc_system(bgsweep, nullptr, "bgsweep");
    newproc_system(bgscavenge, nullptr, "bgscavenge");
    started.lock.lock();
    if (started.arrived < 2) {
        started.waiter = getg();
        goparkunlock(&started.lock, wait_reason::chan_receive);
    } else {
        started.lock.unlock();
    }
    collection_enabled = true;
}

}  // namespace rt0::runtime
