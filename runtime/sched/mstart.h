// Making, starting and ending Ms.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// A new M that runs fn (or nothing) and then schedules with pp.  Dies with Go's text
// when the thread cannot be had.  Any M may ask, also one that must not clone.
// id: from mreserveid; -1: reserved here.
void newm(void (*fn)(), p* pp, std::int64_t id = -1);
void newm_sysmon();
// The M alone, without a thread; its thread.  Both die as newm does.
m* allocm(void (*fn)(), bool extra = false, std::int64_t id = -1);
void start_thread_of(m* mp);
// A new M without P, for the idle list.  The template thread's.  0, or what was missing:
// -ENOSPC (the limit of Ms), -EAGAIN, -ENOMEM.
int newm_spare();
// Random state, signal stack, publication on allm, for an m with its id.  False: no memory.
bool mcommoninit(m* mp);
// How many Ms there may be that are not extra.
int mlimit();
bool below_mlimit();  // takes sched.lock
// One M more in the count: its number, or -1 at the limit.
std::int64_t mreserveid() REQUIRES(sched.lock);
// Go's fatal text for want of a thread that must exist; and that when there are more Ms than mlimit().
[[noreturn]] void exhausted() REQUIRES(sched.lock);
void checkmcount() REQUIRES(sched.lock);
// On the thread of mp: what every thread of the runtime needs.
void minit(m* mp);
// Runs schedule() on the current stack, below the caller's frame.  Returns after mexit.
void mstart(m* mp);
// On g0: the thread ends.  The P is handed off.
[[noreturn]] void mexit();
// On g0, without a P and its slot, on no list: the thread ends, and is not m0.
[[noreturn]] void mend();
// An M that is about to end makes room for another (ID4).  It counts as running, for checkdead, until to_freem.
void give_slot_up(bool extra = false);
// mp, which gave its slot up, ended: to be buried.
void to_freem(m* mp);
// Frees the Ms that ended and whose threads are gone.  True: some are not gone yet.
bool bury_freem();

}  // namespace rt0::runtime
