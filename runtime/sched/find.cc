// findrunnable: one function per source of work, and how an M goes to sleep.
//
// Waking is dear (a futex wake with a sleeper costs the waker 11 to 30 us), sleeping too
// early is dearer, and sleeping with work left is wrong.  Go's discipline:
//
//   WK1  An M that is out of local work spins (looks everywhere) before it sleeps; at most
//        half of the busy Ps' number spin at a time, beside those that have seen work by the last look of
//        WK4: that is no reason to sleep, and to come back only to be refused again would be a loop for
//        as long as the spinners that count have no processor.
//   WK2  Whoever makes work wakes an M only if a P is idle and nobody spins: the spinner
//        will find it.  The new M starts spinning.
//   WK3  A spinner that finds work and was the last one wakes another (resetspinning):
//        work may come in batches.
//   WK4  A spinner that gives up first stops counting as one, then looks once more at
//        every queue.  With WK2 that loses nothing:
//
//        producer                          last spinner, going to sleep
//        queue G            (seq_cst)      nmspinning--          (seq_cst)
//        read nmspinning    (seq_cst)      look at all queues    (seq_cst)
//
//        Store buffering: not both may read old values, hence seq_cst on all four
//        (label wake) for the global queue, which may be all that holds the G.
//   WK5  The same for a P put on the idle list: its M looks at the queues after pidleput,
//        the producer looks at npidle after the put.
//   WK6  A G in the ring or runnext of a P is never lost, whatever anybody reads: that P's
//        own M looks there before it sleeps, and handoffp does when the M leaves.  What a
//        stale read can cost is a P that idles beside it, so there the producer's side is
//        cheap (a release store, no fence) and the sleeper's side is careful: it looks
//        again after a pause that store buffers do not outlast.  sysmon, awake while any
//        P runs, is the backstop: a queue that stays non-empty for a tick wakes a P.
//   WK7, WK8: which wakes are not worth it, in worth.h.
//
// Sleeping until a timer: one M (whoever turns sched.lastpoll to 0) sleeps until the
// earliest deadline of all Ps, in the place where a network poller will wait; it gives
// its P up first.  wakenetpoller shortens its sleep.
//
//   TM5  At the limit of threads it is the M that a P left idle needs (ID4), though it is on no list:
//
//        who leaves the P idle             the sleeper
//        starved = true                    seen = pollwake; polluntil = its deadline
//        lastpoll 0? pollwake++, wake      starved? does not sleep
//
//        Seq_cst on all (label poll): one of the two sees the other; and a wake before `seen` is read comes after starved.
#include "sched/find.h"

#include <algorithm>

#include "base/chaos.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "sched/born.h"
#include "sched/choose.h"
#include "sched/pidle.h"
#include "sched/probe.h"
#include "sched/runq.h"
#include "sched/schedule.h"
#include "sched/timer.h"
#include "sched/worth.h"

