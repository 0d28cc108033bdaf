// The public timer between Ms: a stop that beat the firing leaves nothing to receive, nor does one that came too late (UT3); a
// reset is received once and not before its time, whoever else resets (UT2); nothing is sent once the last handle is gone (UT1).
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include <rt0/rt0.h>

#include "chan/hchan.h"
#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using rt0::chan;
using rt0::op_status;
using rt0::time_point;
using namespace std::chrono_literals;
using model::options;
using model::with;
using model::world;

namespace {

time_point now() { return time_point(std::chrono::nanoseconds(rt0::kernel::nanotime())); }
bool nothing_in(const chan<time_point>& c) {
    time_point at;
    return c.try_recv(at) == op_status::would_block;
}

// rt0::timer on a channel that was there before the run: one made in it would come from the cache of a P, which is not as it was
// in the run before.
class timer {
public:
    timer(std::chrono::nanoseconds d, const chan<time_point>& c, bool own = true)
        : t_(rt0::detail::timer_make(c, own, nullptr)) {
        rt0::detail::timer_arm(t_.get(), d, {});
    }
    bool stop() { return rt0::detail::timer_stop(t_.get()); }
    void reset(std::chrono::nanoseconds d) { rt0::detail::timer_reset(t_.get(), d, {}); }

private:
    rt0::detail::timer_handle t_;
};

struct state {
    model::cluster c;
    alignas(chan<time_point>) unsigned char at[sizeof(chan<time_point>)];
    // Its end does not go the way of a call: this thread is none of the run's.
    const chan<time_point>& ch = *new (at) chan<time_point>(1);
    std::optional<timer> shared;
    rt0::runtime::atomic<int> done{0};
    explicit state(world& w) : c(w, 2, 4) {}
    ~state() { rt0::runtime::release_chan(ch.raw()); }
};

template <class F>
void explore(const options& o, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w);
        f(*s);
        w.after([=] { s->c.check_end(); });
    });
}

void looks_for_timers() {  // schedule() does, on its way to the next goroutine
    rt0::this_goroutine::yield();
    rt0::this_goroutine::yield();
}

//  M0                        M1
//  timer t(1us)
//                            runs the due timer: its send is in the channel, or about to be
//  t.stop()                  disarms, or waits for the callback (TM2), and empties the channel
TEST(UserTimer, StoppedAsItFires) {
    explore(with(2, 3000), [](state& s) {
        s.c.user(0, [&s] {
            timer t(1us, s.ch);
            rt0::this_goroutine::yield();
            t.stop();
            MODEL_CHECK(nothing_in(s.ch));
            MODEL_CHECK(!t.stop());
            rt0::this_goroutine::yield();
            MODEL_CHECK(nothing_in(s.ch));
        });
        s.c.user(1, looks_for_timers);
    });
}

TEST(UserTimer, ResetAsItFires) {
    explore(with(2, 3000), [](state& s) {
        s.c.user(0, [&s] {
            timer t(1us, s.ch);
            rt0::this_goroutine::yield();
            const time_point from = now();
            t.reset(5us);
            MODEL_CHECK(*s.ch.recv() >= from + 5us);
            MODEL_CHECK(nothing_in(s.ch));
        });
        s.c.user(1, looks_for_timers);
    });
}

// Both at once: what one armed the other disarms, and one firing is left.
TEST(UserTimer, ResetByTwo) {
    explore(with(2, 3000), [](state& s) {
        s.c.user(0, [&s] {
            s.shared.emplace(1us, s.ch);
            s.done.store(1);
            s.shared->reset(1us);
            while (s.done.load() != 2) rt0::this_goroutine::yield();
            s.ch.recv();
            MODEL_CHECK(nothing_in(s.ch));
            s.shared.reset();
        });
        s.c.user(1, [&s] {
            while (!s.done.load()) rt0::this_goroutine::yield();
            s.shared->reset(1us);
            s.done.store(2);
        });
    });
}

// The channel is the program's: what is in it when the handle goes stays, and nothing comes later.
TEST(UserTimer, TheLastHandleGoesAsItFires) {
    explore(with(2, 3000), [](state& s) {
        s.c.user(0, [&s] {
            {
                timer t(1us, s.ch, false);
                rt0::this_goroutine::yield();
            }
            time_point sent;
            s.ch.try_recv(sent);
            rt0::this_goroutine::yield();
            MODEL_CHECK(nothing_in(s.ch));
        });
        s.c.user(1, looks_for_timers);
    });
}

}  // namespace
