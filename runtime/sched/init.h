// From the first instruction to exit.
#pragma once
#include <cstdint>
#include <span>

#include "mem/mem.h"
#include "sched/g.h"

namespace rt0::runtime {

// Makes the calling thread m0 and its stack g0, boots, runs main_fn on
// the main goroutine.  On the process's initial thread.
[[noreturn]] void rt0_go(int argc, char** argv, void (*main_fn)());

// For a thread that calls the runtime in a process with its own main: boots on a thread
// of its own, if that has not been done; returns when goroutines can run.
void boot_from_foreign();
bool booted();

// Ends the process: no goroutine enters the runtime any more, then libc's exit.
[[noreturn]] void process_exit(int code);

std::span<char* const> program_args();
bool is_main(const g* gp);  // the main goroutine

// Bounds of the calling thread's stack, one that rt0 did not make; lo == hi == 0 when libc does not know.
stack thread_stack();

}  // namespace rt0::runtime
