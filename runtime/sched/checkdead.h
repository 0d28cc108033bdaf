// Deadlock detection.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// sched.lock is held; called when an M goes idle or ends.  If no goroutine can ever run
// again, says so and ends the process.  True: only other threads of the process may help still.
bool checkdead() REQUIRES(sched.lock);
// Ms that run or may run a goroutine.
std::int64_t running_ms() REQUIRES(sched.lock);
// Without the lock: a thread that counted as a stranger is about to end; look when it has.
void checkdead_later();
// Without the lock: the runtime was booted from a foreign thread, so never report.
void checkdead_disable();
// It was, but main_main is a goroutine now, and the initial thread does nothing any more: reports again.
void checkdead_main_sleeps();

}  // namespace rt0::runtime
