// condition_variable, wait_group, once and latch between goroutines on Ms that run schedule(): nobody waits for what has
// come, also where a notification meets a wait that times out, and who goes on sees what was done before.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <rt0/mutex.h>
#include <rt0/sync.h>

#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using model::options;
using model::var;
using model::with;
using model::world;
using namespace std::chrono_literals;

namespace {

struct state {
    model::cluster c;
    rt0::mutex l;
    rt0::condition_variable cv;
    rt0::wait_group wg;
    rt0::once once;
    rt0::latch latch{2};
    rt0::barrier<> barrier{2};
    std::optional<rt0::barrier<>::arrival_token> arrived_first;
    var<int> data[2];
    int items = 0, arrived = 0, waiting = 0;  // under l
    bool cv_gone = false;
    explicit state(world& w) : c(w, 2, 4) {}

    void done(int i) { data[i].set(1); }
    void both_done() const { MODEL_CHECK(data[0].get() == 1 && data[1].get() == 1); }

    // Takes an item, and waits for one.
    void consume() {
        std::unique_lock lk(l);
        cv.wait(lk, [this] { return items > 0; });
        items--;
    }
    void produce(int n) {
        std::unique_lock lk(l);
        items += n;
    }
    // True: notified.  d < 0: without a limit.
    bool wait(std::chrono::nanoseconds d) {
        std::unique_lock lk(l);
        arrived++, waiting++;
        bool notified = true;
        if (d.count() < 0) cv.wait(lk);
        else notified = cv.wait_for(lk, d) == std::cv_status::no_timeout;
        waiting--;
        return notified;
    }
    bool somebody_waits() { return reinterpret_cast<rt0::detail::cond_state&>(cv).waiting.load() != 0; }
    // Destroyed: in its place is a lock that nobody opens.
    rt0::detail::waitq& cv_queue() { return reinterpret_cast<rt0::detail::cond_state&>(cv).q; }
    void forbid_cv() {
        cv_queue().key.store(1);
        cv_gone = true;
    }
    // Until n goroutines have come to wait, and perhaps have gone.  It may be one of this P's queue that is to come, and there is
    // no sysmon here to see that the others have left that alone (RQ8).
    void until_arrived(int n) {
        for (;; rt0::this_goroutine::yield(), rt0::kernel::osyield()) {
            std::unique_lock lk(l);
            if (arrived == n) return;
        }
    }
};

// Destroyed; a gate that nobody opens is in its place: closed is that of a count, or of missing arrivals in the first phase.
template <class T>
void close_for_good(T& t, std::uint64_t closed) {
    reinterpret_cast<rt0::detail::gate&>(t).word.store(closed);
}

template <class F>
void explore(const options& o, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w);
        f(*s);
        w.after([=] {
            s->c.check_end();
            MODEL_CHECK(s->items == 0 && s->waiting == 0);
            MODEL_CHECK(!s->cv_gone || s->cv_queue().key.load() == 1);
            MODEL_CHECK(reinterpret_cast<rt0::detail::group_state&>(s->wg).word.load() == 0);
        });
    });
}
static_assert(sizeof(rt0::wait_group) == sizeof(rt0::detail::group_state));
static_assert(sizeof(rt0::condition_variable) == sizeof(rt0::detail::cond_state));

options timed() {
    options o = with(1, 4000);
    o.timeouts = 2;
    return o;
}

class Condition : public testing::Test {
    void SetUp() override { model::by_membarrier(true); }
};
using Group = Condition;

TEST_F(Condition, OneByOne) {
    explore(with(1, 3000), [](state& s) {
        for (int i : {0, 1}) s.c.user(i, [&s] { s.consume(); });
        s.c.user(0, [&s] {
            for (int i = 0; i < 2; i++) s.produce(1), s.cv.notify_one();
        });
    });
}

TEST_F(Condition, AllAtOnce) {
    explore(with(1, 3000), [](state& s) {
        for (int i : {0, 1}) s.c.user(i, [&s] { s.consume(); });
        s.c.user(0, [&s] { s.produce(2), s.cv.notify_all(); });
    });
}

// One notification for two, one of which times out meanwhile: it says so, or it has it and passes it on.
TEST_F(Condition, ANotificationMeetsATimeout) {
    explore(timed(), [](state& s) {
        s.c.user(1, [&s] {
            if (s.wait(20us)) s.cv.notify_one();
        });
        s.c.user(1, [&s] { s.wait(-1ns); });
        s.c.user(0, [&s] { s.until_arrived(2), s.cv.notify_one(); });
    });
}

