// The stacks of a report.
//
//   RS1  Each block is flushed before the next is collected: if the process dies in the
//        middle, what was found is on standard error.
//   RS2  The world runs on while the report is written; other goroutines are held by
//        their scan bit one at a time.  The current goroutine comes first.
#include "debug/report.h"

#include "base/upcall.h"
#include "debug/traceback.h"
#include "kernel_if/activity.h"
#include "kernel_if/sys.h"
#include "kernel_if/thread.h"

namespace rt0::runtime {

constinit sink report_sink{[](void*, std::string_view s) { kernel::write_all(2, s.data(), s.size()); }, nullptr};

namespace {

// One report per process (RP1): the lists stand here, not on a stack that may be short.
running_stack running;
goroutine_info info;

void put_current(bool plumbing) {
    sink& out = report_sink;
    if (running.on_system && running.system.total) {
        out << "\nruntime stack:\n";
        put_frames(out, running.system, true);
        out.flush();
    }
    g* gp = user_g();
    if (!gp) {
        if (running.on_system) return;
        out << "\nthread " << kernel::gettid() << " [running, no goroutine]:\n";
        put_frames(out, running.user, plumbing);
        out.flush();
        return;
    }
    info = {};
    collect_identity(gp, &info);
    info.status = grunning;
    info.has_stack = true;
    info.stack = running.user;
    put_goroutine(out, info, plumbing);
    out.flush();
}

void put_others(bool plumbing) {
    const g* current = user_g();
    rcu_reader reading;
    for (g* gp : allgs()) {
        if (!gp || gp == current || (gp->is_system && traceback < traceback_level::system)) continue;
        if (!collect(gp, &info)) continue;
        put_goroutine(report_sink, info, plumbing);
        report_sink.flush();
    }
}

}  // namespace

// The report is user code's last: its M keeps what P it has, so that it does not become a hog
// among those that run on.
static void stay_inside() {
    g* gp = getg();
    if (!gp || !gp->mp) return;
    m* mp = gp->mp;
    mp->inrt.store(1, memory_order_relaxed);  // relaxed: RK1 does not matter, nothing here needs the P
    // Without retakelock, which may be part of what is broken: the process ends, the books need not be right.
    mp->hog = false;
    kernel::idle_class_leave(mp->tid);
}

void report_stacks(report_kind kind) {
    stay_inside();
    if (traceback == traceback_level::none) return;
    bool plumbing = kind == report_kind::runtime || traceback == traceback_level::system;
    bool others = kind == report_kind::fatal || traceback >= traceback_level::all;
    collect_running(&running);
    on_large_stack([&] {
        // A deadlock is found on a system stack that has nothing to do with it.
        bool current = kind != report_kind::fatal || user_g() || !running.on_system || plumbing;
        if (current) put_current(plumbing);
        if (others) put_others(plumbing);
    });
}

void upcall_traceback(bool all) { report_stacks(all ? report_kind::fatal : report_kind::runtime); }

void upcall_report_failed() { report_sink.end_line(); }

}  // namespace rt0::runtime
