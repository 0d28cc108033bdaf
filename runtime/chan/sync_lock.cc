// mutex and shared_mutex, the slow paths: one lock word and one queue for both; a
// shared_mutex has a second list, of readers, under the same lock.
//
//   ML1  Under the queue's lock, lk_queued is set exactly when somebody is on a list.
//   ML2  lk_woken is a token: at most one goroutine has it, one that unlock has woken.
//        It gives it back when it takes the lock, queues again or gives up.  While it is
//        out, unlocking wakes nobody else: the holder will look at the word by itself.
//        (Go lets spinning goroutines take it too; then the queue can be passed over
//        for ever.)
//   ML3  A waiter that has waited for `handoff_after` is handed the lock by unlock: the
//        word stays locked, nobody overtakes.  One that was woken and lost the race
//        stands at the front of the queue again, with its old age.
//   ML4  Readers wait only while a writer holds the lock, has the token or is queued.
//        Whatever ends that state lets them in (admit).
//   ML5  A writer that unlocks lets in all readers that wait; the last reader that
//        leaves hands the lock to the first writer.  So a reader waits for one writer at
//        most, and a writer for the readers before it.
//   ML6  The unlocker touches nothing of the lock after the step that lets another
//        through, or hands it to one that is still parked then.
//
// Waking before handing over, as Go's mutex in normal mode: with handing over only, each
// critical section under contention would cost a switch.
#include "base/seeded.h"
#include "base/throw.h"
#include "chan/waitq.h"
#include "sched/retake.h"

