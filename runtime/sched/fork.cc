// fork.  exec is all that a child can do with rt0 (base/forked.h says why).
//
//   FO1  fork, exec and posix_spawn need nothing of the runtime and may be called from
//        any goroutine or thread; the runtime holds no lock then, since user code runs.
//   FO2  In the child of libc's fork the forking goroutine is marked as the others are
//        when the process exits: its next crossing leaves the fast path, and ends in
//        one line.  So the fast path pays nothing.
//   FO3  A child forked by a bare system call, or by _Fork, has no handler.  But ms stand in pages that the kernel
//        gives a child as zeroes, and a live m.retake is never 0: there, too, the next crossing leaves the fast path.
//        Where the kernel wiped no ms (Linux before 4.14, no memory for the mapping) the wiped word (FK1) is
//        looked at by the slow paths of crossings, by system calls declared to the runtime (blocking, println), by
//        schedule(), by whoever makes a thread, before every futex call and in loops that spin.
//        Until it comes there such a child may have run crossings that went well on its copy alone.
//   FO4  exit() in a child runs on: what rt0 does on the way out (channels of static
//        storage are freed) sees that the process is exiting and waits for nobody.
//   FO5  A child, and what it execs, is not SCHED_IDLE because its forker was a hog (SM3): in the child of libc's fork
//        that class is left, unless the forker had it before by the program's will.  Which is looked at before the
//        fork, as the kernel wipes the child's ms: sysmon makes m.idle_class_changes odd before it gives the class and even
//        after it took it, so SCHED_IDLE between two looks at the same even number is the program's.
//
//        the forker                      sysmon                    (without the second look)
//        SCHED_IDLE
//                                        takes the class; even
//        even: by the program's will?
//                                        odd; gives the class
//        clone: the child is SCHED_IDLE for good
//
//        What comes after the looks is sysmon's.  (A program that makes a thread SCHED_IDLE just as sysmon is about to,
//        and forks, has an ordinary child; and SCHED_IDLE that it asks for while it has it from us ends with the hog.)
#include "sched/fork.h"

#include <cerrno>

#include "base/throw.h"
#include "kernel_if/activity.h"
#include "kernel_if/cpu.h"
#include "kernel_if/memory.h"
#include "sched/exit.h"
#include "sched/retake.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

__thread bool idle_by_choice __attribute__((tls_model("initial-exec"), visibility("hidden"))) = false;  // FO5

void before_fork() {
    g* gp = getg();
    const m* mp = nullptr;
    if (gp) mp = gp->mp;
    auto changes = [mp] {
        // ORDER(idle-class): seq_cst; pairs with count_idle_class: the class is asked for between two counts.
        atomic_thread_fence(memory_order_seq_cst);
        std::uint32_t n = mp ? mp->idle_class_changes.load(memory_order_relaxed) : 0;  // relaxed: the fences
        atomic_thread_fence(memory_order_seq_cst);  // ORDER(idle-class): as above
        return n;
    };
    std::uint32_t before = changes();
    bool idle = kernel::idle_class_permitted() && kernel::idle_class_now();
    idle_by_choice = idle && before % 2 == 0 && changes() == before;
}

// Not analysed: the child has one thread, and retakelock may be held for ever by one it does not have.
void forked_child() NO_THREAD_SAFETY_ANALYSIS {
    report_forked();
    disown_exit();
    sched.exiting.store(true, memory_order_relaxed);  // relaxed, as below: one thread
    g* gp = getg();
    if (!gp) return;  // a thread that is new to the runtime meets foreign_enter
    gp->mp->retake.store(rt_exiting, memory_order_relaxed);  // FO2; a phase that the parent's is in ends with it
    gp->mp->inrt.store(0, memory_order_relaxed);  // 1 in the goroutine that ends the parent (EX2)
    if (kernel::idle_class_permitted() && !idle_by_choice) kernel::idle_class_leave(0);
    gp->mp->idle_class_changes.store(0, memory_order_relaxed);  // where no m was wiped
}

}  // namespace

void forkinit() {
    if (kernel::fork_watch(before_fork, forked_child) != 0) out_of_memory("the fork handlers");
}

void m0init() {
    if (kernel::read_auxv(nullptr).page_size != cfg::m0_align) return;
    int rc = kernel::sys_own_pages(&room_of_m0, sizeof room_of_m0);
    if (rc == -EFAULT) out_of_memory("the first thread");
    // An error: FO3's exception.
    if (rc == 0) kernel::sys_wipeonfork(&room_of_m0, sizeof room_of_m0);
}

}  // namespace rt0::runtime
