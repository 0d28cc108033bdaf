// selection: one select (or timed or stoppable channel operation) while it lasts.
//
// Lies on the goroutine's stack; whoever else may touch it is out before selectgo
// returns: partners hold the channels' locks, the timer is deleted, the stop callbacks
// are destroyed.  select.cc tells the story, selrace.cc that of timers and tokens.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stop_token>

#include <rt0/detail/select_core.h>

#include "chan/hchan.h"
#include "sched/timer.h"

namespace rt0::runtime {

using detail::case_kind;
using detail::scase;

struct selection {
    scase* cases;               // [const]
    std::uint32_t n;            // [const]
    wait_reason why = wait_reason::select;
    bool in_order = false;      // look at the cases in their order, not in a random one [const]
    sudog* sgs;                 // one per case, not constructed before the goroutine queues
    std::uint32_t* poll;        // cases to look at, in this order: channels and tokens
    std::uint32_t npoll = 0;
    std::uint32_t* order;       // channel cases by address of the channel, once sorted
    std::uint32_t norder = 0;
    bool sorted = false;

    int otherwise = -1;         // the otherwise case
    int due = -1;               // the earliest after case
    std::uint32_t ndone = 0;    // done cases

    g* gp = nullptr;            // [const] once begun
    int chosen = -1;            // the case that goes
    bool ok = true;             // as select_outcome's
    bool moves = false;         // its channel's elements are `moved`; noted under its lock, without which it may be gone
    claim k{};                  // what is left to do, where no partner has done all
    sudog* orphans = nullptr;   // channels to free, by their sudogs

    // The race between partners, the timer and the tokens (selrace.cc).
    bool armed = false;
    atomic<int> fired{-1};             // first timer or token case that fired [atomic]
    atomic<std::uint32_t> phase{0};    // [atomic] phases below
    int winner = -1;                   // case of the timer or token that won selectdone [own by winner]
    timer tm{};
};
enum : std::uint32_t { sel_running, sel_parked, sel_fired };

// One stop callback per done case: user code's threads run it.
struct stop_hook {
    selection* s;
    int index;
    void operator()() const noexcept;
};
using stop_cb = std::stop_callback<stop_hook>;

bool arm_timer(selection& s);    // inside the runtime; true: it is armed
void disarm_timer(selection& s);
void arm_stops(selection& s, stop_cb* at);   // outside it
void disarm_stops(selection& s, stop_cb* at);
bool open_race(selection& s);    // channel locks held; false: one has fired, do not park

}  // namespace rt0::runtime
