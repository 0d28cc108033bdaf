// The lock order of the runtime: a thread may take a lock only if its rank is higher
// than every rank it holds (hchan excepted: select takes many, in the order of their addresses).
// Debug builds check it in base/lock.cc.
#pragma once

namespace rt0::runtime {

enum class lock_rank : unsigned char {
    none,        // not checked: leaf locks of tests
    world,       // stop-the-world is wanted by one at a time, before anything else
    retake,      // the retake handshake's requesters, one at a time; they stop Ps under sched
    timers,      // a P's timer heap; its callbacks ready Gs, send on channels, start Gs
    waitq,       // a mutex', semaphore's ... queue of waiters; a timer's callback takes it
    hchan,       // a channel; a timer's callback takes it
    sched,       // sched.lock: global queue, idle lists; startm is called with it dropped
    born,        // a P's newborns, some instructions
    gfree,       // the global list of dead Gs; taken by newproc under timers
    allg,        // growing allgs; a new G takes stack memory before it
    allm,        // growing allm, freem
    retired,     // arrays waiting for an RCU grace period
    mcentral,    // a size class' spans; refills from the heap
    stackpool,   // an order's free stacks; refills from the heap
    stacklarge,  // large stacks
    heap,        // the page heap: innermost but for printing
    handoff,     // orders to the template thread; any M gives them, whatever it holds
    print,       // println's lines, one at a time
};
inline constexpr int lock_ranks = static_cast<int>(lock_rank::print) + 1;

}  // namespace rt0::runtime