namespace rt0::runtime {

namespace {

using detail::lk_locked;
using detail::lk_queued;
using detail::lk_reader;
using detail::lk_woken;
using detail::lock_state;
using word_t = detail::atomic<std::uint32_t>;

constexpr std::int64_t handoff_after = 1'000'000;  // ns; Go's starvationThresholdNs

// What differs between the two.
struct kind {
    std::uint32_t busy;   // bits that keep a writer out
    waitlist* readers;    // null for a mutex
    wait_reason reason;
    timed_out_t timed_out;
    void* owner;
};

struct shared_lock {      // a shared_mutex, as its timed writers' callback sees it
    lock_state& s;
    waitlist& readers;
};

bool any_queued(const lock_state& l, const waitlist* readers) {
    return l.q.list.head || (readers && readers->head);
}

// With the queue's lock: lets the waiting readers in unless a writer holds the lock
// (`leaving`: but for the caller, who gives it up by this), has the token or is queued
// (ML4).  A leaving writer lets them in before queued writers (ML5).
waitlist admit(lock_state& l, waitlist& readers, bool leaving) {
    std::uint32_t n = 0;
    for (sudog* s = readers.head; s; s = s->next) n++;
    if (n == 0 || (!leaving && l.q.list.head)) return {};
    std::uint32_t s = l.word.load(memory_order_relaxed), to;  // relaxed: the CAS decides
    do {
        if (!leaving && (s & (lk_locked | lk_woken))) return {};
        to = (s & ~(lk_locked | (l.q.list.head ? 0u : lk_queued))) + n * lk_reader;
        // ORDER(rwlock): acq_rel, the writers' data for the readers let in; pairs with the
        // writers' releases and acquires.
    } while (!detail::cas(l.word, s, to, memory_order_acq_rel));
    return dequeue_all(readers);
}

void fix_queued(lock_state& l, const waitlist* readers) {
    // relaxed: the bit only says where to look, under the queue's lock.
    if (!any_queued(l, readers)) l.word.fetch_and(~lk_queued, memory_order_relaxed);
}

// The timers' callback took a writer off the queue, whose lock is held.
waitlist mutex_timed_out(void* owner) {
    fix_queued(*static_cast<lock_state*>(owner), nullptr);
    return {};
}
waitlist shared_timed_out(void* owner) {
    auto* both = static_cast<shared_lock*>(owner);
    fix_queued(both->s, &both->readers);
    return admit(both->s, both->readers, false);
}

// ---- taking the lock exclusively

// One attempt; gives the token back on success.
bool try_take(word_t& word, std::uint32_t busy, std::uint32_t token) {
    std::uint32_t s = word.load(memory_order_relaxed);  // relaxed: the CAS decides
    while (!(s & busy))
        // ORDER(lock): acquire; pairs with the releases of unlock (rwlock: and unlock_shared).
        if (detail::cas(word, s, (s | lk_locked) & ~token, memory_order_acquire))
            return true;
    return false;
}

// Tries for a little while, if that may pay.
bool spin_for(word_t& word, std::uint32_t busy, std::uint32_t token) {
    for (int round = 0; can_spin(round); round++) {
        spin_pause(round);
        if (try_take(word, busy, token)) return true;
    }
    return false;
}

enum class step { taken, expired, queue };

// With the queue's lock: what to do next, the word changed accordingly; the token is back.
step decide(word_t& word, std::uint32_t busy, std::uint32_t token, bool expired) {
    std::uint32_t s = word.load(memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        step what = !(s & busy) ? step::taken : expired ? step::expired : step::queue;
        std::uint32_t to = s & ~token;
        if (what == step::taken) to |= lk_locked;
        if (what == step::queue) to |= lk_queued;
        // ORDER(lock): acquire if it is taken; pairs with the releases of unlock.
        if (detail::cas(word, s, to, memory_order_acquire)) return what;
    }
}

bool lock_exclusive(lock_state& l, const kind& k, std::int64_t ns) {
    runtime_call rc;
    std::uint32_t token = 0;
    if (spin_for(l.word, k.busy, 0)) return true;
    waiter w(rc.gp, l.q, k.timed_out, k.owner);
    w.arm(deadline_after(ns));
    for (;;) {
        mutex& m = lock_of(l.q);
        m.lock();
        switch (decide(l.word, k.busy, token, w.expired)) {
        case step::taken:
            m.unlock();
            return true;
        case step::expired: {
            waitlist in = k.readers ? admit(l, *k.readers, false) : waitlist{};
            m.unlock();
            ready_all(in);
            return false;
        }
        case step::queue: break;
        }
        bool again = w.acquiretime != 0;
        if (!again) w.acquiretime = clock_now();
        w.enqueue(l.q.list, again);
        w.park(m, k.reason);
        if (w.success) return true;    // handed over
        if (!w.index) return false;    // not woken by an unlock: timed out
        w.index = 0;
        token = lk_woken;
        if (try_take(l.word, k.busy, token) || spin_for(l.word, k.busy, token)) return true;
    }
}

// ---- releasing it

// With the queue's lock: takes the first writer off to wake it.  *handed: the lock is
// its own already (ML3); else it has the token, and the caller must still clear
// lk_locked.  Null when no writer is there, or the token is out.
waiter* pick_writer(lock_state& l, const waitlist* readers, bool* handed) {
    auto* w = static_cast<waiter*>(l.q.list.head);
    // relaxed: the token is given back by CAS; to miss that means to look again (see unlock).
    if (!w || (l.word.load(memory_order_relaxed) & lk_woken)) return nullptr;
    *handed = clock_now() - w->acquiretime > handoff_after;
    // relaxed: the token carries no data.  Only a holder of the queue's lock takes it.
    if (!*handed) l.word.fetch_or(lk_woken, memory_order_relaxed);
    dequeue(l.q.list);
    w->success = *handed;
    w->index = 1;
    fix_queued(l, readers);
    return w;
}

// Clears lk_locked if nobody has to be woken for that: nobody is queued, or, where the
// caller knows that no reader is, the token is out (ML2).
bool drop_if_quiet(word_t& word, bool no_readers) {
    std::uint32_t s = word.load(memory_order_relaxed);  // relaxed: the CAS decides
    while (!(s & lk_queued) || (no_readers && (s & lk_woken)))
        // ORDER(lock): release; pairs with the acquires of whoever locks next (rwlock: both kinds).
        if (detail::cas(word, s, s & ~lk_locked, memory_order_release)) return true;
    return false;
}

// A writer leaves; readers as in `kind`.
void unlock_exclusive(lock_state& l, waitlist* readers) {
    // A loop: between two looks, waiters may time out and the token come back.
    for (bool no_readers = !readers; !drop_if_quiet(l.word, no_readers); no_readers = true) {
        runtime_call rc;
        waitlist in;
        bool handed = false;
        waiter* w = nullptr;
        {
            guard g(lock_of(l.q));
            if (readers && readers->head)
                in = admit(l, *readers, true);
            else
                w = pick_writer(l, readers, &handed);
        }
        if (in.head) return ready_all(in);  // they hold the lock, parked until here (ML6)
        if (!w) continue;
        // ORDER(lock): release; pairs with the acquires of whoever locks next (rwlock: both kinds).
        if (!handed) l.word.fetch_and(~lk_locked, memory_order_release);
        return ready(w);
    }
}

// ---- readers

constexpr std::uint32_t keeps_readers_out = lk_locked | lk_queued | lk_woken;

bool try_share(word_t& word) {
    std::uint32_t s = word.load(memory_order_relaxed);  // relaxed: the CAS decides
    while (!(s & keeps_readers_out))
        // ORDER(rwlock): acquire; pairs with the releases of the writers.
        if (detail::cas(word, s, s + lk_reader, memory_order_acquire)) return true;
    return false;
}

void lock_shared(lock_state& l, waitlist& readers) {
    runtime_call rc;
    for (int round = 0; can_spin(round); round++) {
        spin_pause(round);
        if (try_share(l.word)) return;
    }
    waiter w(rc.gp, l.q);
    mutex& m = lock_of(l.q);
    m.lock();
    std::uint32_t s = l.word.load(memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        bool in = !(s & keeps_readers_out);
        // ORDER(rwlock): acquire if let in; pairs with the releases of the writers.
        if (!detail::cas(l.word, s, in ? s + lk_reader : s | lk_queued, memory_order_acquire))
            continue;
        if (in) return m.unlock();
        break;
    }
    w.enqueue(readers);
    w.park(m, wait_reason::rwmutex_rlock);  // until admitted (ML4)
}

// The last reader leaves, a writer is queued and the token is not out: hand over (ML5).
bool last_reader(std::uint32_t s) { return s / lk_reader == 1 && (s & (lk_queued | lk_woken)) == lk_queued; }

// With the queue's lock: the writer that now has the lock, or null to look again.
waiter* hand_to_writer(lock_state& l, const waitlist& readers) {
    std::uint32_t s = l.word.load(memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if (!last_reader(s)) return nullptr;
        if (!l.q.list.head) runtime_throw("shared_mutex: readers wait for no writer");
        // ORDER(rwlock): acq_rel, the readers' data for the writer; pairs with the readers' releases.
    } while (!detail::cas(l.word, s, (s - lk_reader) | lk_locked, memory_order_acq_rel));
    waiter* w = dequeue(l.q.list);
    w->success = true;
    fix_queued(l, &readers);
    return w;
}

void unlock_shared(lock_state& l, waitlist& readers) {
    std::uint32_t s = l.word.load(memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        if (s < lk_reader) fatal("sync: RUnlock of unlocked RWMutex");
        if (!last_reader(s)) {
            // ORDER(rwlock): release; pairs with the acquires of the writers.
            if (detail::cas(l.word, s, s - lk_reader, memory_order_release)) return;
            continue;
        }
        runtime_call rc;
        waiter* w;
        {
            guard g(lock_of(l.q));
            w = hand_to_writer(l, readers);
        }
        if (w) return ready(w);
        s = l.word.load(memory_order_relaxed);  // relaxed: as above
    }
}

}  // namespace

}  // namespace rt0::runtime