namespace rt0::runtime {

void become_spinning(m* mp) {
    mp->spinning = true;
    // ORDER(wake): seq_cst; see the head.
    sched.nmspinning.fetch_add(1, memory_order_seq_cst);
}

void wakep() {
    // ORDER(wake): seq_cst; WK2, WK5.
    if (sched.npidle.load(memory_order_seq_cst) == 0) return;
    m* mp = getg()->mp;
    if (mp->wakes_deferred) {
        mp->wake_wanted = true;
        return;
    }
    std::uint32_t none = 0;
    chaos_pause_debug(window::wake_count);
    // ORDER(wake): seq_cst; WK2: read after the work was queued.
    if (sched.nmspinning.load(memory_order_seq_cst) != 0 ||
        !sched.nmspinning.compare_exchange_strong(none, 1, memory_order_seq_cst, memory_order_relaxed))
        return;
    const std::int64_t begin = mp->stolewhen != 0 ? kernel::nanotime() : 0;
    startm(nullptr, true);
    if (begin != 0) mp->stolewhen += kernel::nanotime() - begin;  // WK7: not what was stolen takes that long
}

void wakep_for_lone_if() {
    m* mp = getg()->mp;
    // A foreign thread's P is passed on at the end of the call, to an M for what stands there.
    if (!mp->wakes_deferred && (mp->is_extra || not_worth_a_wake(mp->pp))) return;
    wakep();
}

void wakep_for_newborn() {
    if (sched.npidle.load(memory_order_relaxed) == 0) return;  // relaxed: WK6
    if (!newborns_suffice(getg()->mp->pp)) wakep_for_lone();
}

wake_batch::wake_batch() : mp_(getg()->mp), before_(mp_->wake_wanted) { mp_->wakes_deferred++; }
wake_batch::~wake_batch() {
    if (--mp_->wakes_deferred != 0 || !mp_->wake_wanted) return;
    mp_->wake_wanted = false;
    wakep();
}

namespace {
void wake_poll() {
    // ORDER(poll): seq_cst; the sleeper compares the word before it sleeps.
    sched.pollwake.fetch_add(1, memory_order_seq_cst);
    wake_sleeper(&sched.pollwake);
}
}  // namespace

void wake_timer_sleeper() {
    if (sched.lastpoll.load(memory_order_seq_cst) == 0) wake_poll();  // ORDER(poll): TM5
}

void wakenetpoller(std::int64_t when) {
    // ORDER(poll): seq_cst; the timer is in its heap before we look for a sleeper, who
    // publishes polluntil before it looks at the heaps.
    std::int64_t until = sched.polluntil.load(memory_order_seq_cst);
    if (until != 0) {
        if (until <= when) return;
        wake_poll();
        return;
    }
    // Nobody sleeps with a deadline.  Everybody awake sees the timer before sleeping; an idle P gets an M that will.
    wakep();
}

namespace {

g* from_local(p* pp, bool* inherit) {
    g* gp = by_seed() ? choose(pp, inherit) : nullptr;
    return gp ? gp : runqget(pp, inherit);
}

// SS3: nothing is runnable, but timers are armed: they are due now.
bool skip_to_timer(const p* pp) {
    std::int64_t due = pp->timers.when0.load(memory_order_relaxed);  // relaxed: one P, ours
    if (!seeded() || due == 0 || due == INT64_MAX) return false;  // INT64_MAX: never
    virtual_skip(due);
    return true;
}

g* from_global(p* pp) {
    // relaxed: looked at again under the lock before sleeping.
    if (sched.runqsize.load(memory_order_relaxed) == 0) return nullptr;
    guard l(sched.lock);
    return globrunqget(pp, 0);
}

// WK1: is one more spinner worth it?  seen: by the last look there is work.
bool start_spinning(m* mp, bool seen) {
    if (mp->spinning) return true;
    // relaxed: a heuristic.
    std::uint32_t busy = gomaxprocs_now.load(memory_order_relaxed) - sched.npidle.load(memory_order_relaxed);
    if (!seen && 2 * sched.nmspinning.load(memory_order_relaxed) >= busy) return false;
    become_spinning(mp);
    return true;
}

// Visits all Ps in a random order: start anywhere, step by a number coprime to how many there are.
class random_order {
public:
    random_order(m* mp, std::uint32_t n) : n_(n), i_(fastrandn(mp, n)), step_(1) {
        if (n > 2) {
            step_ = 1 + fastrandn(mp, n - 1);
            while (std::uint32_t d = gcd(step_, n)) {
                if (d == 1) break;
                step_ = step_ % (n - 1) + 1;
            }
        }
    }
    bool done() const { return seen_ == n_; }
    std::uint32_t index() const { return i_; }
    void next() {
        seen_++;
        i_ = (i_ + step_) % n_;
    }

private:
    static std::uint32_t gcd(std::uint32_t a, std::uint32_t b) {
        while (b) {
            std::uint32_t t = a % b;
            a = b;
            b = t;
        }
        return a;
    }
    std::uint32_t n_, i_, step_, seen_ = 0;
};

// Runs p2's due timers here: they ready Gs onto pp.  True when any ran.
bool steal_timers(p* p2, std::int64_t* now) {
    std::int64_t when = p2->timers.when0.load(memory_order_relaxed);  // relaxed: checktimers looks under the lock
    if (when == 0) return false;
    if (*now == 0) *now = kernel::nanotime();
    if (when > *now) return false;
    std::int64_t next;
    return checktimers(p2, *now, &next);
}

// timers: theirs, too, if due.
g* from_others(m* mp, p* pp, bool timers, std::int64_t* now, bool* inherit) {
    rcu_reader r;
    auto ps = allp();
    std::uint32_t n = gomaxprocs_now.load(memory_order_relaxed);  // relaxed: a larger array is as good
    if (n > ps.n) n = static_cast<std::uint32_t>(ps.n);
    for (int round = 0; round < cfg::steal_rounds; round++) {
        bool last = round == cfg::steal_rounds - 1;
        for (random_order o(mp, n); !o.done(); o.next()) {
            if (sched.gcwaiting.load(memory_order_relaxed)) return nullptr;  // relaxed: the caller looks again
            p* p2 = ps.data[o.index()];
            if (p2 == pp) continue;
            if (timers && last && steal_timers(p2, now))
                if (g* gp = runqget(pp, inherit)) return gp;
            if (g* gp = runqsteal(pp, p2, last)) {
                note_theft(mp, p2);
                // We had nothing, so what we have now was taken.
                RT0_PROBE_WITH2(steal, gp->goid, mp->id, pp->id, p2->id, 1 + runqlen(pp));
                return gp;
            }
        }
        arch::cpu_relax();
    }
    return nullptr;
}

// Spinning takes a processor from somebody unless there are spare ones, and is not repeated at full
// length where it was in vain.
std::int64_t spin_budget(const m* mp) {
    // relaxed: a heuristic.
    return gomaxprocs_now.load(memory_order_relaxed) <= ncpu ? cfg::spin_ns >> mp->vain_spins : 0;
}

// Looks at the others until something turns up, cfg::steal_rounds rounds without pause
// and then for cfg::spin_ns in all: going to sleep and being woken costs more than that.
g* spin_for_work(m* mp, p* pp, bool* inherit) {
    std::int64_t now = 0, end = 0;
    auto found = [&](g* gp) {
        if (end != 0) mp->vain_spins = 0;  // what the first look finds says nothing for looking longer
        return gp;
    };
    for (;;) {
        // Timers at the first look only: to spin until the next one is due is what sleep_until_timer is for.
        if (g* gp = from_others(mp, pp, end == 0, &now, inherit)) return found(gp);
        if (g* gp = from_global(pp)) {
            mp->wakecounted = true;  // it was not wasted; whether wakes are in general nobody can tell from this
            return found(gp);
        }
        now = kernel::nanotime();
        if (end == 0) end = now + spin_budget(mp);
        if (now >= end && mp->vain_spins < cfg::vain_spins_max) mp->vain_spins++;
        if (now >= end || sched.gcwaiting.load(memory_order_relaxed)) return nullptr;  // relaxed: the caller looks again
        for (int i = 0; i < cfg::spin_pause; i++) arch::cpu_relax();
    }
}

// WK4: the last look.  An idle P if there is work for it.
p* queues_have_work(left_alone left) {
    if (!work_queued(left)) return nullptr;
    guard l(sched.lock);
    return pidleget();
}

}  // namespace

std::int64_t earliest_timer() {
    rcu_reader r;
    std::int64_t until = 0;
    for (p* pp : allp()) {
        // ORDER(poll): seq_cst; read after polluntil was published, see wakenetpoller.
        std::int64_t when = pp->timers.when0.load(memory_order_seq_cst);
        if (when != 0 && (until == 0 || when < until)) until = when;
    }
    return until;
}

namespace {

std::uint32_t timers_fired() {
    rcu_reader r;
    std::uint32_t n = 0;
    for (p* pp : allp()) n += pp->timers.fired;
    return n;
}

// Timers that come thick are run in groups: to sleep and wake for each costs more than a goroutine's turn.  The
// more there were since the last wake-up, the longer until the next: where more than one comes in timer_worth
// the groups grow until they are timer_spacing apart.  A loop of short sleeps that is alone is not held up; beside a P that
// runs many timers in passing it is, for those count too.
std::int64_t spaced(std::int64_t until) {
    std::uint32_t fired = timers_fired() - sched.firedbefore;
    std::int64_t next = sched.lasttimerwake + std::min(cfg::timer_spacing, fired * cfg::timer_worth);
    return until < next && until > sched.lasttimerwake ? next : until;
}

// Without a P: sleeps until the earliest timer, if nobody else does.  A P to look again
// with, or null: sleep on the idle list.
p* sleep_until_timer() {
    // ORDER(poll): seq_cst; one sleeper at a time.
    if (earliest_timer() == 0 || sched.lastpoll.exchange(0, memory_order_seq_cst) == 0) return nullptr;
    constexpr std::int64_t forever = INT64_MAX;
    std::uint32_t seen = sched.pollwake.load(memory_order_seq_cst);  // ORDER(poll): before polluntil is published
    sched.polluntil.store(forever, memory_order_seq_cst);            // ORDER(poll): then look at the heaps
    chaos_pause_debug(window::poll_sleep);
    if (std::int64_t until = earliest_timer()) {
        sched.polluntil.store(until, memory_order_seq_cst);  // ORDER(poll): later timers need not wake us
        std::int64_t to = spaced(until);
        // ORDER(poll): seq_cst; TM5: after polluntil was published.
        const bool needed = sched.starved.load(memory_order_seq_cst);
        if (!needed && to > kernel::nanotime()) kernel::futex_wait_until(&sched.pollwake, seen, to);
        std::int64_t now = kernel::nanotime();
        if (now >= until) {  // else something earlier came
            sched.lasttimerwake = now;
            sched.firedbefore = timers_fired();
        }
    }
    sched.polluntil.store(0, memory_order_seq_cst);                   // ORDER(poll): from here others sleep or wake
    sched.lastpoll.store(kernel::nanotime(), memory_order_seq_cst);   // ORDER(poll): the place is free
    guard l(sched.lock);
    p* pp = starved_p();
    return pp ? pp : pidleget();
}

// Gives the P up.  A G if one turned up in the global queue meanwhile; *again when the
// world is stopping.
g* give_up_p(m* mp, bool* again) {
    guard l(sched.lock);
    // relaxed: sched.lock.
    if (sched.gcwaiting.load(memory_order_relaxed)) {
        *again = true;
        return nullptr;
    }
    if (sched.runqsize.load(memory_order_relaxed) != 0) return globrunqget(mp->pp, 0);
    pidleput(releasep());
    return nullptr;
}

// WK4.  Comes back with a P, to look again; true where there is work.  What the M left alone is no reason to stay awake.
bool sleep_or_look_again(m* mp, left_alone left) {
    bool was_spinning = mp->spinning;
    chaos_pause_debug(window::p_idle);
    if (was_spinning) {
        mp->spinning = false;
        // ORDER(wake): seq_cst; WK4: before the last look.
        if (static_cast<std::int32_t>(sched.nmspinning.fetch_sub(1, memory_order_seq_cst)) <= 0)
            runtime_throw("findrunnable: negative nmspinning");
        chaos_pause_debug(window::spin_end);
    }
    p* pp = queues_have_work(left);
    if (!pp) {
        for (int i = 0; i < cfg::drain_pause; i++) arch::cpu_relax();  // WK6
        pp = queues_have_work(left);
    }
    if (pp) {
        acquirep(pp);
        if (was_spinning) become_spinning(mp);
        return true;
    }
    if (was_spinning && !mp->wakecounted) wake_was_wasted();
    mp->wakecounted = false;
    if ((pp = sleep_until_timer())) {
        acquirep(pp);
        become_spinning(mp);  // whatever WK1 says: the timer may be another P's, and only spinners steal those
        return false;
    }
    stopm();
    return false;
}

}  // namespace

namespace {
// RQ8, BN7, for a thief that has just left such a queue alone: it would leave it alone again.
bool will_be_left_alone(const p* pp, left_alone left) {
    // relaxed: a hint; WK6 whatever it says, and sysmon mends it.
    if (pp->status.load(memory_order_relaxed) != prunning || !(left.ring || left.newborns)) return false;
    if (!left.newborns && !born_empty(pp)) return false;
    if (!left.ring && pp->runqtail.load(memory_order_relaxed) != pp->runqhead.load(memory_order_relaxed)) return false;
    return runqshort(pp, left.newborns ? kernel::nanotime() : INT64_MAX);
}
}  // namespace

bool work_queued(left_alone left) {
    rcu_reader r;
    for (p* pp : allp()) {
        if (pp->status.load(memory_order_relaxed) == pdead || runqempty(pp)) continue;  // relaxed: dead ones are empty
        if (!will_be_left_alone(pp, left)) return true;
    }
    // ORDER(wake): seq_cst; WK4 for the global queue.
    return sched.runqsize.load(memory_order_seq_cst) != 0;
}

bool timers_pending() { return earliest_timer() != 0; }

g* findrunnable(bool* inherit) {
    m* mp = getg()->mp;
    for (bool seen = false;;) {
        if (sched.gcwaiting.load(memory_order_relaxed)) {  // relaxed: gcstopm looks again
            gcstopm();
            seen = false;
            continue;
        }
        p* pp = mp->pp;
        pp->left_ring = pp->left_newborns = false;
        pp->suffices = false;
        if (pp->batchwhen || pp->timers.when0.load(memory_order_relaxed)) {  // relaxed: checktimers looks under the lock
            std::int64_t until, now = clock_now();
            measure_turns(pp, now);
            checktimers(pp, now, &until);
        }
        if (g* gp = from_local(pp, inherit)) return gp;
        if (g* gp = from_global(pp)) return gp;
        if (skip_to_timer(pp)) continue;
        if (mp->stolewhen != 0) judge_theft(mp);
        if (start_spinning(mp, seen))
            if (g* gp = spin_for_work(mp, pp, inherit)) return gp;
        bool again = false;
        const left_alone left{pp->left_ring, pp->left_newborns};
        if (g* gp = give_up_p(mp, &again)) return gp;
        seen = !again && sleep_or_look_again(mp, left);
    }
}

}  // namespace rt0::runtime
