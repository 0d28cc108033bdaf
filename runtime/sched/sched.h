// sched: the scheduler's global state, and the functions of sched/ that others call.
//
// Reading order and the life of a goroutine: runtime/HACKING.md.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/atomic.h"
#include "base/lock.h"
#include "base/throw.h"
#include "sched/g.h"
#include "sched/gstatus.h"
#include "sched/m.h"
#include "sched/p.h"

namespace rt0::runtime {

// Grouped by who writes it how often: a word that is read at every switch must not share
// a cache line with one that is written at every wake.
struct schedt {
    // Read at every switch, written when the world stops or the process ends.
    alignas(64) atomic<bool> gcwaiting{false};  // stop-the-world wanted [atomic]
    atomic<bool> detour{false};                 // gcwaiting, or a seed chooses (choose.h): direct switches ask first [atomic]
    atomic<bool> exiting{false};                // the process is on its way out [atomic]
    atomic<std::int64_t> waitclock{0};          // ns, right to a second while anything runs; by sysmon [atomic]
    atomic<bool> sysmonfar{false};              // sysmon looks again after more than alone_look (WK7); by sysmon [atomic]
    atomic<std::uint32_t> wake_backoff{0};      // wakes for a G beside a short queue to skip (WK7) [atomic]

    // Read by every wakep, written as Ps go idle and Ms look for work.
    alignas(64) atomic<std::uint32_t> npidle{0};   // written under lock, read without [atomic]
    alignas(64) atomic<std::uint32_t> nmspinning{0};  // [atomic] sched/find.cc: the wake-up discipline

    // The global queue's size is looked at every 61st round, and before sleeping.
    alignas(64) atomic<std::int32_t> runqsize{0};  // written under lock, read without [atomic]
    atomic<std::int32_t> ncallers{0};              // Gs of it that are callers (SY4); written under lock, read without [atomic]

    alignas(64) mutex lock{lock_rank::sched};   // [atomic]
    m* midle GUARDED_BY(lock) = nullptr;             // idle Ms waiting for work [lock]
    watched<std::int32_t> nmidle GUARDED_BY(lock);   // [lock]
    std::int32_t nmcoming GUARDED_BY(lock) = 0;      // spare Ms on their way to the idle list [lock]
    watched<std::int32_t> nmidlelocked GUARDED_BY(lock); // locked Ms waiting for their G [lock]
    atomic<std::int32_t> nmlocked{0};                // Ms, but for extra ones, that have a locked G [atomic] a hint
    std::uint32_t passedover GUARDED_BY(lock) = 0;   // Ps in a row for locked Gs, while others wait and each M has one [lock]
    watched<std::int64_t> mnext GUARDED_BY(lock);    // Ms created, next id [lock]
    atomic<std::int32_t> maxmcount{cfg::max_ms};     // for those that are not extra [atomic]
    std::int32_t nmextra GUARDED_BY(lock) = 0;       // Ms of foreign threads, in use or not [lock]
    std::int32_t nhogs GUARDED_BY(retakelock) = 0;   // Ms that run without a P [lock:retakelock]
    bool stuck_idle GUARDED_BY(retakelock) = false;  // an M could not leave SCHED_IDLE itself [lock:retakelock]
    std::int32_t nmsys GUARDED_BY(lock) = 0;         // Ms not counted for deadlock: sysmon, template, dumper, stillborn [lock]
    watched<std::int64_t> nmfreed GUARDED_BY(lock);  // [lock]
    p* pidle GUARDED_BY(lock) = nullptr;             // [lock]
    atomic<bool> starved{false};                     // a P became idle for want of an M (ID4) [atomic; written under lock]
    gqueue runq GUARDED_BY(lock);                    // global run queue [lock]
    gqueue putoff GUARDED_BY(lock);                  // a part of it: Gs whose calls are put off (SY4) [lock]
    bool putoff_next GUARDED_BY(lock) = false;       // theirs is the next turn, where there are both [lock]
    m* freem GUARDED_BY(lock) = nullptr;             // exited Ms whose stacks may be in use; still on allm [lock]
    watched<std::int32_t> stopwait GUARDED_BY(lock); // Ps still to stop [lock]
    note stopnote;                              // [atomic]
    atomic<bool> sysmonwait{false};             // sysmon sleeps deeply on sysmonnote [lock to set]
    atomic<std::uint32_t> sysmonlooks{0};       // looks at all Ps so far [own:sysmon], read by tests
    atomic<std::uint32_t> stopreturns{0};       // Ps given back to their Ms after a stop, SC3 [atomic], by tests
    atomic<std::uint32_t> stormtakes{0};        // Ps it found with one that blocks at the first look, SM5 [own:sysmon], by tests
    atomic<std::uint32_t> stoprounds{0};        // in which stops of the world took Ps from their Ms, so far [atomic], by tests
    atomic<std::int64_t> sysmonnext{0};         // when it looks next, 0: it is woken with the first P [atomic] a hint
    atomic<bool> sysmonwanted{false};           // it should look soon for a while [atomic] a hint
    note sysmonnote;                            // [atomic]

    alignas(64) atomic<std::uint64_t> goidgen{0};  // [atomic]
    atomic<std::uint32_t> ngsys{0};             // system goroutines [atomic]
    atomic<std::int32_t> nmextraidle{0};        // extra Ms that no thread uses [atomic]

