// RT0DEBUG=chaos=SEED: pauses at the windows of the lock-free protocols, and a scheduler that decides by chance
// (sched/choose.h), so that interleavings that a quiet machine shows once a year come up in seconds.
//
//   CS1  Each thread of the runtime has a stream of its own, made of the seed and the number of its M.  The n-th time that an M
//        comes to a window it does the same in every run, whatever it met in between, and so does the n-th choice of
//        its scheduler.  Threads that are no M's share stream 0's beginning.
//   CS2  Which thread gets where first the kernel decides all the same.
//   CS3  A seed is fond of some windows and spares others, so that among many seeds each window has runs in which it is what
//        is held up.
#pragma once
#include <cstdint>

#include "arch/model.h"
#include "base/atomic.h"

namespace rt0::runtime {

// Where a thread may be held up: after the first of two steps, before the second.
enum class window : std::uint8_t {
    // In every build: slow paths.
    retake_turn,     // the word's phase is wanted; the CAS
    retake_finish,   // the M's books are done; the word says so
    retake_fence,    // the request stands; membarrier; inrt is read
    retake_taking,   // taking; the M's P and G are read
    retake_books,    // one line of the books; the next
    retake_hog,      // no hog, or one no more; the mark, or the books
    retake_wait,     // the waiting bit; the futex
    retake_read,     // inrt is 1; the word is read, not on the fast path
    retake_decline,  // wanted, and we are inside; the CAS
    retake_reattach, // the phase is over; a P is looked for
    retake_heir,     // the P is free; its heir is woken
    idle_class,      // the class is counted; given; counted
    syscall_enter,   // the P's books; psyscall; gcwaiting is read
    syscall_exit,    // the old P is wanted back; the CAS
    syscall_retake,  // sysmon has looked; its CAS

    // In debug builds only (chaos_pause_debug), and more rarely: fast paths.
    crossing,        // inrt is written; the word is read
    runq_put,        // the slot is filled; the tail
    runq_take,       // the slot is read; the head
    runq_grab,       // half the ring is copied; the head
    runq_overflow,   // the head moved past all; the global queue has them
    runnext_take,    // runnext is read; the CAS, owner's and thief's
    born_put,        // the slot is filled; the tail
    born_take,       // the deque is locked; its head or tail
    park_commit,     // the status is waiting; unlockf
    ready_put,       // the status is runnable; a queue has it
    ready_wake,      // a queue has it; somebody is woken
    wake_count,      // a P is idle; does anybody spin?
    spinner_start,   // the spinner is counted; a P is looked for
    spin_end,        // a spinner counts no more; the last look
    p_idle,          // the P is on the idle list; its M goes on
    m_idle,          // the M is on the idle list; it sleeps
    m_start,         // the M is off that list; it has its P and is woken
    poll_sleep,      // the sleeper's deadline is published; the heaps are read
    world_stop,      // gcwaiting is set; the Ps are looked at
    note_wake,       // the word is set; the futex is woken
    futex_sleep,     // the word was read; the futex
    mutex_wake,      // the mutex is free; its sleeper is woken
    chan_locked,     // a channel is locked; looked at
    chan_peek,       // full or empty without the lock; closed?
    chan_ready,      // a channel is unlocked; the partner is readied
    select_lock,     // one channel is locked; the next
    select_open,     // the race is open; who fired before?
    select_fire,     // fired; the race is won or lost
    select_commit,   // it has parked; the locks are dropped
    wait_claim,      // a waiter's race; the queue's lock
    wait_end,        // the wait is over; its goroutine is readied
    timer_tell,      // the timer is in its heap; the sleeper is told
    timer_delete,    // the timer's heap is known; locked
    count
};
inline constexpr window first_debug_window = window::crossing;

extern atomic<std::uint64_t> chaos_state;     // the seed, 0: off
extern atomic<std::uint64_t> chaos_seen;      // bit n: window n was come to, for tests
static_assert(static_cast<int>(window::count) <= 64);

// What the calling thread does at this visit of a window: the next of its decisions there (CS1).
enum class delay : std::uint8_t { none, spin, yield, sleep };
struct chaos_step {
    delay how;
    std::uint32_t n;  // turns of the spin, microseconds of the sleep
    bool operator==(const chaos_step&) const = default;
};
chaos_step chaos_decide(window w);
void chaos_pause_slow(window w);

inline std::uint64_t chaos_seed() {
    return chaos_state.load(memory_order_relaxed);  // relaxed: written at the boot, by tests in between
}

// Between two steps of a protocol.  Off: a load of a word that nobody writes, and a branch; not for
// fast paths.  Nothing under a model run, which has a schedule point at every access.
inline void chaos_pause(window w) {
    if (arch::model()) return;
    if (chaos_seed() != 0) [[unlikely]] chaos_pause_slow(w);
}

// The same in debug builds only.
inline void chaos_pause_debug([[maybe_unused]] window w) {
#ifdef RT0_DEBUG
    chaos_pause(w);
#endif
}

// The calling thread is M number `id` from now on (CS1).
void chaos_stream(std::int64_t id);
std::uint64_t chaos_draw();  // a choice of the scheduler's

}  // namespace rt0::runtime
