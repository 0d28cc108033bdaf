// mutex, spin_mutex and note: how the runtime itself waits, below the scheduler.
//
// mutex: short critical sections of runtime code on any thread.  Three states as in
// Drepper, "Futexes are tricky" (2011), section 6: free, held, held with sleepers.
//   LK1  key is `sleeping` whenever a thread may be asleep on it; unlock wakes one then.
//   LK2  a thread that slept takes the lock in state `sleeping`, since it cannot know
//        whether others still sleep (a spare wake-up at the end, never a lost one).
// spin_mutex: for short sections that many threads go through all the time, a channel's. Test and test-and-set with
// backoff (Anderson, "The performance of spin lock alternatives", 1990): who does not get it spins, yields, then
// naps, longer each time.
//   LK5  unlocking is a store and nothing after it, no read-modify-write and no wake-up: of two threads that
//        pass a channel on, each waits for the other's cache line once and not twice.  What that costs: who lost all its
//        looks, mostly to a holder whom the kernel had put aside, comes up to spin_nap_max later than it could, and so do
//        those who wait for what it holds meanwhile (a select's other channels, a timer's P), each in turn.
// note: a one-shot event.  noteclear, then one side notewakeup, the other notesleep, in
// either order; after notesleep returned the note may be cleared and used again.
//   NT1  one notewakeup per noteclear; a second one is a broken runtime.
//   NT2  the sleeper returns only after the wake-up, whatever EINTR or spurious wakes do.
// Source of mutex and note: Go's lock_futex.go.
#pragma once
#include <cstdint>

#include "base/atomic.h"
#include "base/guarded.h"
#include "base/lockrank.h"

namespace rt0::runtime {

// The books of who holds what: LK4.
#ifdef RT0_DEBUG
inline constexpr bool lock_books = true;
void lock_took(lock_rank r, const void* lock);
void lock_dropping(lock_rank r, bool is_locked);
#else
inline constexpr bool lock_books = false;
inline void lock_took(lock_rank, const void*) {}
inline void lock_dropping(lock_rank, bool) {}
#endif

class CAPABILITY("mutex") mutex {
public:
    constexpr explicit mutex(lock_rank r = lock_rank::none) : rank_(r) {}
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    void lock() ACQUIRE() {
        std::uint32_t free = unlocked;
        // ORDER(mutex): acquire; pairs with the release in unlock().
        if (!key_.compare_exchange_strong(free, locked, memory_order_acquire, memory_order_relaxed)) [[unlikely]]
            lock_slow();
        took();
    }
    bool try_lock() TRY_ACQUIRE(true) {
        std::uint32_t free = unlocked;
        // ORDER(mutex): acquire; pairs with the release in unlock().
        if (!key_.compare_exchange_strong(free, locked, memory_order_acquire, memory_order_relaxed)) return false;
        took();
        return true;
    }
    void unlock() RELEASE() {
        dropping();
        // ORDER(mutex): release; pairs with the acquires in lock(), try_lock() and lock_slow().
        if (key_.exchange(unlocked, memory_order_release) == sleeping) [[unlikely]]
            wake_one();
    }
    // For assertions: whether anybody holds it.
    bool is_locked() const { return key_.load(memory_order_relaxed) != unlocked; }  // relaxed: a hint only

private:
    enum : std::uint32_t { unlocked, locked, sleeping };

    void lock_slow();
    void wake_one();
    void took() const { lock_took(rank_, this); }
    void dropping() const {
        if constexpr (lock_books) lock_dropping(rank_, is_locked());
    }

    atomic<std::uint32_t> key_{unlocked};
    lock_rank rank_;
};

class CAPABILITY("mutex") spin_mutex {
public:
    constexpr explicit spin_mutex(lock_rank r) : rank_(r) {}
    spin_mutex(const spin_mutex&) = delete;
    spin_mutex& operator=(const spin_mutex&) = delete;

    void lock() ACQUIRE() {
        if (!take()) [[unlikely]]
            lock_slow();
        lock_took(rank_, this);
    }
    bool try_lock() TRY_ACQUIRE(true) {
        if (!take()) return false;
        lock_took(rank_, this);
        return true;
    }
    void unlock() RELEASE() {
        if constexpr (lock_books) lock_dropping(rank_, is_locked());
        // ORDER(spin_mutex): release; pairs with the acquire in take().
        key_.store(0, memory_order_release);
    }
    // For assertions: whether anybody holds it.
    bool is_locked() const { return key_.load(memory_order_relaxed) != 0; }  // relaxed: a hint only

private:
    bool take() {
        std::uint32_t free = 0;
        // ORDER(spin_mutex): acquire; pairs with the release in unlock().
        return key_.compare_exchange_strong(free, 1, memory_order_acquire, memory_order_relaxed);
    }
    void lock_slow();

    atomic<std::uint32_t> key_{0};
    lock_rank rank_;
};

class SCOPED_CAPABILITY guard {  // std::lock_guard without its header
public:
    explicit guard(mutex& m) ACQUIRE(m) : m_(m) { m_.lock(); }
    ~guard() RELEASE() { m_.unlock(); }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;

private:
    mutex& m_;
};

struct note {
    atomic<std::uint32_t> key{0};  // 0: cleared, 1: woken
};

void noteclear(note* n);
void notewakeup(note* n);
void notesleep(note* n);
// Sleeps at most ns nanoseconds (ns < 0: for ever).  True when the wake-up came.
bool notetsleep(note* n, std::int64_t ns);

// Wakes a thread that sleeps on a word of another protocol than these.  Dies where the kernel refuses: what is lost is a
// wake-up, and nobody would come again.
void wake_sleeper(const atomic<std::uint32_t>* key);

// CPUs there are; >1 lets locks spin.  Set by osinit.
extern int ncpu;

}  // namespace rt0::runtime
