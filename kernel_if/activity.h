// What another thread of this process is doing: its processor time, whether the kernel
// holds it, its scheduling class.  Nothing here disturbs the thread.
#pragma once
#include <cstdint>

namespace rt0::kernel {

// Processor time used by thread tid, ns; -errno when it is gone.  Source: clock_getcpuclockid(3)'s
// encoding, which pthread_getcpuclockid uses for a tid.
std::int64_t thread_cputime(std::int32_t tid);

enum class activity {
    running,  // in user code, on a processor or waiting for one
    blocked,  // asleep in the kernel
    unknown,  // /proc cannot tell
};

// A descriptor (close-on-exec) of /proc/self/task/TID/syscall, or of TID/stat where that is for root only.
struct activity_file {
    int fd = -1;                        // -errno: it could not be had
    std::uint64_t device = 0, inode = 0;  // a program may close descriptors that are not its own, and get their numbers again
};
activity_file activity_open(std::int32_t tid);
// 1.3 to 3 us, of stat half as much again.  A thread that runs user code is "running" there however long it waits for a processor.
activity activity_read(const activity_file& f);
// Not where the descriptor is another file by now.
void activity_close(const activity_file& f);
// Opened, read and closed: for a look that is not repeated soon.
activity activity_now(std::int32_t tid);

// SCHED_IDLE: a thread that runs only when nobody else wants the processor.
//
// Tries, on the calling thread, whether the way into SCHED_IDLE and back is permitted (root or
// CAP_SYS_NICE in the initial user namespace, or RLIMIT_NICE of 20).  The thread stays in SCHED_IDLE if it
// is not: called on one that is about to end (thread_init's donor).
void idle_class_probe();
// What the probe found; false before it.
bool idle_class_permitted();
// And has the thread the right to come back itself?  A program, or one thread of it, may have dropped root since.  Two
// system calls.
bool idle_class_permitted_to(std::int32_t tid);
// Into SCHED_IDLE, from SCHED_OTHER only; or back from it.  0 or -errno; -EINVAL: the thread has
// another class, which is left alone.
int idle_class_enter(std::int32_t tid);
int idle_class_leave(std::int32_t tid);
// Has the calling thread that class?  Has the other the one that it is entered from?
bool idle_class_now();
bool idle_class_may_enter(std::int32_t tid);

// The calling thread becomes SCHED_FIFO of the lowest priority, or SCHED_OTHER again.  Its children (a signal handler
// of the program may fork on it) do not: SCHED_RESET_ON_FORK, which stays.
// 0 or -errno: -EPERM without root, CAP_SYS_NICE or RLIMIT_RTPRIO; -EINVAL: it has another class than
// SCHED_OTHER, which is left alone.
int realtime_enter();
int realtime_leave();

}  // namespace rt0::kernel
