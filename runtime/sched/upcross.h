// Crossing from user code into the runtime and back.
//
// Every public function that can block, ready, allocate or look at the scheduler
// stands inside a runtime_call:
//
//     void chan_send(...) { runtime_call rc; ... rc.gp ... }
//
//   UC1  inside, the calling thread is an M with a P: a foreign thread borrows an extra
//        M, a goroutine inside blocking() takes a P back, for the length of the call.
//   UC2  inside, no user code runs, nothing calls malloc or stdio, nothing blocks but
//        on the runtime's own futexes.  Moves and destructors of user types stand
//        outside (two runtime_calls with the move between them, where needed).
//   UC3  a parked call may come back on another M: keep rc.gp, never an m* or p*.
//   UC4  at the end a G that was asked to yield does so.
// Cost on the fast path: a TLS load and two tested branches each way.
#pragma once
#include "sched/g.h"

namespace rt0::runtime {

g* runtime_call_enter_slow(g* gp, bool* borrowed);
void runtime_call_leave_slow(g* gp, bool borrowed);

class runtime_call {
public:
    g* gp;  // the calling goroutine, a foreign thread's too; never null

    runtime_call() : gp(getg()) {
        // relaxed: outside is written by this G, exiting is seen at the latest at the next crossing.
        if (!gp || (gp->attn.load(memory_order_relaxed) & (attn_outside | attn_exiting))) [[unlikely]]
            gp = runtime_call_enter_slow(gp, &borrowed_);
    }
    ~runtime_call() {
        // relaxed: as above; a preempt bit missed now is seen at the next crossing.
        if (borrowed_ || gp->attn.load(memory_order_relaxed)) [[unlikely]]
            runtime_call_leave_slow(gp, borrowed_);
    }
    runtime_call(const runtime_call&) = delete;
    runtime_call& operator=(const runtime_call&) = delete;

private:
    bool borrowed_ = false;  // this call took a P that it must give back
};

// A runtime_call that does not yield at its end, for whoever must be done before a G
// that he readied goes on (stop callbacks): the next crossing yields instead.
class runtime_call_quiet {
public:
    g* gp;

    runtime_call_quiet() : gp(getg()) {
        // relaxed: as in runtime_call.
        if (!gp || (gp->attn.load(memory_order_relaxed) & (attn_outside | attn_exiting))) [[unlikely]]
            gp = runtime_call_enter_slow(gp, &borrowed_);
    }
    ~runtime_call_quiet() {
        if (borrowed_) [[unlikely]]
            runtime_call_leave_slow(gp, true);  // which gives the P back and does not yield
    }
    runtime_call_quiet(const runtime_call_quiet&) = delete;
    runtime_call_quiet& operator=(const runtime_call_quiet&) = delete;

private:
    bool borrowed_ = false;
};

}  // namespace rt0::runtime
