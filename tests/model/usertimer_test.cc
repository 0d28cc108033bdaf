// Public timers (UT1 to UT3 in chan/usertimer.cc, TC1 and TC2 in rt0/time.h) on two Ms, one of which stops, resets or drops a
// timer while the other runs what is due: a stop that says true is one that kept it from firing, a reset neither loses
// nor doubles a firing, and what has been freed is not touched.  What deltimer promises (TM2) is timer_test's.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include <rt0/sync.h>
#include <rt0/time.h>

#include "chan/hchan.h"
#include "kernel_if/clock.h"
#include "sched/timer.h"
#include "tests/model/cluster.h"

using model::options;
using model::var;
using model::with;
using model::world;
using rt0::op_status;
using rt0::time_point;
using rt0::detail::timer_state;
using namespace std::chrono_literals;

namespace {

// What is freed in a run, among it the state of a timer, stays until the next one and should look as it was left.
class graves {
public:
    bool put(void* p, std::size_t n) {
        if (n_ == most || n < least) return false;
        std::memset(p, earth, n);
        all_[n_++] = {static_cast<unsigned char*>(p), n};
        return true;
    }
    bool untouched() const {
        for (std::size_t i = 0; i < n_; i++)
            for (std::size_t k = 0; k < all_[i].n; k++)
                if (all_[i].at[k] != earth) return false;
        return true;
    }
    void clear() {
        while (n_) std::free(all_[--n_].at);
    }

private:
    static constexpr std::size_t most = 256, least = sizeof(rt0::runtime::timer);
    static constexpr unsigned char earth = 0xdb;
    struct {
        unsigned char* at;
        std::size_t n;
    } all_[most];
    std::size_t n_ = 0;
} freed;

}  // namespace

void* operator new(std::size_t n) {
    if (void* p = std::malloc(n)) return p;
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t n) noexcept {
    if (!p || !rt0::arch::model() || !freed.put(p, n)) std::free(p);
}

namespace {

// A channel whose last handle does not go the way of a call: this thread is none of the run's.
class channel {
public:
    channel() { new (at_) rt0::chan<time_point>(1); }
    ~channel() { rt0::runtime::release_chan(get().raw()); }
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    rt0::chan<time_point>& get() { return *std::launder(reinterpret_cast<rt0::chan<time_point>*>(at_)); }

private:
    alignas(rt0::chan<time_point>) unsigned char at_[sizeof(rt0::chan<time_point>)];
};

struct state {
    model::cluster c;
    channel ch_;
    const rt0::chan<time_point>& ch = ch_.get();
    rt0::semaphore called{0};
    var<int> life{0};  // of the function: 1 alive, 2 gone
    int fired = 0;     // calls of it
    int stopped = 0;   // stops and resets that said true
    rt0::runtime::atomic<unsigned> hand{0};
    std::optional<rt0::timer> handed;
    timer_state* own = nullptr;  // a timer with a channel of its own, which is ch: made in no run, since that allocates

    explicit state(world& w) : c(w, 2, 3) {
        for (int i : {0, 1}) c.spare(i, 3);
    }
    void step() { hand.load(rt0::runtime::memory_order_relaxed); }  // relaxed: only so that others may come in between
    void tell(unsigned n) { hand.store(n, rt0::runtime::memory_order_release); }
    void await(unsigned n) {
        while (hand.load(rt0::runtime::memory_order_acquire) != n) rt0::this_goroutine::yield();
    }
    // The other goroutine: its M runs what is due.
    static void turns() {
        for (int i = 0; i < 3; i++) rt0::this_goroutine::yield();
    }
    bool count(bool armed) {
        stopped += armed;
        return armed;
    }
};

// What a timer runs.
struct function {
    state* s;
    explicit function(state* in) : s(in) { s->life.set(1); }
    function(function&& o) noexcept : s(std::exchange(o.s, nullptr)) {}
    ~function() {
        if (s) s->life.set(2);
    }
    void operator()() {
        MODEL_CHECK(s->life.get() == 1);
        s->step();
        s->fired++;
        s->called.release();
        MODEL_CHECK(s->life.get() == 1);
    }
};

// end: after a run; what it adds up shows that the scenario has both outcomes.
template <class F, class E>
void explore(const options& o, F f, E end) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w);
        freed.clear();
        f(*s);
        w.after([=] {
            s->c.check_end();
            for (int i : {0, 1}) MODEL_CHECK(s->c.pp(i)->timers.len == 0);
            MODEL_CHECK(freed.untouched());
            end(*s);
        });
    });
}

