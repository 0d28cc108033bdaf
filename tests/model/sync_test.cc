// semaphore, mutex and shared_mutex between goroutines on Ms that run schedule(): permits are neither lost nor made, also
// where a timed wait ends while a permit is on its way to it; readers share, writers are alone.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include <rt0/mutex.h>
#include <rt0/sync.h>

#include "tests/model/cluster.h"

using model::options;
using model::var;
using model::with;
using model::world;
using namespace std::chrono_literals;

namespace {

struct state {
    model::cluster c;
    rt0::semaphore sem, back{0};
    rt0::mutex l;
    rt0::shared_mutex rw;
    var<int> inside{0};
    int had = 0;
    state(world& w, int ps, int permits) : c(w, ps, ps + 2), sem(permits) {}
    void alone() {
        inside.set(inside.get() + 1);
        had++;
    }
    // Holding rw.
    void read() {
        rw.lock_shared();
        (void)inside.get();
        rw.unlock_shared();
    }
    void write() {
        rw.lock();
        alone();
        rw.unlock();
    }
};

template <class F>
void explore(const options& o, int ps, int permits, int left, F f) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w, ps, permits);
        f(*s);
        w.after([=] {
            s->c.check_end();
            for (int i = 0; i < left; i++) MODEL_CHECK(s->sem.try_acquire());
            MODEL_CHECK(!s->sem.try_acquire() && s->l.try_lock() && s->rw.try_lock());
        });
    });
}

class Sync : public testing::Test {
    void SetUp() override { model::by_membarrier(true); }
};

TEST_F(Sync, SemaphoreOfOne) {
    explore(with(1, 3000), 2, 1, 1, [](state& s) {
        for (int i : {0, 1, 1})
            s.c.user(i, [&s] {
                s.sem.acquire();
                s.alone();
                s.sem.release();
            });
    });
}

TEST_F(Sync, ReleaseOfTwo) {
    explore(with(1, 3000), 2, 0, 0, [](state& s) {
        for (int i : {0, 1}) s.c.user(i, [&s] { s.sem.acquire(); });
        s.c.user(0, [&s] { s.sem.release(2); });
    });
}

// The one that times out leaves the permit to others, or has it.
TEST_F(Sync, TimedAcquire) {
    options o = with(1, 5000);
    o.timeouts = 2;
    int had = 0, late = 0;
    explore(o, 2, 1, 1, [&](state& s) {
        s.c.user(0, [&] {
            if (!s.sem.acquire_for(20us)) return void(late++);
            had++;
            s.alone();
            s.sem.release();
        });
        s.c.user(1, [&s] {
            s.sem.acquire();
            s.alone();
            rt0::this_goroutine::sleep_for(20us);  // until the other's time is over, as well
            s.sem.release();
        });
    });
    EXPECT_TRUE(had > 0 && late > 0);
}

TEST_F(Sync, Mutex) {
    explore(with(1, 12'000), 2, 0, 0, [](state& s) {
        for (int i : {0, 1, 1})
            s.c.user(i, [&s] {
                s.l.lock();
                s.alone();
                s.l.unlock();
            });
    });
}

TEST_F(Sync, ReadersAndAWriter) {
    explore(with(1, 3000), 2, 0, 0, [](state& s) {
        s.c.user(0, [&s] { s.read(), s.read(); });
        s.c.user(1, [&s] { s.read(); });
        s.c.user(1, [&s] { s.write(); });
    });
}

TEST_F(Sync, WritersAndAReader) {
    explore(with(1, 3000), 2, 0, 0, [](state& s) {
        s.c.user(0, [&s] { s.write(); });
        s.c.user(1, [&s] { s.write(); });
        s.c.user(1, [&s] { s.read(); });
    });
}

// ML4: a reader came behind a writer that waits; when the writer's time is over the reader goes in beside the first one,
// which waits for it.
TEST_F(Sync, AReaderBehindAWriterThatGivesUp) {
    options o = with(1, 3000);
    o.timeouts = 2;
    explore(o, 2, 0, 0, [](state& s) {
        s.c.user(0, [&s] {
            s.rw.lock_shared();
            s.sem.release();
            s.back.acquire();
            s.rw.unlock_shared();
        });
        s.c.user(1, [&s] {
            s.sem.acquire();
            s.rw.lock_shared();
            s.back.release();
            s.rw.unlock_shared();
        });
        s.c.user(1, [&s] {
            if (!s.rw.try_lock_for(20us)) return;
            s.alone();
            s.rw.unlock();
        });
    });
}

}  // namespace