    struct {
        mutex lock{lock_rank::gfree};
        glist stack GUARDED_BY(lock);           // dead Gs with stacks [lock]
        glist nostack GUARDED_BY(lock);         // without [lock]
        std::int32_t nstack GUARDED_BY(lock) = 0;  // length of `stack` [lock]
        std::int32_t low GUARDED_BY(lock) = 0;  // and its least since gfcold looked last [lock]
        watched<std::int32_t> n;                // [lock to write]
    } gfree;

    // The M that sleeps until the next timer (find.cc), in the place of a poller.
    alignas(64) atomic<std::int64_t> lastpoll{0};  // when it last woke, ns; 0: it sleeps [atomic]
    atomic<std::int64_t> polluntil{0};          // its deadline, 0: nobody sleeps so [atomic]
    atomic<std::uint32_t> pollwake{0};          // futex word: bumped to wake it [atomic]
    std::int64_t lasttimerwake = 0;             // when a sleeper woke last, ns [own by who turned lastpoll to 0]
    std::uint32_t firedbefore = 0;              // timers that had run by then [own as above]
    std::int64_t starttime = 0;                 // [const]
};

extern schedt sched;
mutex& lock_of_sched() LOCK_RETURNED(sched.lock);
extern atomic<std::int32_t> gomaxprocs_now;     // Ps in use

// With one P, whoever has it is alone with all that needs one: run queues (RQ7), channels (CH6).
inline bool one_p() {
#ifdef RT0_TSAN
    return false;  // ThreadSanitizer cannot see that one P is a lock
#else
    // relaxed: changes only while the world is stopped, which orders it.
    return gomaxprocs_now.load(memory_order_relaxed) == 1;
#endif
}

// ---- lists read without a lock (urcu-memb; sched/lists.cc): take an rcu_reader first.
class rcu_reader {
public:
    rcu_reader();
    ~rcu_reader();
    rcu_reader(const rcu_reader&) = delete;
    rcu_reader& operator=(const rcu_reader&) = delete;
};
template <class T>
struct published {        // a snapshot: valid while the rcu_reader lives
    T* const* data;
    std::size_t n;
    T* const* begin() const { return data; }
    T* const* end() const { return data + n; }
};
published<p> allp();      // gomaxprocs_now of them in use, dead ones behind
published<m> allm();
published<g> allgs();     // never shrinks; dead Gs stay

// ---- parking and readying (park.cc)
// Parks the running goroutine (PK1).  unlockf(gp, lock) runs when the
// context is saved and may drop the lock that makes gp visible to its waker; it must
// not park, and it runs on another stack.  False: the goroutine goes on.
void gopark(unlockf_t unlockf, void* lock, wait_reason reason);
// Parks, then releases l (a runtime mutex) once the context is saved.
void goparkunlock(mutex* l, wait_reason reason) RELEASE(l);
// Makes a parked goroutine runnable on the caller's P, next in line, and wakes a P if one idles.
void goready(g* gp);
// The same at the end of the queue: for whoever readies many and goes on itself.
void goready_tail(g* gp);
// From an M without a P (sysmon): through the global queue.
void goready_injected(g* gp);
void gosched();            // yield: back of the queue
void gosched_putoff();     // the same for a G whose declared call is put off (SY4)
[[noreturn]] void goexit();  // ends the running goroutine; destructors have run already
[[noreturn]] void goexit_unwind();  // forced unwinding to the goroutine's entry, then goexit

// ---- running on the system stack
// Calls f() on g0's stack and comes back; on a system stack already, calls it there.
template <class F>
void systemstack(F&& f);
void systemstack_call(void (*fn)(void*), void* arg);

// ---- new goroutines (newproc.cc)
struct newproc_args {
    std::size_t closure_size, closure_align;
    std::size_t stack_size;       // bytes, 0: the default
    std::string_view name;
    std::uintptr_t callerpc;
};
// A dead G with a stack, room for the closure at its top; null when no stack can be had.
g* newproc_begin(const newproc_args& a);
void newproc_commit(g* newg, void (*entry)(void*), std::uintptr_t startpc);
void newproc_abort(g* newg);
// For the runtime's own goroutines: fn(arg), counted as a system goroutine.
g* newproc_system(void (*fn)(void*), void* arg, const char* name);

// ---- system calls (syscall.cc)
void put_call_off(g* gp);  // before it, if that is worth it (SY4)
void entersyscall();
void exitsyscall();

// ---- threads
void lockOSThread();       // the runtime's own (lockedint)
void unlockOSThread();
void lock_os_thread_ext(g* gp);    // the user's (lockedext)
void unlock_os_thread_ext(g* gp);

// ---- memory of the runtime's own objects, through the current P's mcache if there is one
void* rtalloc(std::size_t n);       // zeroed; null when exhausted
void* rtalloc_g();                  // the same, for a G or what stays as long
void rtfree(void* p);
mcache* current_mcache();           // null without a P

// ---- sizes
int gcount();              // user goroutines that are not dead
int mcount() REQUIRES(sched.lock);    // Ms that exist
int mlimited() REQUIRES(sched.lock);  // those that count for the limit: not those of foreign threads, as in Go
int numcpu();

template <class F>
void systemstack(F&& f) {
    systemstack_call([](void* a) { (*static_cast<std::remove_reference_t<F>*>(a))(); }, &f);
}

}  // namespace rt0::runtime