class UserTimer : public testing::Test {
    void SetUp() override { model::by_membarrier(true); }
};

// TC1 and what stop says: its function runs, or it said true.
//
//     M1                                       M2
//     t(0, f)
//                                              checktimers: takes t off, starts f's goroutine (timers.lock)
//     stop: disarmed already, waits for the lock: false
//                                              f()
TEST_F(UserTimer, StopThatSaysTrue) {
    int first = 0, late = 0;
    explore(with(2, 4000), [](state& s) {
        s.c.user(0, [&s] {
            rt0::timer t(0ns, function(&s));
            rt0::this_goroutine::yield();
            s.count(t.stop());
            MODEL_CHECK(!s.stopped || s.fired == 0);
        });
        s.c.user(1, state::turns);
    }, [&](state& s) {
        MODEL_CHECK(s.fired == !s.stopped && s.life.get() == 2);
        (s.stopped ? first : late)++;
    });
    EXPECT_TRUE(first && late);
}

// A reset that says true is one firing, one that comes late two; each is waited for, so that one which is lost is missed.
TEST_F(UserTimer, ResetWhileItFires) {
    int first = 0, late = 0;
    explore(with(2, 4000), [](state& s) {
        s.c.user(0, [&s] {
            rt0::timer t(0ns, function(&s));
            rt0::this_goroutine::yield();
            const bool armed = s.count(t.reset(30ns));
            for (int i = armed; i < 2; i++) s.called.acquire();
            MODEL_CHECK(!t.stop());
        });
        s.c.user(1, state::turns);
    }, [&](state& s) {
        MODEL_CHECK(s.fired == 2 - s.stopped && s.life.get() == 2);
        (s.stopped ? first : late)++;
    });
    EXPECT_TRUE(first && late);
}

// UT2: by two goroutines at once.  Each arming ends in a firing, or in a call that says true.
//
//     M1 reset                                 M2 stop (reset)
//     deltimer: true
//                                              deltimer: false
//     addtimer                                 (addtimer: armed already)
TEST_F(UserTimer, TwoAtOnce) {
    for (bool resets : {false, true})
        explore(with(2, 3000), [=](state& s) {
            s.c.user(0, [&s] {
                rt0::timer t(20ns, function(&s));
                s.handed = t;
                s.tell(1);
                s.count(t.reset(20ns));
                s.await(2);
                s.count(t.stop());
            });
            s.c.user(1, [&s, resets] {
                s.await(1);
                s.count(resets ? s.handed->reset(20ns) : s.handed->stop());
                s.handed.reset();
                s.tell(2);
            });
        }, [=](state& s) { MODEL_CHECK(s.fired + s.stopped == 2 + resets && s.life.get() == 2); });
}

// UT1: the handle goes while the timer fires.  Its state goes when the function has returned, or with the handle.
//
//     M1                                       M2
//                                              start_function: refs 2 (timers.lock)
//     ~timer: deltimer waits for the lock
//     refs 1
//                                              f(), refs 0: freed
TEST_F(UserTimer, DroppedWhileItFires) {
    int fired = 0, never = 0;
    explore(with(2, 4000), [](state& s) {
        s.c.user(0, [&s] {
            rt0::timer t(0ns, function(&s));
            rt0::this_goroutine::yield();
        });
        s.c.user(1, state::turns);
    }, [&](state& s) {
        MODEL_CHECK(s.fired <= 1 && s.life.get() == 2);
        (s.fired ? fired : never)++;
    });
    EXPECT_TRUE(fired && never);
}

