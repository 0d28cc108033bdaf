// Crossing from user code into the runtime and back.
//
// Every public function that can block, ready, allocate or look at the scheduler
// stands inside a runtime_call:
//
//     void chan_send(...) { runtime_call rc; ... rc.gp ... }
//
//   UC1  inside, the calling thread is an M with a P: a foreign thread borrows an extra
//        M, a goroutine inside blocking() or one that lost its P in user code takes one, for
//        the length of the call or for good.
//   UC2  inside, no user code runs, nothing calls malloc or stdio, nothing blocks but on the
//        runtime's own futexes.  Moves and destructors of user types stand outside (two
//        runtime_calls with the move between them, where needed), threads are made elsewhere (TT1).
//   UC3  a parked call may come back on another M: keep rc.gp, never an m* or p*.
//   UC4  at the end a G that was asked to yield does so, unless it runs somebody's stop callbacks (no_yield).
//   UC5  m.inrt is 1 inside.  Calls nest: the inner one leaves it as it found it, so the depth
//        stands in the calls' own frames and travels with the G.
// Cost on the fast path: g, its M, a store, a load and a branch, then the last three again.
// The handshake behind it: retake.h.
#pragma once
#include "base/chaos.h"
#include "base/forked.h"
#include "sched/sched.h"

namespace rt0::runtime {

// The calling thread's G, made for it: it had none.
g* foreign_enter();
// The calling thread, which is not rt0's, outside of the runtime, needs its G no more: as at its end.
void foreign_leave();
// inrt is set, and was 0 or 1 before; m.retake is not rt_live.  True: a P was borrowed for this call.
bool runtime_call_enter_slow(g* gp, std::uint32_t was, bool point);
// inrt is 0, m.retake is not rt_live.
void runtime_call_leave_slow(g* gp);
// inrt is 1 still: gives the borrowed P back and sets inrt to 0.
void runtime_call_give_back(g* gp);

// While one lives on a foreign thread, that keeps its G from call to call, also where it has one for
// each call only (FT4): for whoever hands its G to others before it parks.
class foreign_hold {
public:
    foreign_hold();
    ~foreign_hold();
    foreign_hold(const foreign_hold&) = delete;
    foreign_hold& operator=(const foreign_hold&) = delete;

private:
    bool on_;
};

// RK1's order between a store of inrt and the read of retake: the compiler's part.
inline void crossing_barrier() {
    atomic_signal_fence(memory_order_seq_cst);  // ORDER(inrt): no instruction; retake_fence() is its other half
    chaos_pause_debug(window::crossing);
}

// Out of the runtime, from the outermost call.
inline void leave_runtime(g* gp) {
    m* mp = gp->mp;  // UC3
    // ORDER(inrt): release; pairs with the requester's read: what we did is done before it acts for us.
    mp->inrt.store(0, memory_order_release);
    crossing_barrier();
    // relaxed: RK4.
    if (mp->retake.load(memory_order_relaxed) != rt_live) [[unlikely]] runtime_call_leave_slow(gp);
}

class runtime_call {
public:
    g* gp;  // the calling goroutine, a foreign thread's too; never null

    runtime_call() : runtime_call(true) {}
    ~runtime_call() {
        if (end_ == leave) [[likely]]
            leave_runtime(gp);
        else if (end_ == give_back)
            runtime_call_give_back(gp);
    }
    runtime_call(const runtime_call&) = delete;
    runtime_call& operator=(const runtime_call&) = delete;

    // A P that was borrowed for the call is kept after it.
    void keep_p() {
        if (end_ == give_back) end_ = leave;
    }
    // The P, borrowed or not, is given up with the end of the call.
    void give_back_p() { end_ = give_back; }
    // inrt stays 1 after the call: the P cannot be taken any more.
    void stay_inside() { end_ = stay; }

protected:
    // point: a seeded schedule may have it yield first (CZ1 in choose.h).
    [[gnu::always_inline]] explicit runtime_call(bool point) : gp(getg()) {
        if (!gp) [[unlikely]] gp = foreign_enter();
        m* mp = gp->mp;
        end_ = mp->inrt.load(memory_order_relaxed);  // relaxed: M's own
        mp->inrt.store(1, memory_order_relaxed);     // relaxed: RK1
        crossing_barrier();
        // ORDER(retake): acquire; RK3.  That it is not read too early is RK1's.
        if (mp->retake.load(memory_order_acquire) != rt_live) [[unlikely]]
            if (runtime_call_enter_slow(gp, end_, point)) end_ = give_back;
    }

