// An M with its g0 and a P on a plain thread, so that the parts of the scheduler can be
// tested one at a time, in a process where nothing else schedules.
//
//   FS1  one fake_m per thread; while it lives getg() is its g0, as inside schedule().
//   FS2  Gs are only tokens here: they have a status and an id, and never run.
#pragma once
#include <deque>
#include <memory>

#include "sched/lists.h"
#include "sched/sched.h"

namespace testing_support {

struct fake_m {
    rt0::runtime::m mp;
    rt0::runtime::g g0;
    rt0::runtime::p pp;

    fake_m() {
        using namespace rt0::runtime;
        rcu_thread_enter();
        g0.mp = &mp;
        g0.is_system = true;
        mp.g0 = &g0;
        mp.rand = 88172645463325252ull;
        mp.pp = &pp;
        pp.mp = &mp;
        pp.status.store(prunning);
        setg(&g0);
    }
    ~fake_m() {
        rt0::runtime::setg(nullptr);
        rt0::runtime::rcu_thread_leave();
    }
    fake_m(const fake_m&) = delete;
    fake_m& operator=(const fake_m&) = delete;
};

// Gs with ids 1, 2, 3 ...
class tokens {
public:
    explicit tokens(std::size_t n, std::uint32_t status = rt0::runtime::grunnable) : gs_(n) {
        std::uint64_t id = 0;
        for (auto& gp : gs_) {
            gp.goid = ++id;
            gp.atomicstatus.store(status);
        }
    }
    rt0::runtime::g* operator[](std::size_t i) { return &gs_[i]; }
    std::size_t size() const { return gs_.size(); }

private:
    std::deque<rt0::runtime::g> gs_;  // a g is not copied
};

}  // namespace testing_support
