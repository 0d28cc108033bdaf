// hchan: a channel, and the steps on it that are taken under its lock.
//
//   CH1  All fields are protected by the channel's lock but those that say otherwise.
//   CH2  A goroutine waits on a channel through a sudog on its own stack, queued under
//        the lock; the lock is dropped only when its context is saved (gopark's unlockf).
//        Whoever takes a sudog off its queue owns it, and nobody else does, until it
//        readies the goroutine: then the sudog may be gone at any moment.
//   CH3  A sudog of a select (isselect) is won only by turning its G's selectdone from 0
//        to 1; one that is lost is dropped from the queue and the next is tried.
//   CH4  recvq and sendq do not both hold a goroutine that could go, but for one select
//        that waits on both sides of a channel: it never meets itself.
//   CH5  Goroutines are readied with no channel lock held: woken under a lock that he needs, somebody loses milliseconds.
//   CH6  With one P no lock is taken.  Every step on a channel is taken inside the runtime with a P held
//        (upcross.h UC1), no P changes hands between lockchan and unlockchan, and the
//        number of Ps changes only while the world is stopped, that is with nobody
//        inside.  So one P is the lock; debug builds check that nobody meets anybody.
//   CH7  npark counts the sudogs queued here, those of selects that were won but not
//        yet taken note of, and chains of moves that are under way (MV7); while it is not 0 the channel is not freed: a parked
//        goroutine keeps its channel as if it held a handle.
//
// Elements (rt0/detail/chan_core.h, EK1).  plain (boxed too): buf is a ring of them, and
// CP1  recvq not empty => qcount is 0 and not closed; sendq not empty => qcount is dataqsiz
//      and not closed.
// moved: chan_moved.cc.  Rejected: one ring with a state per slot, claimed in order under
// the lock and filled outside it; whoever comes after a slow move would wait for it.
// Source: Go's chan.go.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <rt0/detail/chan_core.h>

#include "base/atomic.h"
#include "base/chaos.h"
#include "base/lock.h"
#include "base/throw.h"
#include "sched/g.h"
#include "sched/sched.h"

namespace rt0::runtime {

using detail::elem_type;

// Tries to be the one who wakes gp out of its select or timed wait.
inline bool win_select(g* gp) {
    std::uint32_t open = 0;
    // ORDER(selectdone): seq_cst; pairs with itself and open_race (SR2): the winner sees the wait set up, and whoever
    // comes second sees it won.
    return gp->selectdone.compare_exchange_strong(open, 1, memory_order_seq_cst, memory_order_seq_cst);
}

// A queue of sudogs, first in first out.  Under the channel's lock, but for empty_now().
class chanq {
public:
    void enqueue(sudog* sg) {
        sg->next = nullptr;
        sg->prev = last_;
        if (last_) last_->next = sg;
        else set_first(sg);
        last_ = sg;
    }
    // The next that can go; it is the caller's (CH2, CH3).
    inline sudog* dequeue();
    // Takes sg out if it is still there.
    bool remove(sudog* sg) {
        // An sg already dropped has no neighbours and is not the first (enqueue, unlink).
        if (!sg->prev && first() != sg) return false;
        unlink(sg);
        return true;
    }
    // relaxed: read under the lock; empty_now is for those without it.
    sudog* first() const { return first_.load(memory_order_relaxed); }
    bool empty_now() const {
        // ORDER(chan_peek): acquire; pairs with the releases of chan_peek in hchan's writers.
        return first_.load(memory_order_acquire) == nullptr;
    }

private:
    void set_first(sudog* sg) {
        // ORDER(chan_peek): release; pairs with the acquire in empty_now().
        first_.store(sg, memory_order_release);
    }
    void unlink_first(sudog* sg) {
        sudog* next = sg->next;
        set_first(next);
        if (next) next->prev = nullptr;
        else last_ = nullptr;
        sg->next = nullptr;
    }
    void unlink(sudog* sg) {
        if (sg->prev) sg->prev->next = sg->next;
        else set_first(sg->next);
        if (sg->next) sg->next->prev = sg->prev;
        else last_ = sg->prev;
        sg->next = sg->prev = nullptr;
    }

