// p: the right to run goroutines, and what goes with it: a run queue, free Gs, a
// memory cache, timers.
#pragma once
#include <cstdint>

#include "base/atomic.h"
#include "base/config.h"
#include "base/lock.h"
#include "base/watched.h"
#include "kernel_if/activity.h"
#include "sched/g.h"

namespace rt0::runtime {

// ---- states of a P
//   idle      on sched.pidle, or in the hands of whoever changes that
//   running   owned by the M in p.mp
//   syscall   its M is in a declared system call; whoever wins the CAS to idle has it
//   gcstop    halted for stop-the-world, owned by whoever stopped the world
//   dead      beyond gomaxprocs
enum pstatus : std::uint32_t { pidle, prunning, psyscall, pgcstop, pdead };

extern mutex retakelock;  // retake.h

struct timers {  // sched/timer.h explains
    mutex lock{lock_rank::timers};
    struct slot {
        std::uintptr_t what;                    // a timer, or, by its lowest bit, a G that sleeps (TM6)
        std::int64_t when;                      // so that sifting need not look at it
    };
    slot* heap GUARDED_BY(lock) = nullptr;      // 4-ary, by when [lock]
    watched<std::uint32_t> len GUARDED_BY(lock);  // [lock]
    std::uint32_t cap GUARDED_BY(lock) = 0;     // [lock]
    watched<std::uint32_t> fired;               // timers run so far [lock to write]
    atomic<std::int64_t> when0{0};              // heap[0].when, 0 if empty [atomic] written under lock
};

struct alignas(64) p {
    // Touched by its M at every switch.
    std::int32_t id = 0;                        // index in allp [const]
    atomic<std::uint32_t> status{pgcstop};      // [atomic]
    watched<m*> mp;                             // back-link; null if idle [own:P]
    struct mcache* mcache = nullptr;                   // [own:P]
    atomic<std::uint32_t> schedtick{0};         // rounds of schedule [own:P], read by sysmon
    atomic<std::uint32_t> syscalltick{0};       // declared system calls [own:P], read by sysmon
    watched<std::uint32_t> turns;               // Gs run here [own:P], read by thieves and sysmon
    std::uint32_t chain = 0;                    // turns when the chain of Gs that share this time slice began, RQ6 [own:P]
    std::uint32_t refilltick = 0;               // schedtick when the ring was last filled from the global queue, RQ9 [own:P]
    std::uint32_t wakes_skipped = 0;            // since the last wakep that woke [own:P]
    bool sysmonbacklog = false;                 // the queue was not empty at sysmon's last look [own:sysmon]
    atomic<bool> preempt{false};                // its G was asked to yield: the next pick is one after a whole slice [atomic]
    bool left_ring = false;                     // its M, stealing, left a brisk ring alone (RQ8) [own:P]
    bool left_newborns = false;                 // and a crowd (BN7) [own:P]
    watched<bool> suffices;                     // what timers made ready here needs no second P, WK8 [own:P]
    bool born_next = true;                      // that pick is the oldest newborn, else the ring's, BN5 [own:P]
    watched<std::uint32_t> bornslices;          // how often it was, BN4 [own:P], read by sysmon

    std::uint32_t batchturns = 0;               // turns when timers made Gs ready here [own:P]
    watched<std::int64_t> batchwhen;            // when that was; 0: those turns have been measured, WK8 [own:P]
    std::int64_t turn_ns = INT32_MAX;           // how long each was on average [own:P]

    std::uint64_t goidcache = 0;                // ids goidcache .. goidcacheend-1 are this P's [own:P]
    std::uint64_t goidcacheend = 0;             // [own:P]

    glist gfree;                                // dead Gs [own:P]
    watched<std::int32_t> gfree_n;              // how many [own:P]

