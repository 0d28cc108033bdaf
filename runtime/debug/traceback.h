// Stacks of goroutines: collecting the program counters, printing them in Go's format.
//
//   TB1  The stack of a goroutine that is not the caller's is walked only while its
//        status is runnable or waiting and the scan bit is held, so it cannot move.
//   TB2  While a scan bit is held nothing allocates, locks or symbolises: collect()
//        keeps numbers, put_goroutine() turns them into text later.
//   TB3  Walking needs no lock: the unwind tables come from glibc's _dl_find_object.
#pragma once
#include <cstdint>

#include "debug/sink.h"
#include "sched/sched.h"
#include "sched/signal.h"

namespace rt0::runtime {

// RT0TRACEBACK: how much a report shows.
enum class traceback_level : std::uint8_t {
    none,    // the fatal line alone
    single,  // the goroutine that failed; all of them where none failed by itself
    all,     // all user goroutines
    system,  // the runtime's own goroutines and frames too
};
extern traceback_level traceback;

// Return addresses, innermost first; of deep stacks the two ends.
struct pc_list {
    static constexpr int top = 50, bottom = 50;  // Go's
    std::uintptr_t pc[top + bottom];
    std::size_t total = 0;

    void add(std::uintptr_t v) {
        pc[total < top ? total : top + (total - top) % bottom] = v;
        total++;
    }
};

// What a dump shows of one goroutine.
struct goroutine_info {
    std::uint64_t goid = 0, parentgoid = 0;
    std::uint32_t status = 0;
    wait_reason reason = wait_reason::zero;
    std::int64_t minutes = 0;  // since it waits, is in a declared call or lost its P; 0 below one
    bool locked = false;
    bool has_stack = false;
    char name[sizeof g::name] = {};
    std::uintptr_t gopc = 0, startpc = 0;
    pc_list stack;
};

// The caller's own stack.  Where it is a system stack that serves a goroutine
// (systemstack), `system` gets the part on it and `user` the goroutine's.
struct running_stack {
    std::int32_t tid = 0;
    g* gp = nullptr;       // the goroutine it belongs to, a foreign thread's too; null if none
    bool on_system = false;
    bool whole = true;     // false: the walk ended in a fault
    pc_list system, user;
};
void collect_running(running_stack* out);
// The same for the context that a signal interrupted, from inside its handler.
void collect_interrupted(const signal_context& c, running_stack* out);
// Frames printed so far: whether a report gets on.
extern atomic<std::uint32_t> frames_done;

// Fills `out` for gp, which is not the caller's goroutine; false when there is nothing to show.
bool collect(g* gp, goroutine_info* out);
// Everything but stack and status, for the caller's own goroutine.
void collect_identity(const g* gp, goroutine_info* out);
// Why it waits, and for how long it has done so or gone without a P; by out->status.
void collect_wait(const g* gp, goroutine_info* out);

// "goroutine 7 [chan receive]:" and the frames, an empty line before.  plumbing: show
// the runtime's frames too.  Needs stack: see symbolise.h.
void put_goroutine(sink& out, const goroutine_info& info, bool plumbing);
void put_frames(sink& out, const pc_list& pcs, bool plumbing);

// The calling goroutine, running or served by the system stack it is called on; null
// on foreign threads and on a system stack without one.
g* user_g();

// Calls f on a stack that is large enough for symbolising (a handler's stays: systemstack
// does nothing there).
template <class F>
void on_large_stack(F&& f) {
    g* gp = getg();
    if (gp && !gp->foreign && gp->mp && gp->mp->g0 && gp != gp->mp->g0) systemstack(f);
    else f();
}

}  // namespace rt0::runtime
