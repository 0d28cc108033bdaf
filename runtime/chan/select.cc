// selectgo: chooses among cases, parked until one can go.
//
//   1  survey: what cases there are; a random order to look at them.
//   2  Look at each in that order, under its own channel's lock only.  The first that can
//      go is chosen: each case that is ready is as likely to come first as any other.
//   3  With an otherwise, or an after that is due at once: look again with all locks
//      held, so that "none is ready" is true at one moment, and take it then.
//   4  Else arm timer and tokens, take all locks, look again; queue a sudog with every
//      channel; open the race (selrace.cc); park.  The locks are dropped once the context
//      is saved.
//   5  Woken by a partner (g.param is the sudog it served) or by timer or token: take all
//      locks, leave the other queues, disarm.
//   6  Outside the runtime: finish a claim on moved elements, free orphaned channels.
//
//   SE1  Locks are taken in the order of addresses, each channel once, however many cases
//        name it; no other code holds two.
//   SE2  A select never meets itself: in steps 2-4 none of its sudogs is queued, and once
//        they are it does nothing but wait.
//   SE3  After the last unlock in selparkcommit the goroutine may run and the selection
//        be gone; before it, the goroutine may run too (a timer readied it), but stops at the
//        first channel lock, which is dropped in the order in which it takes them.
// Source: Go's selectgo; step 2 is ours.
#include "chan/select.h"

#include <algorithm>

#include "base/config.h"
#include "sched/upcross.h"

