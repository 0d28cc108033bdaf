// The template thread: an M that never has a P, runs no user code and so stays as it was
// born, at boot.  A thread inherits much from the one that clones it (affinity, signal
// mask, name, namespaces, capabilities, scheduling class, timer slack), and cloning
// allocates the TLS block through malloc.
//
//   TT1  No M clones once this thread runs: its state may have been altered (by a goroutine
//        of lock_os_thread, or by one that did not bother), and inside the runtime it must not
//        wait for malloc (UC2).  It hands the new m, complete but for its thread, over.
//   TT2  Orders stand in `orders` under its lock; who gives one wakes the thread if it
//        sleeps.  `waiting` is set by the thread before it sleeps, and cleared by the one
//        who wakes it, or by itself when its time is over; so that the note is woken once:
//
//        template thread                      who gives an order
//        lock; no orders: waiting = true      lock; write the order
//        noteclear; unlock                    waiting? waiting = false, unlock, notewakeup
//        notetsleep, time over                     else unlock
//        lock; waiting? waiting = false
//        else notesleep: it is on its way
//
//   TT3  A spare M is made without a P and goes to the idle list first.  From the count in
//        mcount until it is there it counts as running (checkdead).  Its making may fail:
//        then nothing is lost but the spare.
//   TT4  Ms are buried here and nowhere else (MS1), for that is work with malloc, too.
//
// Alternatives: a template thread made when first needed, as in Go, would have to be
// cloned from a thread that is clean then, and nobody can tell.
//
// Source: Go's proc.go (templateThread, newmHandoff).
#include "sched/template.h"

#include <cerrno>

#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/checkdead.h"
#include "sched/lists.h"
#include "sched/mstart.h"
#include "sched/pidle.h"

