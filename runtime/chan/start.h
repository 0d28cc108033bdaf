// Starting a goroutine from a timer's callback, where nobody is there to be told that
// there is no memory for it.
#pragma once
#include "base/throw.h"
#include "sched/sched.h"

namespace rt0::runtime {

// fn(arg) on a new goroutine; arg may be reached by nothing else.  Inside the runtime, under
// the timers lock too.
inline void start_from_timer(void (*fn)(void*), void* arg, const char* name) {
    g* newg = newproc_begin({.closure_size = 0, .closure_align = 1, .stack_size = 0, .name = name, .callerpc = 0});
    if (!newg) out_of_memory("a timer's goroutine");
    newg->closure = arg;
    newproc_commit(newg, fn, reinterpret_cast<std::uintptr_t>(fn));
}

}  // namespace rt0::runtime
