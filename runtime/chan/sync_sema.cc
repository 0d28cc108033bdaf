// semaphore, the slow paths.
//
//   SE1  Bit 0 of the word is set exactly when somebody is on the list; then there are no
//        permits in the word: they go straight to the first in line, so the order is
//        that of asking and a newcomer cannot overtake.
//   SE2  The releaser's last access is the CAS that lets others through, or it hands the
//        permits to goroutines that are still parked while it touches the queue.
#include "chan/waitq.h"

namespace rt0::detail {

using runtime::guard;
using runtime::lock_of;
using runtime::wait_reason;
using runtime::waiter;

namespace {

constexpr std::uint64_t queued = 1;
constexpr std::uint64_t max_permits = std::numeric_limits<std::ptrdiff_t>::max() >> 2;  // semaphore::max()

// With the lock (SE1).
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

void sema_release_slow(sema_state& s, std::uint64_t k) {
    // A loop: the queue may be emptied by timeouts between two looks.
    std::uint64_t word = s.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        if (!(word & queued)) {
            if ((word >> 1) + k > max_permits) throw_invalid("semaphore: count out of range");
            // ORDER(sema): release; pairs with the acquires of who takes a permit.
            if (cas(s.word, word, word + (k << 1), std::memory_order_release))
                return;
            continue;
        }
        runtime::runtime_call rc;
        waitlist wake;
        {
            guard g(lock_of(s.q));
            while (k && s.q.list.head) {
                waiter* w = runtime::dequeue(s.q.list);
                w->success = true;
                runtime::collect(wake, w);
                k--;
            }
            if (wake.head) {
                // The list is empty if permits are left: they become visible with the bit's going.
                // ORDER(sema): release; pairs with the acquires of who takes a permit.
                if (!s.q.list.head) s.word.store(k << 1, std::memory_order_release);
            }
        }
        if (wake.head) return runtime::let_go(wake);
        word = s.word.load(std::memory_order_relaxed);  // relaxed: as above
    }
}

}  // namespace rt0::detail
