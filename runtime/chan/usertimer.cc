// timer, ticker, after.
//
//   UT1  When the last handle goes the runtime timer is taken back: nobody can arm it any more, no callback is running or
//        will run (TM2).  The state is freed when its last reference goes: all handles together are one, and each goroutine
//        about to run the function.
//   UT2  One caller at a time arms and disarms: stop, reset and the end take `lock`, or
//        are alone.
//   UT3  A channel of the timer's own is emptied after disarming and before arming anew:
//        what is received later was sent later.
//   UT4  The callback of after()'s timer is the last to touch it, and frees it.
#include <rt0/sync.h>
#include <rt0/time.h>

#include <limits>
#include <new>

#include "base/atomic.h"
#include "base/seeded.h"
#include "chan/hchan.h"
#include "chan/start.h"
#include "sched/timer.h"
#include "sched/upcross.h"

namespace rt0::detail {

namespace rt = runtime;

struct timer_state {
    rt::atomic<std::uint32_t> handles{1};           // UT1
    rt::atomic<std::uint32_t> refs{1};              // UT1
    const chan<time_point> c;
    const bool own;                                 // c was made for this timer
    const std::unique_ptr<timer_function> f;
    mutex lock;                                     // UT2
    rt::timer t;

    timer_state(chan<time_point> ch, bool o, std::unique_ptr<timer_function> fn)
        : c(std::move(ch)), own(o), f(std::move(fn)) {}
};

namespace {

time_point to_time_point(std::int64_t ns) { return time_point(std::chrono::nanoseconds(ns)); }

std::int64_t when_for(std::chrono::nanoseconds d) {
    std::int64_t now = rt::clock_now(), ns = d.count() > 0 ? d.count() : 0;
    return ns > std::numeric_limits<std::int64_t>::max() - now ? std::numeric_limits<std::int64_t>::max() : now + ns;
}

void unref(timer_state* s) {
    // ORDER(usertimer): acq_rel, so that the last one sees all use of the state; pairs with itself.
    if (s->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete s;
}

// ---- callbacks, under the timers lock

void send_time(rt::timer* t, std::int64_t now) {
    auto* s = static_cast<timer_state*>(t->arg);
    time_point at = to_time_point(now);
    if (s->c) rt::chansend(rt::getg(), s->c.raw(), &at, false);  // full or closed: lost
}

void start_function(rt::timer* t, std::int64_t) {
    auto* s = static_cast<timer_state*>(t->arg);
    s->refs.fetch_add(1, std::memory_order_relaxed);  // relaxed: the handles' is held until no callback runs
    rt::start_from_timer(
        [](void* p) {
            struct leave {
                timer_state* s;
                ~leave() { unref(s); }
            } l{static_cast<timer_state*>(p)};
            (*l.s->f)();
        },
        s, "timer");
}

// ---- with s->lock

void arm(timer_state* s, std::chrono::nanoseconds d, std::chrono::nanoseconds period) {
    s->t.when = when_for(d);
    s->t.period = period.count();
    s->t.f = s->f ? start_function : send_time;
    s->t.arg = s;
    rt::runtime_call rc;
    rt::addtimer(&s->t);
}

bool disarm(timer_state* s) {
    bool armed;
    {
        rt::runtime_call rc;
        armed = rt::deltimer(&s->t);
    }
    if (s->own) {  // UT3
        chan<time_point> c = s->c;
        time_point stale;
        while (c.try_recv(stale) == op_status::ok) {}
    }
    return armed;
}

}  // namespace

timer_state* timer_make(chan<time_point> c, bool own, std::unique_ptr<timer_function> f) {
    return new timer_state(std::move(c), own, std::move(f));
}

void timer_arm(timer_state* s, std::chrono::nanoseconds d, std::chrono::nanoseconds period) { arm(s, d, period); }

bool timer_stop(timer_state* s) {
    std::lock_guard l(s->lock);
    return disarm(s);
}

bool timer_reset(timer_state* s, std::chrono::nanoseconds d, std::chrono::nanoseconds period) {
    std::lock_guard l(s->lock);
    bool armed = disarm(s);
    arm(s, d, period);
    return armed;
}

// relaxed: a new handle is made from one that is held.
void timer_ref(timer_state* s) { s->handles.fetch_add(1, std::memory_order_relaxed); }

void timer_unref(timer_state* s) {
    // ORDER(usertimer): acq_rel, so that the last one sees what was armed; pairs with itself.
    if (s->handles.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (kernel::forked()) return;  // FO4: others may have held the locks, and the memory ends with the child
    {
        rt::runtime_call rc;
        rt::deltimer(&s->t);
    }
    unref(s);
}

const chan<time_point>& timer_chan(const timer_state* s) { return s->c; }

namespace {

// after()'s: nobody has a handle.  The channel's reference is the receiver's twin.
struct after_state {
    rt::timer t;
    hchan* c;
};

void send_and_free(rt::timer* t, std::int64_t now) {
    auto* s = static_cast<after_state*>(t->arg);
    time_point at = to_time_point(now);
    rt::chansend(rt::getg(), s->c, &at, false);
    unref_chan(s->c);
    s->~after_state();
    rt::rtfree(s);
}

bool arm_after(hchan* c, std::chrono::nanoseconds d) {
    rt::runtime_call rc;
    void* mem = rt::rtalloc(sizeof(after_state));
    if (!mem) return false;
    auto* s = new (mem) after_state{{}, c};
    ref_chan(c);
    s->t.when = when_for(d);
    s->t.f = send_and_free;
    s->t.arg = s;
    rt::addtimer(&s->t);
    return true;
}

}  // namespace

}  // namespace rt0::detail

namespace rt0 {

receiver<time_point> after(std::chrono::nanoseconds d) {
    chan<time_point> c(1);
    if (!detail::arm_after(c.raw(), d)) throw std::bad_alloc();
    return c;
}

}  // namespace rt0
