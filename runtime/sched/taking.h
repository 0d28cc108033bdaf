// How sysmon takes the Ps on which it has decided (sched/sysmon.cc): out of user code, by the handshake of sched/retake.h,
// and from declared system calls, where one compare-and-exchange of p.status decides (syscall.cc, SY1).  The models
// run this part of sysmon; why a P is taken, which asks the kernel and the time, they leave out.
#pragma once
#include "sched/retake.h"

namespace rt0::runtime {

// A look at the Ps, from beginning to end: RK2.
class SCOPED_CAPABILITY taking {
public:
    taking() ACQUIRE(retakelock);
    ~taking() RELEASE();
    taking(const taking&) = delete;
    taking& operator=(const taking&) = delete;
};

// The Ms whose Ps are to be taken in it, linked by retakelink, each with its heir.
struct takings {
    m* first = nullptr;
    std::int32_t heirless = 0;  // Ps that are left for want of an M

    // hog: M runs.
    void want(m* mp, bool hog) REQUIRES(retakelock);
    // All that were wanted and stand still.
    void take(std::int64_t now) REQUIRES(retakelock);
};

// A P whose M has been in a system call since the last look: taken when there is work
// for it or no other P is free, and after forced_preempt in any case.  due: others wait, and its goroutine, maybe in many short
// calls, has used up its time slice.
bool retake_syscall(p* pp, std::int64_t now, bool due, takings* r) REQUIRES(retakelock);

}  // namespace rt0::runtime
