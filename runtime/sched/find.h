// Looking for work, and getting somebody else to.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// A G to run: from the local queue, the global one, timers, other Ps.  Sleeps while
// there is none.  On g0, with a P on entry and on return (not always the same).
g* findrunnable(bool* inherit);

// While one lives, wakep on this M only takes a note of the wish; the end wakes once.
// For whoever readies many Gs, or readies under a lock.  Must not span a park.
class wake_batch {
public:
    wake_batch();
    ~wake_batch();
    bool wanted() const { return mp_->wake_wanted; }
    // Nobody need be woken for this one.
    void waive() { mp_->wake_wanted = before_; }
    wake_batch(const wake_batch&) = delete;
    wake_batch& operator=(const wake_batch&) = delete;

private:
    m* mp_;
    bool before_;  // wanted by a batch around this one
};

// mp looks for work from now on, and counts as one that does.
void become_spinning(m* mp);

// There is new work: get one more M looking for it, if a P idles and nobody looks yet.
void wakep();
// The same for a G that was just put in this P's runnext (WK7).
void wakep_for_lone_if();
inline void wakep_for_lone() {
    if (sched.npidle.load(memory_order_relaxed) != 0) wakep_for_lone_if();  // relaxed: WK6
}
// The same for one that was just put among its newborns (WK7, BN7).
void wakep_for_newborn();

// A timer at `when` was added: make sure some M wakes for it.
void wakenetpoller(std::int64_t when);
// Gets the M that sleeps until a timer, if one does, to look for work (TM5).
void wake_timer_sleeper();

// What an M that looked for work left to other Ps: a ring by RQ8, newborns by BN7.
struct left_alone {
    bool ring = false, newborns = false;
};
// Is there a G on any run queue?  Asked by whoever has just idled a P (WK4, WK5).  left: not counting queues of such Ps.
bool work_queued(left_alone left = {});

// The earliest deadline on any P, 0: none.  Exact for who has published polluntil before, else a hint.
std::int64_t earliest_timer();
// Is any timer armed on any P?  A hint.
bool timers_pending();

}  // namespace rt0::runtime