    p* link = nullptr;                          // next on sched.pidle [lock:sched], or of a list of procresize's [stw]
    std::uint32_t stopslice = UINT32_MAX;       // the turn whose slice began anew with the end of a stop by it [own:P]
    atomic<std::uint32_t> stopslices{0};        // how often one did [own:P], read by sysmon
    m* stopped GUARDED_BY(retakelock) = nullptr;  // it was taken from this M for the world to stop, SC3 [lock:retakelock]
    std::uint32_t backlogturns = 0;             // turns at sysmon's last look, RQ8 [own:sysmon]
    std::int64_t backlogwhen = 0;               // when that was [own:sysmon]
    std::int64_t sysmonwhen = 0;                // when sysmon saw sysmontick [own:sysmon]
    std::uint32_t sysmontick = 0;               // schedtick at that time [own:sysmon]
    std::uint32_t sysmonstill = 0;              // looks at the same sysmontick [own:sysmon]
    std::uint32_t sysmonborn = 0;               // bornhead at sysmon's last look, less bornslices [own:sysmon]
    std::int64_t sysmonbornstood = 0;           // for how many ns others have had turns since it moved, BN4 [own:sysmon]
    std::int64_t sysmoncpu = 0;                 // processor time of its M's thread at the last of them, ns [own:sysmon]
    std::int32_t activitytid = 0;               // thread that activityfile tells of, 0: none [own:sysmon]
    kernel::activity_file activityfile;         // [own:sysmon]
    m* victim = nullptr;                        // the last that lost it blocked, SM5 [own:sysmon]
    std::int64_t victimwhen = 0;                // when that was [own:sysmon]
    std::int64_t syscallwhen = 0;               // when sysmon saw syscalltick move last [own:sysmon]
    std::uint32_t sysmonsystick = 0;            // and to what [own:sysmon]

    struct timers timers;                       // with a lock of its own [lock:timers]

    // The run queue (sched/runq.h): thieves move head, the owner moves tail.
    alignas(64) atomic<std::uint32_t> runqhead{0};   // [atomic]
    alignas(64) atomic<std::uint32_t> runqtail{0};   // [atomic] written by the owner only
    atomic<g*> runnext{nullptr};                     // runs before the queue, on the readier's time slice [atomic]
    atomic<g*> runq[cfg::runq_size];                 // [atomic]

    // Goroutines that have not run yet (sched/born.h): its owner takes the newest, thieves the oldest.
    alignas(64) atomic<std::uint32_t> bornlock{0};   // [atomic] 1: held
    atomic<std::uint32_t> bornhead{0};               // [lock:bornlock]
    alignas(64) atomic<std::uint32_t> borntail{0};   // written by the owner only, downwards under bornlock [atomic]
    bool bornfresh = false;                          // put since the last pick by BN6 [own:P]
    std::uint32_t bornpicks = 0;                     // taken by the owner, BN4 [own:P]
    // BN4: until bornhead has come to there the oldest have turns; 0: not, else bornlate_set and the index.
    atomic<std::uint64_t> bornlate{0};               // set by sysmon, cleared by the owner, a hint [atomic]
    std::uint32_t bornputs = 0;                      // put by the owner, but for who came to a full deque [own:P]
    bool crowd = false;                              // BN7: the newborns are one [own:P]
    watched<bool> crowdbrisk;                        // and most likely what the last was: done in no time [own:P]
    bool crowdwasbrisk = false;                      // what the last was, however long ago [own:P]
    std::uint32_t crowdputs = 0;                     // bornputs when it began [own:P]
    std::uint32_t crowdpicks = 0;                    // bornpicks then [own:P]
    watched<std::int64_t> crowdwhen;                 // when that was, or when the last ended, ns [own:P]
    atomic<g*> born[cfg::born_size];                 // [atomic]

    std::uint32_t inherited() const { return turns - chain; }  // Gs in a row that inherited the time slice [own:P]
    // The slice is over: who is next does not inherit it, or he would be taken for one who has used it up (RQ6).
    void end_slice() { chain = turns - cfg::runnext_inherit_max; }
};

}  // namespace rt0::runtime
