// g: a goroutine.  sudog: a goroutine waiting on something.
//
// Field tags: who may touch it.  [own:G] the goroutine itself, or whoever just took it
// off a queue; [own:P] the M that holds the P it is on; [lock:x]; [atomic]; [const]
// after newproc; [stw] only while the world is stopped.
#pragma once
#include <cstddef>
#include <cstdint>

#include "arch/arch.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "base/watched.h"
#include "mem/mem.h"

namespace rt0::runtime {

struct g;
struct m;
struct p;
struct hchan;
struct timer;

mutex& lock_of_sched();  // sched.lock, for GUARDED_BY where sched.h is not included yet (guarded.h)

// ---- states of a G.  Every change goes through casgstatus, which knows this table:
//
//   from \ to   runnable running syscall waiting dead  detached
//   idle            .       .       .       .     x       .      a new g, before its first newproc
//   runnable        .       x       .       .     .       .      on a run queue; not executing
//   running         x       .       x       x     x       x      owns its stack, has an M and a P
//   syscall         x       x       .       .     .       .      in a declared system call; has an M, its P may be gone
//   waiting         x       x       .       .     .       .      blocked in the runtime; on no run queue
//   dead            x       .       x       .     .       .      on a free list, or being set up; a foreign thread comes in
//   detached        x       x       .       .     .       .      in user code without a P; stack moves, not scannable
//
// gscan is or'ed in by whoever looks at the stack of a G that is not running
// (castogscanstatus): while it is set the status cannot change.
enum gstatus : std::uint32_t {
    gidle = 0,
    grunnable = 1,
    grunning = 2,
    gsyscall = 3,
    gwaiting = 4,
    gdead = 6,
    gdetached = 7,
    gstates = 8,  // how many values, for tables
    gscan = 0x1000,
};

// Why a G waits; the texts are Go's and stand in dumps (waitreason_texts).
enum class wait_reason : std::uint8_t {
    zero,               // ""
    chan_receive,       // "chan receive"
    chan_send,          // "chan send"
    chan_receive_nil,   // "chan receive (nil chan)"
    chan_send_nil,      // "chan send (nil chan)"
    select,             // "select"
    select_no_cases,    // "select (no cases)"
    sleep,              // "sleep"
    mutex_lock,         // "sync.Mutex.Lock"
    rwmutex_lock,       // "sync.RWMutex.Lock"
    rwmutex_rlock,      // "sync.RWMutex.RLock"
    cond_wait,          // "sync.Cond.Wait"
    waitgroup_wait,     // "sync.WaitGroup.Wait"
    semacquire,         // "semacquire"
    io_wait,            // "IO wait"
    panic_wait,         // "panicwait"
    preempted,          // "preempted"
    bgsweep_wait,       // "GC sweep wait"
    bgscavenge_wait,    // "GC scavenge wait"
    force_gc,           // "force gc (idle)"
    reasons,            // how many there are
};
extern const char* const waitreason_texts[];
const char* waitreason_text(wait_reason r);  // for one that may be torn

using unlockf_t = bool (*)(g*, void* lock);

// A goroutine's place in a queue of waiters.  Lies on the waiter's own stack (stacks do
// not move), so it lives until the waiter runs again and not a moment longer: whoever
// takes it off its queue may read it until it readies the G, and not after.
struct sudog {
    g* gp = nullptr;              // [const]
    void* elem = nullptr;         // the value to send, or where to put what is received [lock:queue, then own by dequeuer]
    sudog* next = nullptr;        // [lock:queue]
    sudog* prev = nullptr;        // [lock:queue]
    hchan* c = nullptr;           // [const]
    void* key = nullptr;          // what a waitq waiter waits as (reader, writer, count ...) [const]
    std::int64_t acquiretime = 0; // when it began to wait, ns, or 0 [const]
    std::uint32_t index = 0;      // number of the select case [const]
    bool isselect = false;        // take part in a race: win g.selectdone before dequeueing counts [const]
    bool success = false;         // woken by a value or a grant, not by close or timeout; written before goready [own by dequeuer]
};

// What a G's declared calls were like (SY4 in sched/syscall.cc).
struct call_history {
    std::uint16_t back = 0;         // sched.sysmonlooks when it came back from the last
    std::uint8_t long_turns = 0;    // between calls, in a row, up to cfg::long_turns
    bool blocks = false;            // the last one that was not put off lost its P
    bool put_off = false;           // the one in progress was
    std::uint8_t successes = 0;     // calls that were put off and kept their P, in a row
    std::uint8_t backoff = 0, skip = 0;  // calls not to put off after the next failure, and from now
};

struct g {
    // The words a switch touches, in one cache line.
    arch::gobuf sched;                          // saved context while not running [own:G]
    watched<m*> mp;                             // M that runs it; null if none [own:P]
    atomic<std::uint32_t> atomicstatus{gidle};  // [atomic] casgstatus only
    g* schedlink = nullptr;                     // next on gQueue, free list [own by the list]
    void* eh_caught = nullptr;                  // __cxa_eh_globals while not running: exceptions caught, [own:G]
    unsigned eh_uncaught = 0;                   //   and how many are in flight [own:G]
    watched<wait_reason> waitreason;            // [own:G], read by dumps
    bool is_system = false;                     // bgsweep, bgscavenge ...: not counted, not in user dumps [const]
    bool foreign = false;                       // stands for a thread rt0 did not make; its stack is the thread's [const]
    bool goexiting = false;                     // this_goroutine::exit is unwinding [own:G]
    watched<m*> lockedm;                        // the M it is locked to [own:G]

