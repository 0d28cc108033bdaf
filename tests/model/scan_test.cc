// Scans against the holder's changes (GS1, GS3, GS4): a status that has the scan bit stays as it is until the scanner gives it
// back, and no bit is lost or left behind, though the holder's instruction is whole only towards a membarrier.
#include <gtest/gtest.h>

#include <memory>

#include "sched/sched.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::world;

namespace {

struct state {
    g gp;
    var<int> stack{0};  // what a scanner reads, and who runs writes
    int scans = 0;

    state() {
        gp.atomicstatus = gwaiting;
        rt0::runtime::local_gstatus = true;
    }
    ~state() { rt0::runtime::local_gstatus = false; }

    void run() {
        casgstatus(&gp, grunnable, grunning);
        stack.set(stack.get() + 1);
    }
    // Readied, run, parked.
    void turn() {
        casgstatus(&gp, gwaiting, grunnable);
        run();
        casgstatus(&gp, grunning, gwaiting);
    }
    // With a declared call in between.
    void turn_with_call() {
        casgstatus(&gp, gwaiting, grunnable);
        run();
        casgstatus(&gp, grunning, gsyscall);
        casgstatus(&gp, gsyscall, grunning);
        stack.set(stack.get() + 1);
        casgstatus(&gp, grunning, gwaiting);
    }
    void scan(std::uint32_t s) {
        if (!castogscanstatus(&gp, s, s | gscan)) return;
        const int before = stack.get();
        MODEL_CHECK(gp.atomicstatus.load(memory_order_relaxed) == (s | gscan));  // relaxed: GS1, nobody changes it
        MODEL_CHECK(stack.get() == before);
        casfrom_gscanstatus(&gp, s | gscan, s);
        scans++;
    }
};

options with(unsigned preemptions, unsigned runs) {
    options o = model::with(preemptions, runs, 20'000);
    o.dfs.looks_back = 1;
    return o;
}

template <class F>
void explore(const options& o, F f) {
    if (!rt0::arch::has_local_cas) GTEST_SKIP() << "no such instruction";
    int scans = 0;
    model::explore(o, [&](world& w) {
        auto s = std::make_shared<state>();
        f(w, s.get());
        w.after([s, &scans] {
            MODEL_CHECK(s->gp.atomicstatus.load() == gwaiting);
            scans += s->scans;
        });
    });
    EXPECT_GT(scans, 0) << "the scenario is about nothing";
}

// The first drawing of GS4: the bit comes between the holder's read and its write.
TEST(Scan, OfOneThatIsReadied) {
    explore(with(3, 5000), [](world& w, state* s) {
        w.thread([s] { s->turn(); });
        w.thread([s] { s->scan(gwaiting), s->scan(grunnable); });
    });
}

// The second one: what a failed instruction writes back comes after the scan.
TEST(Scan, AgainAndAgain) {
    explore(with(3, 5000), [](world& w, state* s) {
        w.thread([s] { s->turn(), s->turn(); });
        w.thread([s] { s->scan(gwaiting), s->scan(gwaiting); });
    });
}

TEST(Scan, OfOneInACall) {
    explore(with(3, 5000), [](world& w, state* s) {
        w.thread([s] { s->turn_with_call(); });
        w.thread([s] { s->scan(gsyscall), s->scan(gwaiting); });
    });
}

// One at a time, or the second look of one would take the other's bit away.
TEST(Scan, ByTwo) {
    explore(with(3, 10'000), [](world& w, state* s) {
        w.thread([s] { s->turn(); });
        w.thread([s] { s->scan(gwaiting); });
        w.thread([s] { s->scan(gwaiting); });
    });
}

}  // namespace
