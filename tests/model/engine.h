// Model runs: the product's own code on threads that are fibres of one thread of the system, under a machine
// (arch/model.h) that decides at every access to an atomic who goes on and what a load sees.  README.md here
// says how to write a scenario.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "arch/gobuf.h"
#include "arch/model.h"
#include "tests/model/memory.h"
#include "tests/model/strategy.h"

namespace rt0::runtime {
struct g;
}

namespace model {

// The threads of one run and what is to hold after it.  A scenario builds its state anew, adds its threads, and
// returns; it may own the state through what the threads capture.
class world {
public:
    // Runs f, with getg() being g.  A thread must end; one that is `lasting` may also sleep for good.
    void thread(std::function<void()> f, rt0::runtime::g* g = nullptr);
    void lasting(std::function<void()> f, rt0::runtime::g* g = nullptr);
    // Checked on no thread, when all have ended.
    void after(std::function<void()> f) { after_ = std::move(f); }
    // Never changes in this scenario: no schedule points there.
    void constant(const void* at) { constants_.push_back(at); }

private:
    friend class machine;
    struct start {
        std::function<void()> f;
        rt0::runtime::g* g;
        bool lasting;
    };
    std::vector<start> threads_;
    std::function<void()> after_;
    std::vector<const void*> constants_;
};

struct options {
    bounds dfs;                   // dfs.runs 0: none; a search that half of them does not end gives the others to `evenly`
    bool evenly = true;
    bool old_reads = true;        // false: loads see the last store
    unsigned random_runs = 2000;  // RT_MODEL_RUNS=k: k times as many
    unsigned pct_runs = 2000;
    unsigned pct_depth = 3;
    unsigned steps = 20'000;      // of a run; more are a livelock
    unsigned early = 2;           // futex waits and weak exchanges that end early, in a run
    unsigned timeouts = 1;        // timed waits that time out though somebody else could go on, in a run
};

// Runs the scenario by every strategy, until one run fails: then the test fails with the schedule.  With
// RT_MODEL_SCHEDULE=... in the environment just that one; with RT_MODEL_TRACE=1 it says what happens.
void explore(const options& o, const std::function<void(world&)>& scenario);

// The same without failing the test: what the first run that failed says, with its schedule; "" if none did.
std::string first_failure(const options& o, const std::function<void(world&)>& scenario);

// Ends the run as failed.
[[noreturn]] void fail(const std::string& what);
#define MODEL_CHECK(what)                                                                                     \
    do {                                                                                                      \
        if (!(what)) ::model::fail(std::string(__FILE__ ":") + std::to_string(__LINE__) + ": not so: " #what); \
    } while (0)

// Plain data of a scenario: two accesses that are not ordered, one of them a write, fail the run.
bool plain_ok(plain_access& a, bool write);
template <class T>
class var {
public:
    explicit var(T v = {}) : v_(v) {}
    T get() const {
        if (!plain_ok(a_, false)) fail("data race: a read that no order puts after the last write");
        return v_;
    }
    void set(T v) {
        if (!plain_ok(a_, true)) fail("data race: a write that no order puts after the last accesses");
        v_ = v;
    }

private:
    T v_;
    mutable plain_access a_;
};

}  // namespace model