    atomic<sudog*> first_{nullptr};  // [lock] to write
    sudog* last_ = nullptr;          // [lock]
};

struct hchan : detail::chan_head {
    // chan_head: refs [atomic], qcount [lock to write], dataqsiz [const]
    spin_mutex lock{lock_rank::hchan};  // of all that says [lock]; CH6
    atomic<bool> closed{false};      // [lock to write]
    bool orphan GUARDED_BY(lock) = false;  // no handle is left: whoever leaves last frees it [lock]
    bool moves = false;              // elements are `moved` [const]
    bool quick = false;              // elements of a common size, and a buffer for them: chansend and chanrecv [const]
#ifdef RT0_DEBUG
    bool busy GUARDED_BY(lock) = false;  // somebody is between lockchan and unlockchan [lock]
#endif
    std::size_t elemsize = 0;        // bytes from one slot to the next [const]
    char* buf = nullptr;             // dataqsiz slots [const]
    std::size_t sendx GUARDED_BY(lock) = 0;    // where the next element goes in the ring [lock]
    std::size_t recvx GUARDED_BY(lock) = 0;    // where the next comes from [lock]
    chanq recvq GUARDED_BY(lock);              // [lock]
    chanq sendq GUARDED_BY(lock);              // [lock]
    std::uint32_t npark GUARDED_BY(lock) = 0;  // CH7 [lock]

    // moved elements only (chan_moved.cc)
    std::uint32_t filling GUARDED_BY(lock) = 0;  // nodes being filled [lock]
    void** ring = nullptr;           // dataqsiz pointers to full nodes [const]
    void* freenode GUARDED_BY(lock) = nullptr;  // stack of empty nodes, linked through their first word [lock]
    std::size_t fresh GUARDED_BY(lock) = 0;     // nodes buf[fresh..] were never used [lock]

    const elem_type* type = nullptr; // [const]