namespace rt0::detail {

using runtime::shared_lock;
using runtime::wait_reason;

bool asked_to_yield() {
    using namespace runtime;
    const g* gp = getg();
    if (!gp) return false;
    std::uint32_t r = gp->mp->retake.load(memory_order_relaxed);  // relaxed: a hint; the crossing looks again
    const bool asked = r & (rt_preempt | rt_stop | rt_phase | rt_points) && !(r & rt_outside);
    return asked || !(r & rt_live);
}

void yield_if_asked() {
    if (asked_to_yield()) runtime::runtime_call rc;
}

bool mutex_lock_slow(lock_state& l, std::int64_t ns) {
    return runtime::lock_exclusive(l, {lk_locked, nullptr, wait_reason::mutex_lock, runtime::mutex_timed_out, &l}, ns);
}

void mutex_unlock_slow(lock_state& l) {
    // relaxed: whoever holds it sees his own lk_locked.
    if (!(l.word.load(std::memory_order_relaxed) & lk_locked)) runtime::fatal("sync: unlock of unlocked mutex");
    runtime::unlock_exclusive(l, nullptr);
}

bool shared_lock_slow(lock_state& l, waitlist& readers, std::int64_t ns) {
    shared_lock both{l, readers};
    runtime::kind k{~(lk_queued | lk_woken), &readers, wait_reason::rwmutex_lock, runtime::shared_timed_out, &both};
    return runtime::lock_exclusive(l, k, ns);
}

void shared_unlock_slow(lock_state& l, waitlist& readers) {
    // relaxed: whoever holds it sees his own lk_locked.
    if (!(l.word.load(std::memory_order_relaxed) & lk_locked)) runtime::fatal("sync: Unlock of unlocked RWMutex");
    runtime::unlock_exclusive(l, &readers);
}

void shared_lock_shared_slow(lock_state& l, waitlist& readers) { runtime::lock_shared(l, readers); }
void shared_unlock_shared_slow(lock_state& l, waitlist& readers) { runtime::unlock_shared(l, readers); }

}  // namespace rt0::detail
