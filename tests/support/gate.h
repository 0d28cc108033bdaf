// Waiting for goroutines in tests of the scheduler itself, which cannot lean on what is
// built above it.
#pragma once
#include <rt0/go.h>

#include "sched/sched.h"
#include "sched/upcross.h"

namespace testing_support {

// n calls of one() release the one goroutine in wait().
class countdown {
public:
    explicit countdown(int n) : left_(n) {}
    void one() {
        rt0::runtime::runtime_call rc;
        rt0::runtime::g* wake = nullptr;
        {
            rt0::runtime::guard l(lock_);
            if (--left_ == 0) std::swap(wake, waiter_);
        }
        if (wake) rt0::runtime::goready(wake);
    }
    void wait() {
        rt0::runtime::runtime_call rc;
        lock_.lock();
        if (left_ <= 0) return lock_.unlock();
        waiter_ = rc.gp;
        rt0::runtime::goparkunlock(&lock_, rt0::runtime::wait_reason::semacquire);
    }

private:
    rt0::runtime::mutex lock_{rt0::runtime::lock_rank::waitq};
    int left_;
    rt0::runtime::g* waiter_ = nullptr;
};

}  // namespace testing_support