// The same with a channel: no function runs, and the callback is all that can touch the state.
TEST_F(UserTimer, DroppedWhileItSends) {
    int sent = 0, never = 0;
    explore(with(2, 4000), [](state& s) {
        s.c.user(0, [&s] {
            rt0::timer t(0ns, s.ch);
            rt0::this_goroutine::yield();
        });
        s.c.user(1, state::turns);
    }, [&](state& s) { (s.ch.raw()->qcount.load() ? sent : never)++; });
    EXPECT_TRUE(sent && never);
}

// UT1: two handles, and who drops the last one sees what was armed by the other.
//
//     M1                                       M2
//     reset: armed on P1's heap
//     handles 2 -> 1 (release)
//                                              handles 1 -> 0 (acquire)
//                                              deltimer: t is in P1's heap
TEST_F(UserTimer, TheOtherHandle) {
    explore(with(2, 4000), [](state& s) {
        s.c.user(0, [&s] {
            rt0::timer t(1h, function(&s));
            s.handed = t;
            s.tell(1);
            rt0::this_goroutine::yield();
        });
        s.c.user(1, [&s] {
            s.await(1);
            s.count(s.handed->reset(100ns));  // false: time went on by an hour, for who slept so long
            s.handed.reset();
        });
    }, [](state& s) { MODEL_CHECK(s.fired + s.stopped <= 2 && s.life.get() == 2); });
}

// TC2: what was due before is not received once stop or reset has returned, though M2 has sent it meanwhile (UT3); and what
// is sent after a reset is not thrown away with it.
TEST_F(UserTimer, ChannelOfItsOwn) {
    for (bool again : {false, true}) {
        int first = 0, late = 0;
        explore(with(2, 4000), [=](state& s) {
            s.own = rt0::detail::timer_make(s.ch, true, nullptr);
            s.c.user(0, [&s, again] {
                rt0::detail::timer_handle t(s.own);
                rt0::detail::timer_arm(s.own, 0ns, {});
                rt0::this_goroutine::yield();
                const std::int64_t begin = rt0::kernel::nanotime();
                s.count(again ? rt0::detail::timer_reset(s.own, 10ns, {}) : rt0::detail::timer_stop(s.own));
                time_point at;
                if (again) at = *s.ch.recv();
                else MODEL_CHECK(s.ch.try_recv(at) != op_status::ok);
                MODEL_CHECK(!again || at.time_since_epoch().count() >= begin + 10);
            });
            s.c.user(1, state::turns);
        }, [&](state& s) {
            MODEL_CHECK(s.ch.raw()->qcount.load() == 0);
            (s.stopped ? first : late)++;
        });
        EXPECT_TRUE(first && late);
    }
}

// A ticker's: armed all along, until it is stopped; then there is none.
TEST_F(UserTimer, NoTickAfterStop) {
    explore(with(2, 3000), [=](state& s) {
        s.own = rt0::detail::timer_make(s.ch, true, nullptr);
        s.c.user(0, [&s] {
            rt0::detail::timer_handle t(s.own);
            rt0::detail::timer_arm(s.own, 40ns, 40ns);
            s.ch.recv();
            rt0::this_goroutine::yield();
            MODEL_CHECK(rt0::detail::timer_stop(s.own));
            time_point at;
            MODEL_CHECK(s.ch.try_recv(at) != op_status::ok);
            rt0::this_goroutine::yield();
            MODEL_CHECK(s.ch.try_recv(at) != op_status::ok);
        });
        s.c.user(1, state::turns);
    }, [](state&) {});
}

// UT4, as after()'s does (which itself allocates, and has no scenario): a callback that ends the life of its timer is the
// last to touch it.
TEST_F(UserTimer, TheCallbackIsTheLast) {
    using rt0::runtime::timer;
    explore(with(1, 1000), [](state& s) {
        s.c.go(0, [] {
            auto* t = new timer;
            t->when = rt0::kernel::nanotime();
            t->f = [](timer* me, std::int64_t) { delete me; };
            addtimer(t);
            rt0::runtime::gosched();
        });
        s.c.go(1, [] { rt0::runtime::gosched(); });
    }, [](state&) {});
}

}  // namespace
