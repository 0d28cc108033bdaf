// What scenarios of the scheduler need: the globals as before the boot, fake Ms for model threads to be, Gs that
// say whether they were lost, taken twice, or handed over without an order.
#pragma once
#include <deque>
#include <new>

#include "sched/lists.h"
#include "sched/retake.h"
#include "sched/sched.h"
#include "tests/model/engine.h"

namespace model {

// The scheduler's globals as new; a run that failed left them as they stood.
inline void fresh_sched(world& w, std::int32_t procs) {
    using namespace rt0::runtime;
    [[maybe_unused]] static const bool registered = (rcu_thread_enter(), true);
    new (&sched) schedt{};
    sched.lastpoll.store(1);
    new (&retakelock) mutex{lock_rank::retake};
    gomaxprocs_now.store(procs);
    for (const void* at : {static_cast<const void*>(&gomaxprocs_now), static_cast<const void*>(&sched.exiting),
                           static_cast<const void*>(&sched.waitclock), static_cast<const void*>(&panicking)})
        w.constant(at);
}

// An M with its P, on g0.
struct fake_m {
    rt0::runtime::m mp;
    rt0::runtime::g g0;
    rt0::runtime::p pp;

    explicit fake_m(int id = 0) {
        g0.mp = &mp;
        g0.is_system = true;
        mp.g0 = &g0;
        mp.id = id;
        mp.rand = 88172645463325252ull + static_cast<std::uint64_t>(id);
        mp.pp = &pp;
        pp.mp = &mp;
        pp.id = id;
        pp.status.store(rt0::runtime::prunning);
    }
    fake_m(const fake_m&) = delete;
    fake_m& operator=(const fake_m&) = delete;
};

// Gs that never run.  made() before one is given away, took() by who gets it.
class tokens {
public:
    explicit tokens(std::size_t n) : all_(n) {
        std::uint64_t id = 0;
        for (auto& t : all_) {
            t.gp.goid = ++id;
            t.gp.atomicstatus.store(rt0::runtime::grunnable);
        }
    }
    rt0::runtime::g* made(std::size_t i) {
        all_[i].content.set(1);
        return &all_[i].gp;
    }
    void took(rt0::runtime::g* gp) {
        token& t = all_[gp->goid - 1];
        MODEL_CHECK(t.content.get() == 1);  // published with the G
        MODEL_CHECK(t.taken++ == 0);        // not twice
    }
    void all_taken() const {
        for (auto& t : all_) MODEL_CHECK(t.taken == 1);  // none lost
    }

private:
    struct token {
        rt0::runtime::g gp;
        var<int> content{0};
        int taken = 0;
    };
    std::deque<token> all_;
};

}  // namespace model