    // A select or timed wait in progress: the first to turn 0 into 1 has chosen.
    atomic<std::uint32_t> selectdone{0};        // [atomic]
    bool caller GUARDED_BY(lock_of_sched()) = false;  // stands in the global queue, counted in sched.ncallers (SY4) [lock:sched]
    std::uint16_t noyield = 0;                  // so many no_yields (upcross.h) live, each in a frame of its own [own:G]
    void* param = nullptr;                      // the sudog that woke it, or null (close, timeout) [own by waker until ready]
    call_history calls;                         // [own:G]

    watched<std::uint64_t> goid;                // [const]
    stack stk;                                  // [own:G]
    std::uintptr_t stack_top = 0;               // where the first frame goes, closure above it [own:G]
    watched<std::int64_t> waitsince;            // sched.waitclock when it parked, entered a call or lost its P last, ns [own:G]
    watched<std::uintptr_t> gopc;               // pc of the go statement [const]
    watched<std::uintptr_t> startpc;            // the function it started with [const]
    watched<std::uint64_t> parentgoid;          // [const]
    void (*entry)(void*) = nullptr;             // [own:G]
    void* closure = nullptr;                    // [own:G]
    struct alignas(16) {
        unsigned char bytes[32];
    } unwind_exception = {};                        // of this_goroutine::exit: must outlive the frames it unwinds [own:G]
    char name[32] = {};                         // go_options::name, truncated, NUL-terminated; by watched_copy [const]
#ifdef RT0_ASAN
    void* asan_fake = nullptr;                  // fake stack while not running [own:G]
#endif
#ifdef RT0_TSAN
    void* tsan_fiber = nullptr;                 // SW4 [own:G]
#endif
};

// ---- queues of Gs through schedlink.  Not thread-safe.
struct gqueue {
    g* head = nullptr;
    g* tail = nullptr;
    std::int32_t nlocked = 0;  // of them are locked to an M

    bool empty() const { return head == nullptr; }
    void push_back(g* gp) {
        nlocked += gp->lockedm != nullptr;
        gp->schedlink = nullptr;
        if (tail) tail->schedlink = gp; else head = gp;
        tail = gp;
    }
    void push_back_all(gqueue q) {
        if (q.empty()) return;
        nlocked += q.nlocked;
        if (tail) tail->schedlink = q.head; else head = q.head;
        tail = q.tail;
    }
    g* pop() {
        g* gp = head;
        if (!gp) return nullptr;
        nlocked -= gp->lockedm != nullptr;
        if (!(head = gp->schedlink)) tail = nullptr;
        return gp;
    }
    // The first that is locked; null: none is.
    g* pop_locked() {
        if (nlocked == 0) return nullptr;
        g* before = nullptr;
        g* gp = head;
        for (; !gp->lockedm; gp = gp->schedlink) before = gp;
        nlocked--;
        (before ? before->schedlink : head) = gp->schedlink;
        if (tail == gp) tail = before;
        return gp;
    }
};
struct glist {  // a stack
    g* head = nullptr;

    bool empty() const { return head == nullptr; }
    void push(g* gp) { gp->schedlink = head; head = gp; }
    g* pop() {
        g* gp = head;
        if (gp) head = gp->schedlink;
        return gp;
    }
};

}  // namespace rt0::runtime

// g of the code that runs on this thread now: a goroutine, the M's g0, or null on a
// thread the runtime does not know.
extern "C" {
extern __thread void* rt0_tls_g __attribute__((tls_model("initial-exec"), visibility("hidden")));
}

namespace rt0::runtime {

inline g* getg() {
    g* gp;
    RT0_READ_TLS(rt0_tls_g, gp);
    return gp;
}
inline void setg(g* gp) { RT0_WRITE_TLS(rt0_tls_g, gp); }

}  // namespace rt0::runtime