    // relaxed: written under the lock, which the caller holds.
    std::size_t count() const { return qcount.load(memory_order_relaxed); }
    bool is_closed() const { return closed.load(memory_order_relaxed); }
    void set_count(std::size_t n) {
        // ORDER(chan_peek): release; pairs with the acquires in full_now() and empty_now().
        qcount.store(n, memory_order_release);
    }
    std::size_t after(std::size_t x) const { return x + 1 == dataqsiz ? 0 : x + 1; }
    void* slot(std::size_t x) const { return buf + x * elemsize; }
};
static_assert(std::is_base_of_v<detail::chan_head, hchan>);

// ---- the lock (CH6).  None of these is analysed: with one P, that is the lock.
inline void note_locked([[maybe_unused]] hchan* c) NO_THREAD_SAFETY_ANALYSIS {
    chaos_pause_debug(window::chan_locked);
#ifdef RT0_DEBUG
    if (c->busy) runtime_throw("two goroutines inside one channel");
    c->busy = true;
#endif
}
inline void lockchan(hchan* c) ACQUIRE(c->lock) NO_THREAD_SAFETY_ANALYSIS {
    if (!one_p()) c->lock.lock();
    note_locked(c);
}
inline bool trylockchan(hchan* c) TRY_ACQUIRE(true, c->lock) NO_THREAD_SAFETY_ANALYSIS {
    if (!one_p() && !c->lock.try_lock()) return false;
    note_locked(c);
    return true;
}
inline void unlockchan(hchan* c) RELEASE(c->lock) NO_THREAD_SAFETY_ANALYSIS {
#ifdef RT0_DEBUG
    c->busy = false;
#endif
    if (!one_p()) c->lock.unlock();
}

// For where clang does not see that it is held: taken in a loop, or under another name.
inline void assert_locked([[maybe_unused]] const hchan* c) ASSERT_CAPABILITY(c->lock) {
#ifdef RT0_DEBUG
    if (!one_p() && !c->lock.is_locked()) runtime_throw("a channel is used without its lock");
#endif
}

inline sudog* chanq::dequeue() {
    while (sudog* sg = first()) {
        unlink_first(sg);
        if (sg->isselect) {
            if (!win_select(sg->gp)) continue;
            sg->gp->param = sg;
        } else {
            assert_locked(sg->c);
            sg->c->npark--;  // it will not look at the channel again (CH7); a select will
        }
        return sg;
    }
    return nullptr;
}

inline void park_on(chanq& q, hchan* c, sudog* sg) REQUIRES(c->lock) {
    q.enqueue(sg);
    c->npark++;
}

// Bytes of one element.  The common sizes without a call.
inline bool is_common_size(std::size_t n) { return n == 8 || n == 4 || n == 16; }
inline void copy_common(void* to, const void* from, std::size_t n) {
    if (n == 8) [[likely]] std::memcpy(to, from, 8);
    else if (n == 4) std::memcpy(to, from, 4);
    else std::memcpy(to, from, 16);
}
inline void copy_elem(void* to, const void* from, std::size_t n) {
    if (is_common_size(n)) [[likely]] copy_common(to, from, n);
    else std::memcpy(to, from, n);
}

// ---- what an operation can do at once
enum class tried : std::uint8_t { blocks, went, closed };

// What went needs afterwards, with the lock dropped.
struct claim {
    sudog* sg = nullptr;   // plain: a goroutine to ready.  moved: a partner to move from or to, then to ready
    void* node = nullptr;  // moved: a node to fill or to empty
};

// plain: the element is copied here.  The two everyday cases first, room and nobody waiting,
// short enough to stand in every caller.
template <auto copy = copy_elem>
inline bool send_quick(hchan* c, const void* elem) REQUIRES(c->lock) {
    const std::size_t n = c->count();
    if (n == c->dataqsiz || c->recvq.first() || c->is_closed()) return false;
    copy(c->slot(c->sendx), elem, c->elemsize);
    c->sendx = c->after(c->sendx);
    c->set_count(n + 1);
    return true;
}
template <auto copy = copy_elem>
inline bool recv_quick(hchan* c, void* elem) REQUIRES(c->lock) {
    const std::size_t n = c->count();
    if (n == 0 || c->sendq.first()) return false;
    copy(elem, c->slot(c->recvx), c->elemsize);
    c->recvx = c->after(c->recvx);
    c->set_count(n - 1);
    return true;
}
[[gnu::always_inline]] inline tried send_plain(hchan* c, const void* elem, claim& k) REQUIRES(c->lock) {
    if (c->is_closed()) [[unlikely]] return tried::closed;
    if (c->recvq.first()) {
        if (sudog* sg = c->recvq.dequeue()) {
            copy_elem(sg->elem, elem, c->elemsize);
            sg->success = true;
            k.sg = sg;
            return tried::went;
        }
    }
    return send_quick(c, elem) ? tried::went : tried::blocks;
}
[[gnu::always_inline]] inline tried recv_plain(hchan* c, void* elem, claim& k) REQUIRES(c->lock) {
    const std::size_t n = c->count();
    if (c->sendq.first()) {
        if (sudog* sg = c->sendq.dequeue()) {
            // Its value is the youngest (CP1: the buffer is full, or there is none).
            if (n == 0) {
                copy_elem(elem, sg->elem, c->elemsize);
            } else {
                copy_elem(elem, c->slot(c->recvx), c->elemsize);
                copy_elem(c->slot(c->recvx), sg->elem, c->elemsize);
                c->recvx = c->sendx = c->after(c->recvx);
            }
            sg->success = true;
            k.sg = sg;
            return tried::went;
        }
    }
    if (recv_quick(c, elem)) return tried::went;
    return c->is_closed() ? tried::closed : tried::blocks;
}
// moved: a partner or a node is claimed; the move follows outside the lock (chan_moved.cc).
tried send_moved(hchan* c, claim& k) REQUIRES(c->lock);
tried recv_moved(hchan* c, claim& k) REQUIRES(c->lock);
// Runs what a claim on a moved channel needs.  Outside the runtime and every lock.
void finish_send(hchan* c, void* elem, const claim& k);
void finish_recv(hchan* c, void* elem, const claim& k);

// ---- channels of plain elements for the runtime's own use: inside a runtime call or, not
// blocking, in a timer's callback.
hchan* makechan(const elem_type& t, std::size_t cap);  // null: refused
op_status chansend(g* gp, hchan* c, const void* elem, bool block);
op_status chanrecv(g* gp, hchan* c, void* elem, bool block);
bool chanparkcommit(g*, void* c);  // gopark's unlockf: drops c's lock
// Not analysed: it is chanparkcommit that drops the lock, on another stack.
inline void gopark_unlockchan(hchan* c, wait_reason why) RELEASE(c->lock) NO_THREAD_SAFETY_ANALYSIS {
    gopark(chanparkcommit, c, why);
}
void release_chan(hchan* c);       // frees it and what is left in it: no handle, nobody parked

}  // namespace rt0::runtime
