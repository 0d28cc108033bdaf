// Writers' side of the lists that are read without a lock: allp, allm, allgs.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

void allp_set(p* const* ps, std::size_t n);  // the whole array anew (stopped world)
// These two need memory; false: there was none, nothing changed.
bool allm_add(m* mp);
bool allm_remove(m* chain);  // all that are linked by freelink
void allg_add(g* gp);

// Every thread that may become a reader, before its first rcu_reader and after its last.
void rcu_thread_enter();
void rcu_thread_leave();

// Frees the arrays that were replaced, after a grace period; blocks for it (70 us
// typically).  Called by sysmon with no lock held.
void reclaim_retired();
// Whoever reads a list now, as it is or was, has finished; blocks for it.
void await_readers();

}  // namespace rt0::runtime
