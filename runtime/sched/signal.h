// Signals of the runtime: what is installed at boot, and what a handler is told.
// Invariants: signal.cc.
#pragma once
#include <csignal>
#include <cstdint>

#include "sched/g.h"
#include "sched/m.h"

namespace rt0::runtime {

// One signal as it came, on the thread that took it.
struct signal_context {
    int sig;
    siginfo_t* info;
    void* uc;           // the interrupted context; the handler returns to it
    std::uintptr_t pc, sp;
    g* gp;              // getg() of the interrupted code: a goroutine, g0, or null
    m* mp;              // its M, or null
};

// Whose stack's guard an address lies in.
struct guard_hit {
    enum kind_t : std::uint8_t { none, goroutine, system, signal } kind = none;
    g* owner = nullptr;
    bool overflow = false;  // the thread ran out of that stack; false: a pointer went astray
};

// Station "initsig" of the boot: installs the handlers, on m0 before there is another M.
void initsig();
// Starts the thread that writes dumps on demand, where RT0DEBUG=dumpsignal asks for it.
void start_dumper();

// On the thread of mp: its alternate stack; a foreign thread that has one keeps it.
void minit_signal_stack(m* mp);
// Before another thread may have mp: no handler of this one runs on its signal stack any more.
void unminit_signal_stack(m* mp);

// For sysmon (SG8).
void block_all_but_faults();

// The dumper sleeps until the next request for a dump.
void wait_for_dump_request();

// While the calling thread unwinds a stack of which nothing is known (SG6): a fault ends `walk`, not
// the process.  False: it did.
bool walk_safely(void (*walk)(void*), void* arg);

// After a report: the signal's default action, on the way out of the handler (SG5).  again: the handler returns, so that a
// fault comes a second time.
void die_by_default(const signal_context& c, bool again = true);

// Asks the thread of mp to run upcall_signal_stack() in a handler.  Once per process, the first
// time, the signal for it is taken over: for a process that is going to die.
bool request_stack(m* mp);

}  // namespace rt0::runtime