// CV4: gone when all have been notified.  What is left in its place is a lock that nobody will open.
TEST_F(Condition, GoneOnceAllAreNotified) {
    explore(timed(), [](state& s) {
        s.c.user(1, [&s] { s.wait(20us); });
        s.c.user(1, [&s] { s.wait(-1ns); });
        s.c.user(0, [&s] {
            s.until_arrived(2);
            s.cv.notify_all();
            s.forbid_cv();
        });
    });
}

// CV3: the same where all of them may time out.  A lock that is opened after all was opened by the timer's callback.
TEST_F(Condition, GoneThoughAllTimeOut) {
    explore(timed(), [](state& s) {
        s.c.user(1, [&s] { s.wait(20us); });
        s.c.user(0, [&s] {
            s.until_arrived(1);
            for (int i = 0; i < 40 && s.somebody_waits(); i++) rt0::kernel::osyield();  // or the callback would be late for it
            s.cv.notify_all();
            s.forbid_cv();
        });
    });
}

// CV4: by a waiter, as soon as it has been notified.
TEST_F(Condition, AWaiterDestroysIt) {
    explore(with(1, 4000), [](state& s) {
        s.c.user(1, [&s] {
            s.wait(-1ns);
            s.forbid_cv();
        });
        s.c.user(0, [&s] {
            s.until_arrived(1);
            s.cv.notify_all();
        });
    });
}

TEST_F(Group, TwoWaitForTwo) {
    explore(with(1, 3000), [](state& s) {
        s.wg.add(2);
        for (int i : {0, 1}) {
            s.c.user(i, [&s, i] { s.done(i), s.wg.done(); });
            s.c.user(1 - i, [&s] { s.wg.wait(), s.both_done(); });
        }
    });
}

// GR1: used again while the first zero has yet to let those go that wait for it; who waits for the second zero waits for
// that one.
TEST_F(Group, UsedAgain) {
    explore(with(1, 4000), [](state& s) {
        s.wg.add(1);
        s.c.user(1, [&s] { s.wg.wait(); });
        s.c.user(0, [&s] { s.done(0), s.wg.done(); });
        s.c.user(1, [&s] {
            s.wg.wait();
            s.wg.add(1);
            s.latch.count_down(2);
            s.wg.wait();
            s.both_done();
        });
        s.c.user(0, [&s] {
            s.latch.wait();
            s.done(1), s.wg.done();
        });
    });
}

// GR1: the counter comes to zero twice while the first to make it so has yet to let go who waits, and who was let go by the
// second waits again.
TEST_F(Group, TwoZerosAndAThirdWait) {
    explore(with(1, 8000), [](state& s) {
        s.wg.add(1);
        s.c.user(1, [&s] {
            s.wg.wait();
            s.wg.add(1);
            s.latch.count_down(2);
            s.wg.wait();
            MODEL_CHECK(s.data[0].get() == 1);
        });
        s.c.user(0, [&s] { s.wg.done(); });
        s.c.user(1, [&s] { s.wg.add(1), s.wg.done(); });
        s.c.user(0, [&s] {
            s.latch.wait();
            s.done(0), s.wg.done();
        });
    });
}

TEST_F(Group, Once) {
    explore(with(1, 3000), [](state& s) {
        for (int i : {0, 1, 1})
            s.c.user(i, [&s] {
                s.once.call([&s] { s.data[0].set(s.data[0].get() + 1); });
                MODEL_CHECK(s.data[0].get() == 1);
            });
    });
}

TEST_F(Group, Latch) {
    explore(with(1, 3000), [](state& s) {
        for (int i : {0, 1}) s.c.user(i, [&s, i] { s.done(i), s.latch.count_down(); });
        for (int i : {0, 1}) s.c.user(i, [&s] { s.latch.wait(), s.both_done(); });
    });
}

// WQ4: destroyed by who was let through, while the last one to arrive is on the way out of its own wait.  What is left in
// its place is closed for good.
TEST_F(Group, LatchGoneOnceItIsOpen) {
    explore(with(1, 3000), [](state& s) {
        s.c.user(1, [&s] { s.latch.wait(), close_for_good(s.latch, 4); });
        s.c.user(0, [&s] { s.latch.arrive_and_wait(2); });
    });
}

TEST_F(Group, BarrierGoneOnceThePhaseIsOver) {
    explore(with(1, 3000), [](state& s) {
        s.arrived_first.emplace(s.barrier.arrive());
        s.c.user(1, [&s] { s.barrier.wait(std::move(*s.arrived_first)), close_for_good(s.barrier, 2); });
        s.c.user(0, [&s] { s.barrier.arrive_and_wait(); });
    });
}

}  // namespace
