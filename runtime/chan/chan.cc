// Channels: making, freeing, closing, and sending and receiving plain elements.
//
// A channel is one piece of memory: hchan, for moved elements the ring of node pointers,
// then dataqsiz slots.  It comes from rtalloc, or, on a thread without a goroutine (a
// static constructor before main, a destructor after it), from the central lists.
//
// Without the lock a try_… may only say "no": full_now() and empty_now() are read first,
// `closed` after them.  A channel never reopens, so one that is open at the second look
// was open at the first, and at that moment it was full (empty): that moment is where
// the operation takes effect.  In the other order it would be wrong:
//
//     try_send                          recv, parked; then close
//     closed? no
//                                       close: takes the receiver off, wakes it
//     receiver waiting? no: would_block     never was it open with nobody waiting
//
// Everything else is decided under the lock, by send_plain and recv_plain or their quick parts (hchan.h).
// Source: Go's chan.go.
#include "chan/hchan.h"

#include <new>
#include <stdexcept>

#include <rt0/chan.h>

#include "base/config.h"
#include "base/forked.h"
#include "mem/mem.h"
#include "sched/probe.h"
#include "sched/upcross.h"

namespace rt0::runtime {

namespace {

// These two are not analysed: chanq::empty_now is for those without the lock.
bool full_now(const hchan* c) NO_THREAD_SAFETY_ANALYSIS {
    if (c->dataqsiz == 0) return c->recvq.empty_now();
    // ORDER(chan_peek): acquire; pairs with the release in set_count(): `closed` is read after it.
    return c->qcount.load(memory_order_acquire) == c->dataqsiz;
}
bool empty_now(const hchan* c) NO_THREAD_SAFETY_ANALYSIS {
    if (c->dataqsiz == 0) return c->sendq.empty_now();
    // ORDER(chan_peek): acquire; pairs with the release in set_count(): `closed` is read after it.
    return c->qcount.load(memory_order_acquire) == 0;
}
bool closed_now(const hchan* c) {
    chaos_pause_debug(window::chan_peek);
    // ORDER(chan_closed): acquire; pairs with the release in closechan: who sees it closed
    // sees every element that went in before.
    return c->closed.load(memory_order_acquire);
}

std::size_t round_up(std::size_t n, std::size_t to) {
    return (n + to - 1) & ~(to - 1);
}

// Whether this thread may enter the runtime for a channel's memory: not before the boot, in exit() or in a forked
// child, whose exit() frees channels too (FO4): the locks that others held stay locked there.
bool may_enter() {
    // relaxed: a thread that is past exit() set it itself.
    return gomaxprocs_now.load(memory_order_relaxed) != 0 && !sched.exiting.load(memory_order_relaxed) && !kernel::forked();
}
void* chan_alloc(std::size_t n) {
    forked_child_check();
    if (getg() && may_enter()) {
        runtime_call rc;
        return rtalloc(n);
    }
    mallocinit();
    return mallocrt(nullptr, n);
}
void chan_dealloc(void* p) {
    if (kernel::forked()) return;  // another thread may have held the heap's lock; the memory ends with the child
    if (getg() && may_enter()) {
        runtime_call rc;
        rtfree(p);
    } else {
        freert(nullptr, p);
    }
}

struct chan_layout {
    std::size_t elemsize, ring, buf, total;  // bytes; offsets
};
// False for a capacity beyond all bounds.
bool layout_of(const elem_type& t, std::size_t cap, chan_layout* l) {
    // A moved element's node holds the link of the free list while it is empty.
    std::size_t size = t.size, align = t.align;
    if (t.move) {
        align = align < alignof(void*) ? alignof(void*) : align;
        size = round_up(size < sizeof(void*) ? sizeof(void*) : size, align);
    }
    std::size_t each = 0, all = 0;
    if (__builtin_add_overflow(size, t.move ? sizeof(void*) : 0, &each)) return false;
    if (__builtin_mul_overflow(each, cap, &all) || all > cfg::chan_max_bytes) return false;
    l->elemsize = size;
    l->ring = sizeof(hchan);
    l->buf = round_up(l->ring + (t.move ? cap * sizeof(void*) : 0), 16);
    // Memory comes aligned to 16 (mem.h): what needs more gets room to shift in.
    l->total = l->buf + (align > 16 ? align : 0) + cap * size;
    return true;
}

// Not analysed: nobody else knows c any more.
void drain(hchan* c) NO_THREAD_SAFETY_ANALYSIS {
    const elem_type& t = *c->type;
    if (!t.destroy) return;
    for (std::size_t n = c->count(); n != 0; n--) {
        t.destroy(c->moves ? c->ring[c->recvx] : c->slot(c->recvx));
        c->recvx = c->after(c->recvx);
    }
}

hchan* build(void* mem, const elem_type& t, std::size_t cap, const chan_layout& l) {
    hchan* c = ::new (mem) hchan;
    const auto base = reinterpret_cast<std::uintptr_t>(mem);
    c->dataqsiz = cap;
    c->elemsize = l.elemsize;
    c->type = &t;
    c->moves = t.move != nullptr;
    c->quick = cap != 0 && !c->moves && is_common_size(l.elemsize);
    c->ring = reinterpret_cast<void**>(base + l.ring);
    c->buf = reinterpret_cast<char*>(round_up(base + l.buf, t.align > 16 ? t.align : 16));
    return c;
}

op_status to_status(tried t) {
    return t == tried::went ? op_status::ok : op_status::closed;
}

}  // namespace

hchan* makechan(const elem_type& t, std::size_t cap) {
    chan_layout l;
    if (!layout_of(t, cap, &l)) return nullptr;
    void* mem = rtalloc(l.total);
    return mem ? build(mem, t, cap, l) : nullptr;
}

void release_chan(hchan* c) {
    drain(c);
    c->~hchan();
    chan_dealloc(c);
}

// Not analysed: it was locked by whoever parks.
bool chanparkcommit(g*, void* c) NO_THREAD_SAFETY_ANALYSIS {
    unlockchan(static_cast<hchan*>(c));
    return true;
}

// Parks gp on q; the lock is held and is dropped.  ok: a partner took or brought the value.
[[gnu::noinline]] static op_status park(g* gp, hchan* c, chanq& q, void* elem, wait_reason why)
    RELEASE(c->lock) {
    sudog sg;
    sg.gp = gp;
    sg.elem = elem;
    sg.c = c;
    park_on(q, c, &sg);
    gopark_unlockchan(c, why);
    return sg.success ? op_status::ok : op_status::closed;  // c may be gone (CH7)
}

static void ready_partner(const sudog* sg) {
    chaos_pause_debug(window::chan_ready);
    goready(sg->gp);
}

[[gnu::always_inline]] static inline op_status send_inside(g* gp, hchan* c, const void* elem, bool block) {
    RT0_PROBE_G(chansend, gp, c);
    if (!block && full_now(c) && !closed_now(c)) return op_status::would_block;
    claim k;
    lockchan(c);
    const tried t = send_plain(c, elem, k);
    if (t == tried::blocks && block)
        return park(gp, c, c->sendq, const_cast<void*>(elem), wait_reason::chan_send);
    unlockchan(c);
    if (k.sg) ready_partner(k.sg);
    return t == tried::blocks ? op_status::would_block : to_status(t);
}

[[gnu::always_inline]] static inline op_status recv_inside(g* gp, hchan* c, void* elem, bool block) {
    RT0_PROBE_G(chanrecv, gp, c);
    if (!block && empty_now(c)) {
        if (!closed_now(c)) return op_status::would_block;
        // Closed: what was sent before is seen now, and nothing comes after.
        if (empty_now(c)) return op_status::closed;
    }
    claim k;
    lockchan(c);
    const tried t = recv_plain(c, elem, k);
    if (t == tried::blocks && block) return park(gp, c, c->recvq, elem, wait_reason::chan_receive);
    unlockchan(c);
    if (k.sg) ready_partner(k.sg);
    return t == tried::blocks ? op_status::would_block : to_status(t);
}

op_status chansend(g* gp, hchan* c, const void* elem, bool block) {
    return send_inside(gp, c, elem, block);
}
op_status chanrecv(g* gp, hchan* c, void* elem, bool block) {
    return recv_inside(gp, c, elem, block);
}

// A nil channel: for ever, or not at all.
op_status nil_chan(bool block, wait_reason why) {
    if (!block) return op_status::would_block;
    runtime_call rc;
    for (;;) gopark(nullptr, nullptr, why);
}

// Moves the waiters of q to woken, linked through sudog::next.
static sudog** take_all(chanq& q, sudog** woken) {
    while (sudog* sg = q.dequeue()) {
        sg->success = false;
        *woken = sg;
        woken = &sg->next;
    }
    *woken = nullptr;
    return woken;
}
static void ready_all(sudog* sg) {
    while (sg) {
        sudog* next = sg->next;  // sg is gone once its goroutine is ready (CH2)
        if (next) {              // thousands of waiters are in no cache
            __builtin_prefetch(next->gp);
            __builtin_prefetch(next->next);
        }
        goready_tail(sg->gp);
        sg = next;
    }
}
// Receivers of a closed channel that holds nothing and will get nothing more.
sudog* take_receivers(hchan* c) REQUIRES(c->lock) {
    sudog* woken = nullptr;
    if (c->is_closed() && c->filling == 0 && c->count() == 0) take_all(c->recvq, &woken);
    return woken;
}
void ready_list(sudog* sg) { ready_all(sg); }

static detail::close_status close_locked(hchan* c) {
    lockchan(c);
    if (c->is_closed()) {
        unlockchan(c);
        return detail::close_status::again;
    }
    // ORDER(chan_closed): release; pairs with the acquire in closed_now().
    c->closed.store(true, memory_order_release);
    sudog* woken = nullptr;
    sudog** end = take_all(c->sendq, &woken);
    // While a moved element is on its way in, receivers wait for it.
    *end = take_receivers(c);
    unlockchan(c);
    chaos_pause_debug(window::chan_ready);
    ready_all(woken);
    return detail::close_status::ok;
}

}  // namespace rt0::runtime

