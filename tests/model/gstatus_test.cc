// The states of a G between its holders and scanners (GS1 to GS4 in sched/gstatus.h): with compare-and-swap alone, and with
// the holder's instruction that is not locked.  That one is a load and a store here (cas_unlocked in base/atomic.h), and as
// any load it may see an old value: then the machine has let others in between its two halves, or its store has stayed in
// the processor's buffer while they went on.
//
// Who may race with it: scanners alone.  Two holders, one after the other, would spoil it as well, were the second not to
// see what the first had written: it would write an old state over the new one.  So each scenario where a G goes from hand
// to hand (HandedOn, and the cluster's) asks whether the hand-over is an order.
#include <gtest/gtest.h>

#include <memory>

#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using namespace rt0::runtime;
using model::options;
using model::var;
using model::with;
using model::world;

namespace {

// What collect() in debug/traceback.cc scans, and a G in a system call, which exitsyscall is ready for.
bool at_rest(std::uint32_t status) { return status == grunnable || status == gwaiting || status == gsyscall; }

// A G, of which nothing runs; who has it running, or scans it, has its stack.
struct state {
    g gp;
    var<int> stack{0};
    int scans = 0, inside = 0;
    atomic<std::uint32_t> hand{0};  // whose turn it is to hold it

    explicit state(std::uint32_t first) {
        gp.goid = 7;
        gp.atomicstatus.store(first);
    }
    // Holder: runs it, and parks it.
    void run() {
        casgstatus(&gp, grunnable, grunning);
        use();
        casgstatus(&gp, grunning, gwaiting);
    }
    void use() {
        MODEL_CHECK(inside++ == 0);
        stack.set(stack.get() + 1);
        step();
        MODEL_CHECK(--inside == 0);
    }
    // Scanner.  False: it is not in this state, or another scan is going on.
    bool scan(std::uint32_t in) {
        if (!castogscanstatus(&gp, in, in | gscan)) return false;
        MODEL_CHECK(inside++ == 0);
        const int before = stack.get();
        MODEL_CHECK(readgstatus(&gp) == (in | gscan));  // GS1
        MODEL_CHECK(stack.get() == before);
        MODEL_CHECK(--inside == 0);
        casfrom_gscanstatus(&gp, in | gscan, in);
        scans++;
        return true;
    }
    // In whatever state it is at rest.
    void scan_any() {
        const std::uint32_t in = readgstatus(&gp) & ~std::uint32_t{gscan};
        if (at_rest(in)) scan(in);
    }
    void await(std::uint32_t turn) {
        while (hand.load(memory_order_acquire) != turn) rt0::kernel::osyield();
    }
    void step() { hand.load(memory_order_relaxed); }  // relaxed: only so that others may come in between
};

class Status : public testing::TestWithParam<bool> {
    void SetUp() override {
        if (GetParam() && !rt0::arch::has_local_cas) GTEST_SKIP() << "no such instruction";
        model::by_membarrier(true);
        local_gstatus = GetParam();
    }
    void TearDown() override { local_gstatus = false; }
};
INSTANTIATE_TEST_SUITE_P(By, Status, testing::Bool(), [](auto& i) { return i.param ? "Local" : "Locked"; });

// looks: how many loads see an old value in a depth-first schedule.
options few(unsigned preemptions, unsigned looks) {
    options o = with(preemptions, 3000, 400'000);
    o.dfs.looks_back = looks;
    return o;
}

template <class F>
void explore(const options& o, std::uint32_t first, std::uint32_t last, F f) {
    int scans = 0;
    model::explore(o, [=, &scans](world& w) {
        auto s = std::make_shared<state>(first);
        f(w, s);
        w.after([=, &scans] {
            MODEL_CHECK(s->gp.atomicstatus.load() == last && s->inside == 0);
            scans += s->scans;
        });
    });
    EXPECT_GT(scans, 0);
}

// GS4's first drawing.  The scanner writes between the halves of the holder's instruction, whose second half then undoes
// that; only what is still there after the membarrier is the scanner's.  And the second: the holder has read that there is
// a scan, and writes that back when it is over; nobody would end that one.
//
//     holder                        scanner
//     read runnable
//                                   lock cmpxchg runnable -> runnable|scan
//                                   (membarrier comes too early, or not at all: believes it)
//     write running
//     uses the stack                reads the stack
TEST_P(Status, OneScannerOneHolder) {
    explore(few(3, 2), grunnable, gwaiting, [](world& w, auto s) {
        w.thread([s] { s->run(); });
        w.thread([s] { s->scan(grunnable), s->scan(gwaiting); });
    });
}

// GS4: why scanners take turns.  A's second look, for a scan of its own that the holder has written back, must not find B's:
//
//     holder                        scanner A                      scanner B
//                                   lock cmpxchg scan -> runnable
//                                                                  lock cmpxchg runnable -> scan, membarrier: mine
//                                   membarrier
//                                   lock cmpxchg scan -> runnable
//     cmpxchg runnable -> running
//     uses the stack                                               reads the stack
TEST_P(Status, TwoScannersOneHolder) {
    explore(few(3, 1), grunnable, gwaiting, [](world& w, auto s) {
        w.thread([s] { s->run(); });
        for (int i = 0; i < 2; i++) w.thread([s] { s->scan(grunnable); });
    });
}

// From hand to hand, by an order and nothing else, and through all edges that are not out of running: who comes second reads
// no older state than the one he was told of.  A scanner looks on.
//
//     M1                            M2                             scanner
//     running -> waiting
//     hand = 1 (release)
//                                   hand == 1 (acquire)
//                                   cmpxchg waiting -> runnable    lock cmpxchg waiting -> waiting|scan ...
//                                   hand = 2
//     hand == 2
//     cmpxchg runnable -> running
TEST_P(Status, HandedOn) {
    explore(few(2, 2), grunnable, gdead, [](world& w, auto s) {
        w.thread([s] {
            s->run();
            s->hand.store(1, memory_order_release);
            s->await(2);
            casgstatus(&s->gp, grunnable, grunning);
            s->use();
            casgstatus(&s->gp, grunning, gsyscall);
            s->step();
            casgstatus(&s->gp, gsyscall, grunning);
            s->use();
            casgstatus(&s->gp, grunning, gdead);
        });
        w.thread([s] {
            s->await(1);
            casgstatus(&s->gp, gwaiting, grunnable);
            s->hand.store(2, memory_order_release);
        });
        w.thread([s] { s->scan_any(), s->scan_any(); });
    });
}

// The same on Ms that run schedule(): goroutines that park, are readied, go on and are stolen, and what hands them over are
// locks and queues.  A dump (debug/traceback.cc) looks at all of them meanwhile.
struct party {
    model::cluster c;
    model::fake_m dumper{99};
    mutex l{lock_rank::hchan};
    g* waiting = nullptr;
    bool came = false;
    var<int> stack[3];  // of each goroutine
    int scans = 0;

    party(world& w, int ps) : c(w, ps, ps + 1) { dumper.mp.pp = nullptr; }
    void use() {
        var<int>& mine = stack[getg()->goid - 1];
        mine.set(mine.get() + 1);
    }
    void wait() {
        use();
        l.lock();
        if (came) {
            l.unlock();
        } else {
            waiting = getg();
            goparkunlock(&l, wait_reason::chan_receive);
        }
        use();
    }
    void come() {
        use();
        l.lock();
        came = true;
        g* gp = waiting;
        l.unlock();
        if (gp) goready(gp);
        use();
    }
    void dump(std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            g* gp = c.gp(i);
            const std::uint32_t in = readgstatus(gp) & ~std::uint32_t{gscan};
            if (!at_rest(in) || !castogscanstatus(gp, in, in | gscan)) continue;
            const int before = stack[i].get();
            const std::uintptr_t sp = gp->sched.sp;
            MODEL_CHECK(readgstatus(gp) == (in | gscan));
            MODEL_CHECK(stack[i].get() == before && gp->sched.sp == sp);
            casfrom_gscanstatus(gp, in | gscan, in);
            scans++;
        }
    }
};

template <class F>
void together(const options& o, int ps, std::size_t goroutines, F f) {
    int scans = 0;
    model::explore(o, [=, &scans](world& w) {
        auto s = std::make_shared<party>(w, ps);
        f(*s);
        w.thread([=] { s->dump(goroutines); }, &s->dumper.g0);
        w.after([=, &scans] { s->c.check_end(), scans += s->scans; });
    });
    EXPECT_GT(scans, 0);
}

TEST_P(Status, ParkedAndReadied) {
    together(with(2, 4000), 2, 2, [](party& s) {
        s.c.go(0, [&s] { s.wait(); });
        s.c.go(1, [&s] { s.come(); });
    });
}

// Into system calls and out; stolen from one queue by the other M.
TEST_P(Status, SystemCallsAndThieves) {
    together(with(1, 4000), 2, 3, [](party& s) {
        s.c.go(0, [&s] { s.use(), entersyscall(), exitsyscall(), s.use(); });
        s.c.go(0, [&s] { s.use(), gosched(), s.use(); });
        s.c.go(1, [&s] { s.use(), entersyscall(), rt0::kernel::osyield(), exitsyscall(), s.use(); });
    });
}

}  // namespace
