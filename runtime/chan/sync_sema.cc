// semaphore, the slow paths.
//
//   SA1  Bit 0 of the word is set exactly when somebody is on the list; then there are no
//        permits in the word: they go straight to the first in line, so the order is
//        that of asking and a newcomer cannot overtake.
//   SA2  The releaser's last access is the CAS that lets others through, or it hands the
//        permits to goroutines that are still parked while it touches the queue.  Permits that are left
//        over are put into the word after the queue's lock: who takes one may be the last to use the semaphore.
#include "chan/waitq.h"

namespace rt0::detail {

using runtime::guard;
using runtime::lock_of;
using runtime::wait_reason;
using runtime::waiter;

namespace {

constexpr std::uint64_t queued = 1;
constexpr std::uint64_t max_permits = std::numeric_limits<std::ptrdiff_t>::max() >> 2;  // semaphore::max()

// With the lock (SA1).
void fix_queued(sema_state& s) {
    // relaxed: the bit only says where to look, under the queue's lock.
    if (!s.q.list.head) s.word.fetch_and(~queued, std::memory_order_relaxed);
}

waitlist sema_timed_out(void* owner) {
    fix_queued(*static_cast<sema_state*>(owner));
    return {};
}

}  // namespace

bool sema_acquire_slow(sema_state& s, std::int64_t ns) {
    runtime::runtime_call rc;
    waiter w(rc.gp, s.q, sema_timed_out, &s);
    w.arm(runtime::deadline_after(ns));
    auto& l = lock_of(s.q);
    l.lock();
    std::uint64_t word = s.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        bool got = word >= 2;
        if (!got && w.expired) {
            l.unlock();
            return false;
        }
        // ORDER(sema): acquire if there is a permit; pairs with the release in release().
        if (!cas(s.word, word, got ? word - 2 : word | queued, std::memory_order_acquire))
            continue;
        if (got) {
            l.unlock();
            return true;
        }
        break;
    }
    w.enqueue(s.q.list);
    w.park(l, wait_reason::semacquire);
    return w.success;
}

namespace {

// Puts k permits into the word, if nobody waits.  False: somebody does; word is what was seen.
bool put_permits(sema_state& s, std::uint64_t k, std::uint64_t& word, bool* too_many) {
    while (!(word & queued)) {
        if ((*too_many = (word >> 1) + k > max_permits)) return true;
        // ORDER(sema): release; pairs with the acquires of who takes a permit.
        if (cas(s.word, word, word + (k << 1), std::memory_order_release)) return true;
    }
    return false;
}

}  // namespace

void sema_release_slow(sema_state& s, std::uint64_t k) {
    bool too_many = false;
    std::uint64_t word = s.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (!put_permits(s, k, word, &too_many)) {
        runtime::runtime_call rc;
        waitlist wake;
        do {  // again, where timeouts emptied the queue between two looks, or permits are left
            guard g(lock_of(s.q));
            const bool any = s.q.list.head;
            while (k && s.q.list.head) {
                waiter* w = runtime::dequeue(s.q.list);
                w->success = true;
                runtime::collect(wake, w);
                k--;
            }
            // Those that are left follow without the lock (SA2).  relaxed: no permit is in it.
            if (any && !s.q.list.head) s.word.store(0, std::memory_order_relaxed);
            word = s.word.load(std::memory_order_relaxed);  // relaxed: as above
        } while (k && !put_permits(s, k, word, &too_many));
        if (wake.head) runtime::let_go(wake);
    }
    if (too_many) throw_invalid("semaphore: count out of range");
}

}  // namespace rt0::detail
