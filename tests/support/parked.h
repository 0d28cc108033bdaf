// Whether a goroutine has parked, for tests in which the order of events hangs on it.
#pragma once
#include <cstdint>

#include <rt0/go.h>

#include "sched/sched.h"
#include "sched/upcross.h"

namespace testing_support {

// Goroutine `id` waits, for that reason: it stands in the queue it waits in (PK1).
inline bool parked(std::uint64_t id, rt0::runtime::wait_reason why) {
    using namespace rt0::runtime;
    runtime_call rc;
    rcu_reader r;
    for (g* gp : allgs())
        if (gp->goid == id && readgstatus(gp) == gwaiting && gp->waitreason == why) return true;
    return false;
}

}  // namespace testing_support
