// wait_group and the gates: once, latch, barrier.
//
//   GR1  wait_group: the word counts waiters in its lower half; a waiter adds itself under the queue's lock, which is held
//        until it is on the list.  The step that makes the counter zero takes the waiters out of the word, and whoever made
//        it lets as many go, the first on the list.  So a waiter is let go by one zero, one that came after it began to
//        wait, and those that a zero has yet to let go keep the group alive.  Were they counted down later, under the lock:
//
//            waiter A          B                             C
//            waits: (1,1)
//                              done(): zero, saw 1 waiter
//                                                            add(1), done(): zero, saw 1 waiter, lets A go
//            add(1), waits
//                              lets A go: too early, or out of memory that A has freed
//
//   GA1  gate: who opens it takes the waiters off first and opens by one CAS as its last
//        access; somebody who queues in between makes the CAS fail, and it starts over.
//        Waiters so taken are readied after that.
#include "chan/waitq.h"

#include <stdexcept>

#include <rt0/go.h>

#include "base/throw.h"

namespace rt0::detail {

using runtime::guard;
using runtime::lock_of;
using runtime::wait_reason;
using runtime::waiter;

namespace {

void append(waitlist& to, waitlist l) {
    if (!l.head) return;
    l.head->prev = to.tail;
    (to.tail ? to.tail->next : to.head) = l.head;
    to.tail = l.tail;
}

}  // namespace

void group_wait_slow(group_state& s) {
    runtime::runtime_call rc;
    waiter w(rc.gp, s.q);
    auto& l = lock_of(s.q);
    l.lock();
    std::uint64_t word = s.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        bool zero = word < group_one;
        // ORDER(group): acquire if it is zero; pairs with the acq_rel in wait_group::add.
        if (!cas(s.word, word, zero ? word : word + 1, std::memory_order_acquire))
            continue;
        if (zero) return l.unlock();
        break;
    }
    w.enqueue(s.q.list);
    w.park(l, wait_reason::waitgroup_wait);
}

// The counter reached zero with n waiters, n > 0; they are pinned by their being parked, and s by them.
void group_release(group_state& s, std::uint32_t n) {
    runtime::runtime_call rc;
    waitlist wake;
    {
        guard g(lock_of(s.q));
        while (n-- != 0) {
            waiter* w = runtime::dequeue(s.q.list);
            if (!w) runtime::runtime_throw("wait_group: fewer waiters than its word said");
            runtime::collect(wake, w);
        }
    }
    runtime::let_go(wake);
}

void group_negative() { rt0::panic("sync: negative WaitGroup counter"); }

void gate_wait(gate& g, bool (*closed)(std::uint64_t, std::uint64_t), std::uint64_t arg) {
    runtime::runtime_call rc;
    waiter w(rc.gp, g.q);
    auto& l = lock_of(g.q);
    l.lock();
    std::uint64_t word = g.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
        bool in = !closed(word, arg);
        // ORDER(gate): acquire if it is open; pairs with the release in gate_open.
        if (!cas(g.word, word, in ? word : word | gate_queued, std::memory_order_acquire))
            continue;
        if (in) return l.unlock();
        break;
    }
    w.enqueue(g.q.list);
    w.park(l, wait_reason::semacquire);
}

void gate_open(gate& g, std::uint64_t from, std::uint64_t to) {
    waitlist wake;
    for (std::uint64_t word = from;;) {
        // ORDER(gate): release (acq_rel: and what the others brought); pairs with the
        // acquires in gate_wait and of the fast paths (once, latch, barrier).
        if (cas_strong(g.word, word, to, std::memory_order_acq_rel)) break;
        runtime::runtime_call rc;
        guard l(lock_of(g.q));
        append(wake, runtime::dequeue_all(g.q.list));
        // relaxed: the bit only says where to look, under the queue's lock.
        g.word.fetch_and(~gate_queued, std::memory_order_relaxed);
        word = from;
    }
    if (!wake.head) return;
    runtime::runtime_call rc;
    runtime::let_go(wake);
}

void throw_invalid(const char* what) { throw std::invalid_argument(what); }

}  // namespace rt0::detail