    enum : std::uint32_t {
        leave,      // back to user code
        stay,       // this call was inside another
        give_back,  // this call took a P for a G that is to have none
    };
    std::uint32_t end_;  // what the end of the call does
};

// A runtime_call for a few steps that call nothing, so that the function they stand in needs no frame: for goroutines, from user
// code, with nothing asked of their M.  Null: not now, nothing happened.  Else the steps, then one of the two below, come next.
//
// Where entering failed nobody looks at retake on the way out (RK4), for the caller's runtime_call comes next and looks.  If
// the phase was `taking`, then M was in user code all along (RK3), for a moment with inrt 1, and waits in that call.
[[gnu::always_inline]] inline m* enter_quick(const g* gp) {
    if (!gp) [[unlikely]] return nullptr;
    m* mp = gp->mp;
    if (mp->inrt.load(memory_order_relaxed) != 0) [[unlikely]] return nullptr;  // relaxed: M's own
    mp->inrt.store(1, memory_order_relaxed);                                    // relaxed: RK1
    crossing_barrier();
    // ORDER(retake): acquire; as in runtime_call.
    if (mp->retake.load(memory_order_acquire) == rt_live) [[likely]] return mp;
    // ORDER(inrt): release; as in leave_runtime.
    mp->inrt.store(0, memory_order_release);
    return nullptr;
}
// It cannot be done like this, and nothing was done: a runtime_call comes next.
[[gnu::always_inline]] inline void abandon_quick(m* mp) {
    // ORDER(inrt): release; as in leave_runtime.
    mp->inrt.store(0, memory_order_release);
}
// Done.  False: runtime_call_leave_slow comes next.
[[gnu::always_inline]] inline bool leave_quick(m* mp) {
    // ORDER(inrt): release; as in leave_runtime.
    mp->inrt.store(0, memory_order_release);
    crossing_barrier();
    return mp->retake.load(memory_order_relaxed) == rt_live;  // relaxed: RK4
}

// A runtime_call that does not yield, neither before nor at its end, for whoever must be done before a G
// that he readied goes on (stop callbacks): the next crossing yields instead.
class runtime_call_quiet : public runtime_call {
public:
    runtime_call_quiet() : runtime_call(false) {}
    ~runtime_call_quiet() {
        if (end_ != leave) return;
        // ORDER(inrt): release; as in leave_runtime.
        gp->mp->inrt.store(0, memory_order_release);
        end_ = stay;  // the base has nothing left to do
    }
};

// While one lives, crossings of the calling goroutine do not yield (UC4); the first after it does.
class no_yield {
public:
    no_yield() : gp_(getg()) {
        if (gp_) gp_->noyield++;
    }
    ~no_yield() {
        if (gp_) gp_->noyield--;
    }
    no_yield(const no_yield&) = delete;
    no_yield& operator=(const no_yield&) = delete;

private:
    g* gp_;
};

// While one lives, the calling goroutine stays on its thread, whatever it calls; a foreign thread is itself all the time.
class thread_pin {
public:
    thread_pin() {
        const g* gp = getg();
        if ((on_ = gp && !gp->foreign)) lockOSThread();
    }
    ~thread_pin() {
        if (on_ && !kernel::forked()) unlockOSThread();  // in a forked child the m was wiped (FO3)
    }
    thread_pin(const thread_pin&) = delete;
    thread_pin& operator=(const thread_pin&) = delete;

private:
    bool on_;
};

}  // namespace rt0::runtime
