// The stacks of a report.
//
//   RS1  Each block is flushed before the next is collected: if the process dies in the
//        middle, what was found is on standard error.
//   RS2  The world runs on while the report is written; other goroutines are held by
//        their scan bit one at a time.  The current goroutine comes first.
//   RS3  A goroutine that runs on another thread is asked for its stack by a signal, which may
//        give it an EINTR: the process ends anyway.
//   RS4  How far the report has come stands in `progress`: the watchdog
//        (debug/sigreport.cc) prints the rest, on any thread.
#include "debug/report.h"

#include "base/upcall.h"
#include "debug/traceback.h"
#include "kernel_if/activity.h"
#include "kernel_if/sys.h"
#include "kernel_if/thread.h"
#include "sched/retake.h"

namespace rt0::runtime {

constinit atomic<bool> report_writing{false};
static m* keeps_p = nullptr;  // the M that stay_inside made keep its P
static void put_report(void*, std::string_view s) {
    report_stay_if_taken();
    const g* gp = getg();
    m* mp = gp && gp->mp && gp->mp == keeps_p ? keeps_p : nullptr;
    report_writing.store(true, memory_order_relaxed);  // relaxed: the watchdog counts by it, no more
    // relaxed, both: as in stay_inside.  A goroutine of this process may be who reads: the P is anybody's meanwhile.
    if (mp) mp->inrt.store(0, memory_order_relaxed);
    report_write(s);
    if (mp) mp->inrt.store(1, memory_order_relaxed);
    report_writing.store(false, memory_order_relaxed);  // relaxed: as above
}
constinit sink report_sink{put_report, nullptr};

namespace {

// One report per process (RP1): the lists stand here, not on a stack that may be short.
running_stack running;
goroutine_info info;
constexpr int moved_tries = 3;  // for a goroutine that is elsewhere by the time its thread answers

// How far the report has come, for the watchdog (RS4).
struct {
    report_kind kind = report_kind::panic;
    bool current_done = false;
    std::size_t next = 0;  // index in allgs
} progress;

bool wants_plumbing() {
    return progress.kind == report_kind::runtime || traceback == traceback_level::system;
}

// A goroutine whose thread SIGQUIT was delivered to did nothing to be there: it is shown as from anywhere else.
std::uint32_t status_of_current(const g* gp) {
    std::uint32_t s = readgstatus(gp) & ~std::uint32_t{gscan};
    bool no_p = s == gsyscall || s == gdetached;
    return progress.kind == report_kind::quit && no_p && !gp->foreign ? s : std::uint32_t{grunning};
}

void put_current(bool plumbing) {
    sink& out = report_sink;
    if (running.on_system && running.system.total && (progress.kind != report_kind::quit || plumbing)) {
        out << "\nruntime stack:\n";
        put_frames(out, running.system, true);
        out.flush();
    }
    g* gp = running.gp;
    if (!gp) {
        if (running.on_system) return;
        out << "\nthread " << running.tid << " [running, no goroutine]:\n";
        put_frames(out, running.user, plumbing);
        out.flush();
        return;
    }
    info = {};
    collect_identity(gp, &info);
    info.status = status_of_current(gp);
    collect_wait(gp, &info);
    info.has_stack = true;
    info.stack = running.user;
    put_goroutine(out, info, plumbing);
    out.flush();
}

// RS3
bool collect_dying(g* gp) {
    for (int i = 0; i < moved_tries; i++) {
        if (!collect(gp, &info)) return false;
        if (info.has_stack) return true;
        remote answer = remote_stack(gp, &info.stack);
        info.has_stack = answer == remote::have;
        if (answer != remote::moved) return true;
    }
    return true;
}

void put_others(bool plumbing) {
    auto gs = allgs();
    for (; progress.next < gs.n; progress.next++) {
        g* gp = gs.data[progress.next];
        if (!gp || gp == running.gp || (gp->is_system && traceback < traceback_level::system)) continue;
        if (!collect_dying(gp)) continue;
        put_goroutine(report_sink, info, plumbing);
        report_sink.flush();
    }
}

void put_stacks() {
    bool plumbing = wants_plumbing();
    report_kind kind = progress.kind;
    // A deadlock is found, and SIGQUIT taken, on a system stack that has nothing to do with it.
    bool bystander = kind == report_kind::fatal || kind == report_kind::quit;
    if (!progress.current_done && (!bystander || running.gp || !running.on_system || plumbing)) put_current(plumbing);
    progress.current_done = true;
    if (kind != report_kind::fatal && kind != report_kind::quit && traceback < traceback_level::all) return;
    if (getg()) {
        rcu_reader reading;
        put_others(plumbing);
    } else {
        put_others(plumbing);  // no reader, but reclaim_retired keeps all while a report runs
    }
}

}  // namespace

// The report is user code's last: its M keeps what P it has, but while it writes, so that it does not become
// a hog among those that run on.  Not analysed: see below.
static void stay_inside() NO_THREAD_SAFETY_ANALYSIS {
    g* gp = getg();
    if (!gp || !gp->mp) return;
    m* mp = gp->mp;
    // relaxed: RK1 does not matter, nothing here needs the P.  What was inside already stays inside throughout.
    if (mp->inrt.exchange(1, memory_order_relaxed) == 0) keeps_p = mp;
    // Without retakelock, which may be part of what is broken, so perhaps beside its holder: the process ends, and the books
    // need not be right.
    mp->hog = false;
    if (made_idle_class(mp)) kernel::idle_class_leave(mp->tid);
}

void report_stacks(report_kind kind) {
    stay_inside();
    if (traceback == traceback_level::none) return;
    progress.kind = kind;
    collect_running(&running);
    report_watch();
    on_large_stack([] { put_stacks(); });
}

const running_stack& interrupted_stack(report_kind kind, const signal_context& c) {
    stay_inside();
    progress.kind = kind;
    collect_interrupted(c, &running);
    return running;
}

void report_interrupted() {
    stay_inside();
    if (traceback != traceback_level::none) put_stacks();
}

void upcall_traceback(bool all) { report_stacks(all ? report_kind::fatal : report_kind::runtime); }

void upcall_report_failed() { report_sink.end_line(); }

}  // namespace rt0::runtime
