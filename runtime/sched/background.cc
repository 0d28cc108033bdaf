// bgsweep and bgscavenge, the runtime's own goroutines, and gcenable that starts them.
//
// bgsweep has nothing to sweep before there is a collector: it announces itself and
// parks; the collector's sweep phase will ready it.  bgscavenge returns idle memory
// to the kernel: sysmon wakes it when there is enough that has been idle for a while.
#include "sched/background.h"

#include <algorithm>

#include "base/seeded.h"
#include "base/throw.h"
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
    std::int32_t cold GUARDED_BY(lock) = 0;  // [lock] stacks of dead Gs it is to free; sysmon's last word
    bool idle GUARDED_BY(lock) = false;      // [lock] it said so because nothing ran
} scavenger;

void wait_for_scavenging() {
    scavenger.lock.lock();
    if (scavenger.cold != 0) return scavenger.lock.unlock();
    scavenger.gp = getg();
    goparkunlock(&scavenger.lock, wait_reason::bgscavenge_wait);
}

// So many of the cold ones, at most, are the caller's to free.
std::int32_t take_cold(std::int32_t most) {
    guard l(scavenger.lock);
    std::int32_t n = std::min(most, scavenger.cold);
    scavenger.cold -= n;
    return n;
}

// Less than asked for were there: they live again, and sysmon's word is old.
void forget_cold() {
    guard l(scavenger.lock);
    scavenger.cold = 0;
}

// Bytes that the last round left, all of what there were: the kernel takes none back (locked memory).
atomic<std::size_t> in_vain{0};

// Between two steps.  In an idle process nobody is in the way, and who waits for the end of everything (checkdead) should
// not wait for this: a timer would keep the process alive.
void pause_scavenging() {
    bool idle;
    {
        guard l(scavenger.lock);
        idle = scavenger.idle;
    }
    if (idle) gosched();
    else timesleep(clock_now() + cfg::scavenge_pause);
}

void bgscavenge(void*) {
    announce();
    for (;;) {
        // In steps, so that a P is not held for long: 1.5 us a stack.
        constexpr std::int32_t step = cfg::scavenge_step / cfg::stack_default;
        wait_for_scavenging();
        bool any = false;
        for (bool more = true; more; any |= more) {
            const std::int32_t asked = take_cold(step), shed = gfshed(asked);
            if (shed < asked) forget_cold();
            more = scavenge(cfg::scavenge_step) != 0 || shed != 0;
            if (more) pause_scavenging();
        }
        in_vain.store(any ? 0 : scavengeable(), memory_order_relaxed);  // relaxed: a hint
    }
}

}  // namespace

void wake_scavenger(std::int32_t cold, bool idle) {
    g* gp;
    {
        guard l(scavenger.lock);
        scavenger.cold = cold;
        scavenger.idle = idle;
        gp = scavenger.gp;
        scavenger.gp = nullptr;
    }
    if (gp) goready_injected(gp);
}

std::size_t scavenged_in_vain() { return in_vain.load(memory_order_relaxed); }  // relaxed: a hint

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
}

}  // namespace rt0::runtime
