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
#include <optional>

#include "base/chaos.h"
#include "base/config.h"
#include "sched/probe.h"
#include "sched/upcross.h"

namespace rt0::runtime {

static_assert(detail::select_inline == cfg::select_inline_cases);

namespace {

bool is_channel(const scase& k) {
    return k.kind == case_kind::recv || k.kind == case_kind::send;
}

// ---- 1
// A uniform permutation, built inside out.  For the first sixteen places one random number does: a
// fraction of 2^64 that each step multiplies by the number of places; what stands before the
// point is the place, the rest the fraction for the next step.  16! out of 2^64 leaves a
// bias under one in 10^5.  The greatest fraction always gives the last place, which keeps
// the order of the few cases that ask for that.
class shuffler {
public:
    shuffler(std::uint32_t* to, m* mp, bool in_order)
        : poll_(to), mp_(mp), fraction_(in_order ? ~std::uint64_t{0} : std::uint64_t{fastrand(mp)} << 32 | fastrand(mp)) {}
    void add(std::uint32_t i) {
        const std::uint32_t at = n_++, j = place(at);
        poll_[at] = poll_[j];
        poll_[j] = i;
    }
    std::uint32_t size() const { return n_; }

private:
    std::uint32_t place(std::uint32_t at) {  // of [0, at]
        if (at >= detail::select_inline) [[unlikely]] return fastrandn(mp_, at + 1);
        const unsigned __int128 x = static_cast<unsigned __int128>(fraction_) * (at + 1);
        fraction_ = static_cast<std::uint64_t>(x);
        return static_cast<std::uint32_t>(x >> 64);
    }