namespace rt0::detail {

using namespace runtime;

hchan* makechan(const elem_type& t, std::size_t cap) {
    chan_layout l;
    if (!layout_of(t, cap, &l)) throw std::length_error("rt0::chan: capacity out of range");
    void* mem = chan_alloc(l.total);
    if (!mem) throw std::bad_alloc();
    return build(mem, t, cap, l);
}

// Not analysed: where this thread may not enter no lock is taken.
void freechan(hchan* c) noexcept NO_THREAD_SAFETY_ANALYSIS {
    bool mine;
    if (may_enter()) {
        runtime_call rc;
        lockchan(c);
        mine = c->npark == 0;
        c->orphan = !mine;
        unlockchan(c);
    } else {
        // Before the first or after the last goroutine.  In a forked child somebody may have been inside: his channel is
        // left as it is.  With one P no lock would tell (CH6).
        mine = c->npark == 0 && !c->lock.is_locked() && !(kernel::forked() && one_p());
    }
    if (mine) release_chan(c);
}

namespace {

// A buffer with room, or with something in it, and nobody waiting, is what a channel is for: that way stands alone, without
// a frame.  (An element of chan_spsc takes 145 instructions with it, the loops around included, and took 186.)
[[gnu::noinline]] op_status send_any(hchan* c, void* elem, bool block) noexcept {
    if (!c) [[unlikely]] return nil_chan(block, wait_reason::chan_send_nil);
    runtime_call rc;
    return send_inside(rc.gp, c, elem, block);
}
[[gnu::noinline]] op_status recv_any(hchan* c, void* elem, bool block) noexcept {
    if (!c) [[unlikely]] return nil_chan(block, wait_reason::chan_receive_nil);
    runtime_call rc;
    return recv_inside(rc.gp, c, elem, block);
}
[[gnu::noinline]] op_status asked_meanwhile(g* gp) noexcept {
    runtime_call_leave_slow(gp);
    return op_status::ok;
}
}  // namespace

// Not analysed, both: it is locked in one branch only.
op_status chansend(hchan* c, void* elem, bool block) noexcept NO_THREAD_SAFETY_ANALYSIS {
    if (!c || !c->quick) [[unlikely]] return send_any(c, elem, block);
    g* gp = getg();
    if (m* mp = enter_quick(gp)) [[likely]] {
        if (trylockchan(c)) {
            const bool sent = send_quick<copy_common>(c, elem);
            if (sent) RT0_PROBE_WITH(chansend, gp->goid, mp->id, mp->pp->id, c);
            unlockchan(c);
            if (sent) [[likely]] return leave_quick(mp) ? op_status::ok : asked_meanwhile(gp);
        }
        abandon_quick(mp);
    }
    return send_any(c, elem, block);
}

op_status chanrecv(hchan* c, void* elem, bool block) noexcept NO_THREAD_SAFETY_ANALYSIS {
    if (!c || !c->quick) [[unlikely]] return recv_any(c, elem, block);
    g* gp = getg();
    if (m* mp = enter_quick(gp)) [[likely]] {
        if (trylockchan(c)) {
            const bool received = recv_quick<copy_common>(c, elem);
            if (received) RT0_PROBE_WITH(chanrecv, gp->goid, mp->id, mp->pp->id, c);
            unlockchan(c);
            if (received) [[likely]] return leave_quick(mp) ? op_status::ok : asked_meanwhile(gp);
        }
        abandon_quick(mp);
    }
    return recv_any(c, elem, block);
}

op_status chan_peek_send(hchan* c) noexcept {
    if (!c) return op_status::would_block;
    const bool full = full_now(c);
    if (closed_now(c)) return op_status::closed;
    return full ? op_status::would_block : op_status::ok;
}

close_status closechan(hchan* c) noexcept {
    if (!c) return close_status::nil;
    runtime_call rc;
    RT0_PROBE_G(closechan, rc.gp, c);
    return close_locked(c);
}

void throw_closed_channel(chan_misuse what) {
    switch (what) {
        case chan_misuse::send_closed: throw closed_channel("send on closed channel");
        case chan_misuse::close_closed: throw closed_channel("close of closed channel");
        case chan_misuse::close_nil: break;
    }
    throw closed_channel("close of nil channel");
}

}  // namespace rt0::detail