namespace rt0::runtime {

static_assert(detail::select_inline == cfg::select_inline_cases);

namespace {

bool is_channel(const scase& k) {
    return k.kind == case_kind::recv || k.kind == case_kind::send;
}

// ---- 1
void add_poll(selection& s, std::uint32_t i) {
    std::uint32_t at = s.npoll++;
    if (!s.in_order) {  // a uniform permutation, built inside out
        const std::uint32_t j = fastrandn(s.gp->mp, at + 1);
        s.poll[at] = s.poll[j];
        at = j;
    }
    s.poll[at] = i;
}

void survey(selection& s, g* gp) {
    s.gp = gp;
    for (std::uint32_t i = 0; i < s.n; i++) {
        const scase& k = s.cases[i];
        switch (k.kind) {
            case case_kind::recv:
            case case_kind::send:
                if (!k.c) break;
                add_poll(s, i);
                if (!s.sorted) s.order[s.norder] = i;
                s.norder++;
                break;
            case case_kind::done:
                s.ndone++;
                add_poll(s, i);
                break;
            case case_kind::after:
                if (s.due < 0 || k.ns < s.cases[s.due].ns) s.due = static_cast<int>(i);
                break;
            case case_kind::otherwise:
                s.otherwise = static_cast<int>(i);
        }
    }
}

// ---- looking.  The lock of the case's channel is held.
bool take_case(selection& s, std::uint32_t i) {
    const scase& k = s.cases[i];
    tried t;
    if (k.kind == case_kind::done) {
        t = k.stop->stop_requested() ? tried::went : tried::blocks;
    } else if (k.kind == case_kind::send) {
        t = k.c->moves ? send_moved(k.c, s.k) : send_plain(k.c, k.elem, s.k);
    } else {
        t = k.c->moves ? recv_moved(k.c, s.k) : recv_plain(k.c, k.elem, s.k);
    }
    if (t == tried::blocks) return false;
    s.chosen = static_cast<int>(i);
    s.ok = t == tried::went;
    return true;
}

// Whether it is worth taking the lock.  relaxed throughout: a wrong "no" is put right by the
// look under all locks, a wrong "yes" by the one lock.
bool may_go(const scase& k) {
    const hchan* c = k.c;
    if (c->closed.load(memory_order_relaxed)) return true;
    if (k.kind == case_kind::recv) return c->count() != 0 || c->sendq.first();
    return c->count() < c->dataqsiz || c->recvq.first();
}

// What is left to do for a plain case that was taken; a moved one is finished at 6.
void ready_partner(selection& s) {
    if (s.k.sg && !s.cases[s.chosen].c->moves) goready(s.k.sg->gp);
}

// ---- 2
bool look_singly(selection& s) {
    for (std::uint32_t j = 0; j < s.npoll; j++) {
        const std::uint32_t i = s.poll[j];
        const scase& k = s.cases[i];
        if (!is_channel(k)) {
            if (take_case(s, i)) return true;
            continue;
        }
        if (!may_go(k)) continue;
        lockchan(k.c);
        const bool taken = take_case(s, i);
        unlockchan(k.c);
        if (!taken) continue;
        ready_partner(s);
        return true;
    }
    return false;
}

// ---- locks (SE1)
hchan* locked_at(const selection& s, std::uint32_t j) {  // null: a channel that is locked already
    hchan* c = s.cases[s.order[j]].c;
    return j != 0 && c == s.cases[s.order[j - 1]].c ? nullptr : c;
}
void lock_all(selection& s) {
    if (one_p()) return;  // CH6: nothing to take, so nothing to sort
    if (!s.sorted) {
        std::sort(s.order, s.order + s.norder,
                  [&s](std::uint32_t a, std::uint32_t b) { return s.cases[a].c < s.cases[b].c; });
    }
    s.sorted = true;
    for (std::uint32_t j = 0; j < s.norder; j++)
        if (hchan* c = locked_at(s, j)) lockchan(c);
}
void unlock_all(const selection& s) {
    if (one_p()) return;
    hchan* held = nullptr;
    // One behind: the last unlock comes after the last look at s (SE3).
    for (std::uint32_t j = 0; j < s.norder; j++) {
        hchan* c = locked_at(s, j);
        if (!c) continue;
        if (held) unlockchan(held);
        held = c;
    }
    if (held) unlockchan(held);
}

bool look_locked(selection& s) {
    for (std::uint32_t j = 0; j < s.npoll; j++)
        if (take_case(s, s.poll[j])) return true;
    return false;
}

// ---- 3.  Inside the runtime; false: it must wait.
bool look(selection& s, g* gp) {
    survey(s, gp);
    if (look_singly(s)) return true;
    const int now = s.due >= 0 && s.cases[s.due].ns <= 0 ? s.due : s.otherwise;
    if (now < 0) return false;
    lock_all(s);
    const bool taken = look_locked(s);
    unlock_all(s);
    if (taken) ready_partner(s);
    else s.chosen = now;
    return true;
}

// ---- 4
bool selparkcommit(g*, void* p) {
    selection* s = static_cast<selection*>(p);
    if (s->armed) {
        const bool any = s->norder != 0;
        std::uint32_t running = sel_running;
        // ORDER(sel_phase): acq_rel; pairs with the exchange in fire().
        if (!s->phase.compare_exchange_strong(running, sel_parked, memory_order_acq_rel, memory_order_acquire)) {
            unlock_all(*s);
            return false;
        }
        if (!any) return true;  // no lock holds the goroutine back: s may be gone
    }
    unlock_all(*s);
    return true;
}

void enqueue_all(selection& s) {
    for (std::uint32_t j = 0; j < s.norder; j++) {
        const std::uint32_t i = s.order[j];
        const scase& k = s.cases[i];
        sudog* sg = ::new (static_cast<void*>(&s.sgs[i])) sudog;
        sg->gp = s.gp;
        sg->elem = k.elem;
        sg->c = k.c;
        sg->index = i;
        sg->isselect = true;
        park_on(k.kind == case_kind::send ? k.c->sendq : k.c->recvq, k.c, sg);
    }
}

// ---- 5.  The locks are held.
void dequeue_all(selection& s) {
    for (std::uint32_t j = 0; j < s.norder; j++) {
        const std::uint32_t i = s.order[j];
        hchan* c = s.cases[i].c;
        sudog* sg = &s.sgs[i];
        (s.cases[i].kind == case_kind::send ? c->sendq : c->recvq).remove(sg);
        if (--c->npark == 0 && c->orphan) {  // CH7
            sg->next = s.orphans;
            s.orphans = sg;
        }
    }
}

void park_selection(selection& s) {
    enqueue_all(s);
    s.gp->param = nullptr;
    if (open_race(s)) {
        gopark(selparkcommit, &s, s.why);
        lock_all(s);
    }
    const sudog* won = static_cast<const sudog*>(s.gp->param);
    s.gp->param = nullptr;
    dequeue_all(s);
    if (!won) return;  // timer or token: `winner` is read when they are disarmed
    s.chosen = static_cast<int>(won->index);
    s.ok = won->success;
    s.handed = true;
}

// Inside the runtime; tokens are armed if there are any.
void wait(selection& s) {
    const bool timed = arm_timer(s);
    s.armed = timed || s.ndone != 0;
    if (s.norder == 0 && !s.armed)
        for (;;) gopark(nullptr, nullptr, s.why);
    lock_all(s);
    const bool taken = look_locked(s);
    if (!taken) park_selection(s);
    unlock_all(s);
    if (taken) ready_partner(s);
    if (timed) disarm_timer(s);
}

// Parks with the tokens armed at `at`.
void wait_with_stops(selection& s, stop_cb* at) {
    arm_stops(s, at);
    {
        runtime_call rc;
        wait(s);
    }
    disarm_stops(s, at);
}
[[gnu::noinline]] void wait_with_few_stops(selection& s) {
    alignas(stop_cb) std::byte room[detail::select_inline * sizeof(stop_cb)];
    wait_with_stops(s, reinterpret_cast<stop_cb*>(room));
}

// ---- all of it, outside the runtime.  stops: room for the callbacks, null: few.
detail::select_outcome choose(selection& s, stop_cb* stops) {
    bool chosen;
    {
        runtime_call rc;
        chosen = look(s, rc.gp);
        // relaxed: nothing that could win is armed or queued yet (SR1).
        if (!chosen) s.gp->selectdone.store(1, memory_order_relaxed);
        if (!chosen && s.ndone == 0) wait(s);
    }
    if (!chosen && s.ndone != 0) {
        if (stops) wait_with_stops(s, stops);
        else wait_with_few_stops(s);
    }
    if (s.chosen < 0) s.chosen = s.winner;
    // 6
    const scase& k = s.cases[s.chosen];
    if (is_channel(k) && k.c->moves && s.ok && !s.handed) {
        if (k.kind == case_kind::send) finish_send(k.c, k.elem, s.k);
        else finish_recv(k.c, k.elem, s.k);
    }
    while (sudog* sg = s.orphans) {
        s.orphans = sg->next;
        release_chan(sg->c);
    }
    return {static_cast<std::uint32_t>(s.chosen), s.ok};
}

}  // namespace

}  // namespace rt0::runtime

