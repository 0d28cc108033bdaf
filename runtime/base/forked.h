// The child of a fork has one thread and a copy of a scheduler that had many: the locks
// that the others held stay locked, their goroutines run nowhere, and those that could
// run would do their work a second time.  So the runtime is not to be entered there;
// exec, _exit and what needs no rt0 are.
//
// The check is a load and a branch.  It stands wherever a child would enter the runtime
// without being seen by runtime_call's own word (sched/fork.cc), and wherever it would
// wait for a thread that it does not have: futexes, schedule(), new Ms, system calls.
#pragma once
#include "kernel_if/fork.h"

namespace rt0::runtime {

[[noreturn]] void forked_child_die();  // throw.cc: one line, status 2; touches nothing that may be locked

inline void forked_child_check() {
    if (kernel::forked()) [[unlikely]]
        forked_child_die();
}

}  // namespace rt0::runtime