    std::uint32_t* const poll_;
    m* const mp_;
    std::uint64_t fraction_;
    std::uint32_t n_ = 0;
};

void survey(selection& s, g* gp) {
    s.gp = gp;
    shuffler look(s.poll, gp->mp, s.in_order);
    const scase* const cases = s.cases;
    for (std::uint32_t i = 0; i < s.n; i++) {
        const scase& k = cases[i];
        if (is_channel(k)) [[likely]] {
            if (k.c) look.add(i);
        } else if (k.kind == case_kind::done) {
            s.ndone++;
            look.add(i);
        } else if (k.kind == case_kind::otherwise) {
            s.otherwise = static_cast<int>(i);
        } else if (s.due < 0 || k.ns < cases[s.due].ns) {
            s.due = static_cast<int>(i);
        }
    }
    s.npoll = look.size();
}

// ---- looking.  The lock of the case's channel is held.
bool take_case(selection& s, std::uint32_t i) {
    const scase& k = s.cases[i];
    tried t;
    if (k.kind == case_kind::done) {
        t = k.stop->stop_requested() ? tried::went : tried::blocks;
    } else if (k.kind == case_kind::send) {
        assert_locked(k.c);
        t = k.c->moves ? send_moved(k.c, s.k) : send_plain(k.c, k.elem, s.k);
    } else {
        assert_locked(k.c);
        t = k.c->moves ? recv_moved(k.c, s.k) : recv_plain(k.c, k.elem, s.k);
    }
    if (t == tried::blocks) return false;
    s.moves = is_channel(k) && k.c->moves;
    s.chosen = static_cast<int>(i);
    s.ok = t == tried::went;
    return true;
}

// Whether the case may be able to go; "no" is certain under the channel's lock.  relaxed
// throughout: without the lock a wrong "no" is put right by the look under all locks, a
// wrong "yes" by the one lock; not analysed for that reason.
inline bool may_go(const scase& k) NO_THREAD_SAFETY_ANALYSIS {
    const hchan* c = k.c;
    if (c->closed.load(memory_order_relaxed)) return true;
    if (k.kind == case_kind::recv) return c->count() != 0 || c->sendq.first();
    return c->count() < c->dataqsiz || c->recvq.first();
}

// What is left to do for a plain case that was taken; a moved one is finished at 6.
void ready_partner(selection& s) {
    if (s.k.sg && !s.moves) goready(s.k.sg->gp);
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

// ---- locks (SE1).  take_locks and drop_locks are not analysed: clang does not count locks in a loop;
// who needs one of them asserts it.
hchan* locked_at(const selection& s, std::uint32_t j) {  // null: a channel that is locked already
    hchan* c = s.cases[s.order[j]].c;
    return j != 0 && c == s.cases[s.order[j - 1]].c ? nullptr : c;
}
void sort_order(selection& s) {
    std::sort(s.order, s.order + s.norder,
              [&s](std::uint32_t a, std::uint32_t b) { return s.cases[a].c < s.cases[b].c; });
    s.sorted = true;
}
[[gnu::noinline]] void take_locks(selection& s) NO_THREAD_SAFETY_ANALYSIS {
    if (!s.sorted) sort_order(s);
    for (std::uint32_t j = 0; j < s.norder; j++)
        if (hchan* c = locked_at(s, j)) {
            lockchan(c);
            chaos_pause_debug(window::select_lock);
        }
}
[[gnu::noinline]] void drop_locks(const selection& s) NO_THREAD_SAFETY_ANALYSIS {
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
inline void lock_all(selection& s) {
    if (!one_p()) take_locks(s);  // CH6: nothing to take, so nothing to sort
}
inline void unlock_all(const selection& s) {
    if (!one_p()) drop_locks(s);
}
// The channels among the cases, before the first lock_all.
void list_channels(selection& s) {
    if (s.sorted) return;  // a select_set's, listed before
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i < s.n; i++)
        if (is_channel(s.cases[i]) && s.cases[i].c) s.order[n++] = i;
    s.norder = n;
}

bool look_locked(selection& s) {
    for (std::uint32_t j = 0; j < s.npoll; j++) {
        const scase& k = s.cases[s.poll[j]];
        if ((!is_channel(k) || may_go(k)) && take_case(s, s.poll[j])) return true;
    }
    return false;
}

// ---- 3.  Inside the runtime; false: it must wait.
bool look(selection& s, g* gp) {
    survey(s, gp);
    if (look_singly(s)) return true;
    const int now = s.due >= 0 && s.cases[s.due].ns <= 0 ? s.due : s.otherwise;
    list_channels(s);
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
        chaos_pause_debug(window::select_commit);
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
        assert_locked(k.c);
        park_on(k.kind == case_kind::send ? k.c->sendq : k.c->recvq, k.c, sg);
    }
}

// ---- 5.  The locks are held.
void dequeue_all(selection& s) {
    for (std::uint32_t j = 0; j < s.norder; j++) {
        const std::uint32_t i = s.order[j];
        hchan* c = s.cases[i].c;
        sudog* sg = &s.sgs[i];
        assert_locked(c);
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
}

// Inside the runtime; tokens are armed if there are any.
void wait(selection& s) {
    const bool timed = arm_timer(s);
    s.armed = timed || s.ndone != 0;
    if (s.norder == 0 && !s.armed)
        for (;;) gopark(nullptr, nullptr, s.why);
    lock_all(s);
    // With one P, nothing has changed since look() unless tokens were armed meanwhile (CH6).
    const bool taken = (s.ndone != 0 || !one_p()) && look_locked(s);
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
    std::optional<foreign_hold> hold;
    // Stop callbacks know our G before and after the call in which it parks.
    if (const g* gp = getg(); !gp || gp->foreign) [[unlikely]]
        hold.emplace();
    {
        runtime_call rc;
        RT0_PROBE_G(selectgo, rc.gp, s.n);
        chosen = look(s, rc.gp);
        // relaxed: nothing that could win is armed or queued yet (SR1).
        if (!chosen) s.gp->selectdone.store(1, memory_order_relaxed);
        if (!chosen && s.ndone == 0) wait(s);
    }
    if (!chosen && s.ndone != 0) {
        if (stops) wait_with_stops(s, stops);
        else wait_with_few_stops(s);
    }
    if (s.chosen < 0 && (s.chosen = s.winner) < 0) runtime_throw("selectgo: woken by nobody");
    // 6
    if (s.moves && s.ok) {
        const scase& k = s.cases[s.chosen];
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
                .norder = big->nsorted, .sorted = big->nsorted != 0};
    const select_outcome o = choose(s, reinterpret_cast<stop_cb*>(mem + stops_at(n)));
    big->nsorted = s.sorted ? s.norder : 0;
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