namespace rt0::detail {

using namespace runtime;

static_assert(alignof(sudog) <= alignof(std::max_align_t) && alignof(stop_cb) <= alignof(std::max_align_t));

namespace {

std::size_t stops_at(std::size_t n) {  // offset of the callbacks in a select_scratch
    const std::size_t end = n * (sizeof(sudog) + 2 * sizeof(std::uint32_t));
    return (end + alignof(stop_cb) - 1) & ~(alignof(stop_cb) - 1);
}

// Room on the stack for few cases, and the selection that uses it.
struct few {
    alignas(sudog) std::byte sgs[select_inline * sizeof(sudog)];
    std::uint32_t poll[select_inline], order[select_inline];
    selection s;

    few(scase* cases, std::uint32_t n)
        : s{.cases = cases, .n = n, .sgs = reinterpret_cast<sudog*>(sgs), .poll = poll, .order = order} {}
};

op_status timed_or_stoppable(scase (&k)[2], bool send, op_status otherwise) {
    few f(k, 2);
    f.s.in_order = true;
    f.s.why = send ? wait_reason::chan_send : wait_reason::chan_receive;
    const select_outcome o = choose(f.s, nullptr);
    if (o.index == 1) return otherwise;
    return o.ok ? op_status::ok : op_status::closed;
}

op_status operate(hchan* c, void* elem, bool send, bool block) {
    if (!c) return op_status::would_block;
    if (c->moves) return send ? chansend_moved(c, elem, block) : chanrecv_moved(c, elem, block);
    return send ? chansend(c, elem, block) : chanrecv(c, elem, block);
}

}  // namespace

std::size_t select_scratch_bytes(std::size_t n, std::size_t ndone) noexcept {
    return stops_at(n) + ndone * sizeof(stop_cb);
}

select_outcome selectgo(scase* cases, std::uint32_t n, select_scratch* big) noexcept {
    if (!big) {
        few f(cases, n);
        return choose(f.s, nullptr);
    }
    std::byte* mem = static_cast<std::byte*>(big->mem);
    std::uint32_t* poll = reinterpret_cast<std::uint32_t*>(mem + n * sizeof(sudog));
    selection s{.cases = cases, .n = n, .sgs = reinterpret_cast<sudog*>(mem), .poll = poll, .order = poll + n,
                .sorted = big->sorted};
    const select_outcome o = choose(s, reinterpret_cast<stop_cb*>(mem + stops_at(n)));
    big->sorted = s.sorted;
    return o;
}

void select_nothing() noexcept {
    runtime_call rc;
    for (;;) gopark(nullptr, nullptr, wait_reason::select_no_cases);
}

op_status chan_timed(hchan* c, void* elem, bool send, std::int64_t ns) noexcept {
    const op_status s = operate(c, elem, send, false);
    if (s != op_status::would_block) return s;
    if (ns <= 0) return op_status::timeout;
    scase k[2];
    k[0].kind = send ? case_kind::send : case_kind::recv;
    k[0].c = c;
    k[0].elem = elem;
    k[1].kind = case_kind::after;
    k[1].ns = ns;
    return timed_or_stoppable(k, send, op_status::timeout);
}

op_status chan_stoppable(hchan* c, void* elem, bool send, const std::stop_token& st) noexcept {
    const op_status s = operate(c, elem, send, false);
    if (s != op_status::would_block) return s;
    if (st.stop_requested()) return op_status::canceled;
    scase k[2];
    k[0].kind = send ? case_kind::send : case_kind::recv;
    k[0].c = c;
    k[0].elem = elem;
    k[1].kind = case_kind::done;
    k[1].stop = &st;
    return timed_or_stoppable(k, send, op_status::canceled);
}

}  // namespace rt0::detail
