// The slow paths of mutex, spin_mutex, note, and (debug builds) the check of the lock order.
//
//   LK3  a thread spins only while there is a second processor, and for a bounded time:
//        lock_active_spin rounds of PAUSE, then lock_passive_spin of sched_yield, then
//        the futex.  A futex round trip costs 20 us, a critical section 0.1.
//   LK4  (debug) the order is checked before a thread sleeps on a lock, so that a
//        deadlock by order is reported, not suffered, and after every acquisition.
// The wake-up in unlock() touches the lock after it was given up: memory that holds a
// mutex or note may be reused at once (the wake is then a spurious one for somebody
// else, which every futex loop survives), but never unmapped under a running unlock.
#include "base/lock.h"

#include <algorithm>
#include <cerrno>

#include "arch/arch.h"
#include "base/chaos.h"
#include "base/config.h"
#include "base/forked.h"
#include "base/mcore.h"
#include "base/throw.h"
#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"

namespace rt0::runtime {

int ncpu = 1;

namespace {

// Sleeps as long as *key == val and the kernel likes.
void sleep_on(const atomic<std::uint32_t>* key, std::uint32_t val, decltype(kernel::futex_wait)* wait, std::int64_t t) {
    forked_child_check();  // whoever would wake us is not there
    chaos_pause_debug(window::futex_sleep);
    int e = wait(key, val, t);
    if (e != 0 && e != -EAGAIN && e != -EINTR && e != -ETIMEDOUT) runtime_throw("futex wait failed");
}

}  // namespace

void wake_sleeper(const atomic<std::uint32_t>* key) {
    forked_child_check();
    // -EFAULT: the memory was given back between the release of the word and this call.
    int e = kernel::futex_wake(key, 1);
    if (e < 0 && e != -EFAULT) runtime_throw("futex wake failed");
}

#ifdef RT0_DEBUG

// The one definition that stands in for the scheduler's where there is none (tests of
// the lower layers).
__attribute__((weak)) mcore* upcall_mcore() { return nullptr; }

namespace {

// A switch, so that a rank without a name does not compile.
const char* rank_name(lock_rank r) {
    switch (r) {
    case lock_rank::none: return "none";
    case lock_rank::world: return "world";
    case lock_rank::retake: return "retake";
    case lock_rank::timers: return "timers";
    case lock_rank::waitq: return "waitq";
    case lock_rank::hchan: return "hchan";
    case lock_rank::sched: return "sched";
    case lock_rank::born: return "born";
    case lock_rank::gfree: return "gfree";
    case lock_rank::allg: return "allg";
    case lock_rank::allm: return "allm";
    case lock_rank::retired: return "retired";
    case lock_rank::mcentral: return "mcentral";
    case lock_rank::stackpool: return "stackpool";
    case lock_rank::stacklarge: return "stacklarge";
    case lock_rank::heap: return "heap";
    case lock_rank::handoff: return "handoff";
    case lock_rank::print: return "print";
    }
    return "?";
}

// A thread that is no M keeps its books here.
__attribute__((noinline)) mcore* this_core() {
    static thread_local mcore foreign;
    mcore* c = upcall_mcore();
    return c ? c : &foreign;
}

void check_order(const mcore* c, lock_rank r) {
    if (r == lock_rank::none) return;
    int want = static_cast<int>(r);
    for (int i = want + (r == lock_rank::hchan); i < lock_ranks; i++) {
        if (c->held[i] == 0) continue;
        static char text[128];  // the process ends here; a second thread that fails too may garble the name
        textbuf line;
        line << "lock order: " << rank_name(r) << " wanted while holding " << rank_name(static_cast<lock_rank>(i));
        std::size_t n = line.view().copy(text, sizeof text - 1);
        text[n] = 0;
        runtime_throw(text);
    }
}

}  // namespace

void lock_took(lock_rank r, const void* lock) {
    mcore* c = this_core();
    check_order(c, r);
    if (r == lock_rank::hchan) {
        if (c->held[static_cast<int>(r)] != 0 && lock <= c->last_hchan)
            runtime_throw("lock order: hchan wanted while holding one of a higher address");
        c->last_hchan = lock;
    }
    c->locks++;
    c->held[static_cast<int>(r)]++;
}

void lock_dropping(lock_rank r, bool is_locked) {
    mcore* c = this_core();
    if (!is_locked) runtime_throw("unlock of unlocked runtime mutex");
    if (c->held[static_cast<int>(r)] == 0) runtime_throw("mutex unlocked by a thread that does not hold it");
    c->locks--;
    c->held[static_cast<int>(r)]--;
}

namespace {
void check_order(lock_rank r) { check_order(this_core(), r); }
}  // namespace

#else

namespace {
void check_order(lock_rank) {}
}  // namespace

#endif

void mutex::lock_slow() {
    check_order(rank_);
    int active = ncpu > 1 ? cfg::lock_active_spin : 0;
    int spins = active + cfg::lock_passive_spin;
    std::uint32_t take = locked;  // becomes `sleeping` for good once this thread slept (LK2)
    for (;;) {
        for (int i = 0; i < spins; i++) {
            std::uint32_t free = unlocked;
            // relaxed: a look before the read-modify-write.
            // ORDER(mutex): acquire; pairs with the release in unlock().
            if (key_.load(memory_order_relaxed) == unlocked &&
                key_.compare_exchange_strong(free, take, memory_order_acquire, memory_order_relaxed))
                return;
            if (i < active)
                for (int k = 0; k < cfg::lock_active_pause; k++) arch::cpu_relax();
            else
                kernel::osyield();
        }
        // ORDER(mutex): acquire; pairs with the release in unlock().
        if (key_.exchange(sleeping, memory_order_acquire) == unlocked) return;
        take = sleeping;
        sleep_on(&key_, sleeping, kernel::futex_wait, -1);
    }
}

void mutex::wake_one() {
    chaos_pause_debug(window::mutex_wake);
    wake_sleeper(&key_);
}

void spin_mutex::lock_slow() {
    check_order(rank_);
    const int active = ncpu > 1 ? cfg::lock_active_spin : 0;
    for (std::uint32_t nap = cfg::spin_nap_min;;) {
        for (int i = 0; i <= active; i++) {
            if (!is_locked() && take()) return;
            if (i < active)
                for (int k = 0; k < cfg::lock_active_pause; k++) arch::cpu_relax();
            else
                kernel::osyield();
        }
        if (!is_locked() && take()) return;
        forked_child_check();  // whoever holds it is not there
        kernel::usleep(nap);
        nap = std::min(2 * nap, cfg::spin_nap_max);
    }
}

void noteclear(note* n) {
    n->key.store(0, memory_order_relaxed);  // relaxed: whoever hands the note to a waker orders this by doing so
}

void notewakeup(note* n) {
    // ORDER(note): release; pairs with the acquires in notesleep and notetsleep.
    if (n->key.exchange(1, memory_order_release) != 0) runtime_throw("notewakeup: note already woken");
    chaos_pause_debug(window::note_wake);
    wake_sleeper(&n->key);
}

void notesleep(note* n) {
    // ORDER(note): acquire; pairs with the release in notewakeup.
    while (n->key.load(memory_order_acquire) == 0) sleep_on(&n->key, 0, kernel::futex_wait, -1);
}

bool notetsleep(note* n, std::int64_t ns) {
    if (ns < 0) {
        notesleep(n);
        return true;
    }
    std::int64_t deadline;
    if (__builtin_add_overflow(kernel::nanotime(), ns, &deadline)) deadline = INT64_MAX;
    for (;;) {
        // ORDER(note): acquire; pairs with the release in notewakeup.
        if (n->key.load(memory_order_acquire) != 0) return true;
        if (kernel::nanotime() >= deadline) return false;
        sleep_on(&n->key, 0, kernel::futex_wait_until, deadline);
    }
}

}  // namespace rt0::runtime