namespace rt0::runtime {

namespace {

constinit struct {
    mutex lock{lock_rank::handoff};
    m* newm GUARDED_BY(lock) = nullptr;        // Ms that want a thread, through freelink [lock]
    m** newm_tail GUARDED_BY(lock) = &newm;    // first come, first served [lock]
    std::int32_t spares GUARDED_BY(lock) = 0;  // idle Ms wanted, 0: none asked for [lock]
    bool burial GUARDED_BY(lock) = false;      // an M ended [lock]
    bool trim GUARDED_BY(lock) = false;        // fewer idle Ms are worth keeping [lock]
    bool waiting GUARDED_BY(lock) = false;     // the thread sleeps on wake (TT2) [lock]
    note wake;                                 // [atomic]
} orders;

atomic<std::int64_t> refused_until{0};  // ns, when a spare may be tried again; 0: the last try succeeded

// With orders.lock held, which it drops.
void unlock_and_wake() RELEASE(orders.lock) {
    bool wake = orders.waiting;
    orders.waiting = false;
    orders.lock.unlock();
    if (wake) notewakeup(&orders.wake);
}

// ---- the thread's side

// Sleeps until there are orders, or for ns nanoseconds (< 0: for ever).
void wait_for_orders(std::int64_t ns) {
    orders.lock.lock();
    if (orders.newm || orders.spares || orders.burial || orders.trim) return orders.lock.unlock();
    orders.waiting = true;
    noteclear(&orders.wake);
    orders.lock.unlock();
    if (notetsleep(&orders.wake, ns)) return;
    orders.lock.lock();
    bool ours = orders.waiting;
    orders.waiting = false;
    orders.lock.unlock();
    if (!ours) notesleep(&orders.wake);  // TT2
}

bool serve_newm() {
    m* mp;
    {
        guard l(orders.lock);
        if (!(mp = orders.newm)) return false;
        if (!(orders.newm = mp->freelink)) orders.newm_tail = &orders.newm;
    }
    mp->freelink = nullptr;
    start_thread_of(mp);
    return true;
}

// One line ever for each limit; error: what newm_spare said.
void warn_refused(int error) {
    static bool said_limit, said_threads, said_memory;  // this thread's alone
    bool& said = error == -ENOSPC ? said_limit : error == -EAGAIN ? said_threads : said_memory;
    // This thread makes all others: it does not wait for who reads standard error.
    if (said || !kernel::has_room(2)) return;
    said = true;
    textbuf t;
    t << "warning: no further thread to run goroutines while others block: ";
    if (error == -ENOSPC) t << "the limit of rt0::set_max_threads is reached";
    else if (error == -EAGAIN) t << "clone failed with EAGAIN (see ulimit -u, pids.max, kernel.threads-max)";
    else t << "out of memory, errno " << -error << " (see " << memory_limits << ")";
    warn(t);
}

bool enough_idle(std::int32_t n) {
    guard l(sched.lock);
    return sched.nmidle + sched.nmcoming >= n;
}

// Makes one spare M if fewer than asked for are idle or coming (TT3).  False: nothing to do.
bool serve_spares() {
    std::int32_t n;
    {
        guard l(orders.lock);
        n = orders.spares;
    }
    if (n == 0) return false;
    int error = 0;
    bool enough = enough_idle(n);
    if (!enough && (error = newm_spare()) == 0) {
        refused_until.store(0, memory_order_relaxed);  // relaxed: a hint for sysmon
        return true;
    }
    if (error) {
        warn_refused(error);  // first: who sees a refusal may look for the line
        refused_until.store(kernel::nanotime() + cfg::spare_retry, memory_order_relaxed);  // relaxed: as above
    }
    guard l(orders.lock);
    if (error || orders.spares <= n) orders.spares = 0;
    return true;
}

// Buries who ended; how long to wait for other orders, -1: until there are some.
std::int64_t serve_burial() {
    static std::int64_t wait = -1;  // ns from the last look to the next; -1: there is none until somebody asks
    static std::int64_t due = 0;    // when that is: other orders come in between
    bool asked;
    {
        guard l(orders.lock);
        asked = orders.burial;
        orders.burial = false;
    }
    const std::int64_t now = kernel::nanotime();
    if (!asked && (wait < 0 || now < due)) return wait < 0 ? -1 : due - now;
    if (!bury_freem()) wait = -1;
    else if (asked) wait = cfg::bury_wait_min;
    else wait = 2 * wait <= cfg::bury_wait_max ? 2 * wait : -1;
    due = now + wait;
    return wait;
}

// Idle Ms that were worth keeping when they fell asleep, and are not now, think again (ID2, ID3).
void serve_trim() {
    {
        guard l(orders.lock);
        if (!orders.trim) return;
        orders.trim = false;
    }
    m* mp;
    {
        guard l(sched.lock);
        mp = mget_surplus();
    }
    while (mp) {
        m* next = mp->schedlink;
        mp->schedlink = nullptr;
        notewakeup(&mp->park);
        mp = next;
    }
}

void template_thread() {
    kernel::set_thread_name("rt0-template");
    {
        guard l(sched.lock);
        sched.nmsys++;
        checkdead();
    }
    for (;;) {
        while (serve_newm() || serve_spares()) {}
        serve_trim();
        wait_for_orders(serve_burial());
    }
}

}  // namespace

void start_template_thread() {
    m* mp = allocm(template_thread);
    start_thread_of(mp);
}

void hand_newm_off(m* mp) {
    orders.lock.lock();
    mp->freelink = nullptr;
    *orders.newm_tail = mp;
    orders.newm_tail = &mp->freelink;
    unlock_and_wake();
}

void order_burial() {
    orders.lock.lock();
    orders.burial = true;
    unlock_and_wake();
}

void order_trim() {
    orders.lock.lock();
    orders.trim = true;
    unlock_and_wake();
}

void want_spare_ms(std::int32_t n) {
    std::int64_t until = refused_until.load(memory_order_relaxed);  // relaxed: a hint
    if (n <= 0 || (until != 0 && kernel::nanotime() < until)) return;
    orders.lock.lock();
    orders.spares = n;
    unlock_and_wake();
}

void forget_refusal() { refused_until.store(0, memory_order_relaxed); }  // relaxed: a hint

bool spare_ms_refused() { return refused_until.load(memory_order_relaxed) != 0; }  // relaxed: a hint

}  // namespace rt0::runtime
