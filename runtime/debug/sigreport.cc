// What signals say: stack overflows, faults, SIGQUIT.  Go's texts.
//
// How a report in a handler always ends, whatever the interrupted thread was doing:
//   FR1  The head is written before anything is unwound, each block before the next is begun
//        (RS1), so the facts are out whatever happens later.
//   FR2  Unwinding takes no lock (TB3) and survives a broken stack (SG6).
//   FR3  libbacktrace takes memory from mmap, and looks at its own lists with trylocks: it may
//        interrupt itself.  The demangler mallocs, so it is not called where the signal came
//        inside malloc (in_allocator): names are taken apart by hand then.  Malloc on this
//        thread, otherwise, waits only for threads that run on.
//   FR4  What is left is the loader's lock (dl_iterate_phdr), which another thread may hold for
//        ever: a watchdog (SIGALRM) that has seen the reporting thread wait for cfg::report_patience
//        without a frame printed, or ten times as long at work, takes the report over (RP6),
//        prints the rest as modules and offsets, for which no lock is needed, and ends the process.
//        Reports that no signal began have it, too.
//   FR5  A fault of the reporting thread itself ends the process at once, by that signal.
//
// Rejected: symbolising on another thread: it would have to exist beforehand, in every
// process; a forked helper: fork runs handlers that take malloc's locks.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/config.h"
#include "base/upcall.h"
#include "debug/report.h"
#include "debug/symbolise.h"
#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "kernel_if/signal.h"
#include "sched/init.h"

namespace rt0::runtime {

namespace {

const signal_context* subject = nullptr;  // of the report in progress
bool by_signal = false;                   // it ends by its signal's default action, not with status 2

#ifndef RT0_ASAN
alignas(64) char spare_stack[cfg::gsignal_stack];  // for threads without an M; one report per process
#endif

// Threads that rt0 did not make may take signals on 8 KiB, or on what is left of theirs.
template <class F>
void on_report_stack(const signal_context& c, F&& f) {
#ifdef RT0_ASAN
    (void)c;
    f();  // it would have to be told
#else
    auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    auto top = reinterpret_cast<std::uintptr_t>(spare_stack) + sizeof spare_stack;
    if (c.mp) {
        if (here >= c.mp->gsigstack.lo && here < c.mp->gsigstack.hi) return f();
        top = c.mp->gsigstack.hi - 64;
    }
    rt0_oncall(
        top,
        [](void* a) {
            kernel::sigaltstack_set(nullptr, 0);  // or the next signal would begin at its top, over the frames below us
            (*static_cast<std::remove_reference_t<F>*>(a))();
        },
        &f);
#endif
}

// ---- inside malloc?

bool is_allocator(const char* name) {
    static constexpr const char* const parts[] = {"malloc", "free", "alloc", "memalign", "_Znw", "_Zna", "_Zdl", "_Zda"};
    for (const char* p : parts)
        if (std::strstr(name, p)) return true;
    return false;
}

// The innermost frames, as far as they lie in the library that malloc comes from: a function
// of an allocator, or one that nobody can name.
bool in_allocator(const pc_list& pcs) {
    dl_find_object home, at;
    if (_dl_find_object(reinterpret_cast<void*>(&std::malloc), &home) != 0) return true;
    for (std::size_t i = 0; i < pcs.total && i < pc_list::top; i++) {
        if (_dl_find_object(reinterpret_cast<void*>(pcs.pc[i] - 1), &at) != 0) {
            if (i > 0) return false;
            continue;  // a jump to nowhere: who jumped counts
        }
        if (at.dlfo_map_start != home.dlfo_map_start) return false;
        source_frame frames[max_inlined];
        int n = symbolise(pcs.pc[i], frames);
        const char* name = frames[n - 1].function;
        if (!name || is_allocator(name)) return true;
    }
    return false;
}

// ---- the watchdog, FR4

[[noreturn]] void end_by_signal() {
    die_by_default(*subject, false);
    for (;;) kernel::sigmask_unblock_one(subject->sig);
}

// How long the report has stood still, by the watchdog's looks.  A look counts for two ticks at most: the whole process may
// have been stopped.
struct {
    std::uint32_t frames = 0;
    std::int64_t when = 0, cputime = 0;  // ns, of the last look
    std::int64_t waits = 0, still = 0;   // ns
    bool look() {                        // false: it has gone on for too long
        const std::uint32_t n = frames_done.load(memory_order_relaxed);  // relaxed: looked at for change
        const std::int64_t now = kernel::nanotime(), used = kernel::thread_cputime(report_thread());
        const std::int64_t step = when == 0 ? 0 : std::min(now - when, std::int64_t{2'000'000} * cfg::report_tick);
        const bool works = used - cputime > cfg::report_work;
        if (n != frames || report_writing.load(memory_order_relaxed)) waits = still = 0;  // relaxed: as above
        else waits = works ? 0 : waits + step, still += step;
        frames = n, when = now, cputime = used;
        return waits < cfg::report_patience && still < 10 * cfg::report_patience;
    }
} progress_seen;

void watchdog(int, siginfo_t*, void*) {
    static constinit atomic<bool> fired{false};
    if (progress_seen.look()) return;
    if (fired.exchange(true, memory_order_relaxed)) return;  // relaxed: one of them goes on
    report_take();
    naming.store(naming_mode::none, memory_order_relaxed);  // relaxed: for this thread; the other one is stuck
    report_sink.end_line();
    warn("names cannot be had (another thread holds the loader's lock?); addresses follow");
    report_interrupted();
    if (by_signal) end_by_signal();
    report_end();
}

void begin(const signal_context& c, bool signal_ends) {
    subject = &c;
    by_signal = signal_ends;
    for (int sig : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) kernel::sigmask_unblock_one(sig);  // FR5
}

void put_interrupted(report_kind kind, const signal_context& c) {
    report_watch();
    on_report_stack(c, [&] {
        const running_stack& r = interrupted_stack(kind, c);
        if (traceback != traceback_level::none && in_allocator(r.on_system ? r.system : r.user))
            naming.store(naming_mode::plain, memory_order_relaxed);  // relaxed: for this thread
        report_interrupted();
    });
}

// ---- heads

const char* signal_text(int sig) {
    switch (sig) {
        case SIGSEGV: return "SIGSEGV: segmentation violation";
        case SIGBUS: return "SIGBUS: bus error";
        case SIGFPE: return "SIGFPE: floating-point exception";
        case SIGILL: return "SIGILL: illegal instruction";
    }
    return "signal";
}

const void* hex(std::uintptr_t v) { return reinterpret_cast<const void*>(v); }

void put_advice(sink& out, const g* gp) {
    std::size_t larger = 2 * gp->stk.size;
    out << "runtime: goroutine " << gp->goid.get() << " stack overflow: its stack is " << std::uint64_t{gp->stk.size}
        << " bytes, " << std::uint64_t{cfg::stack_guard} << " of them guard; ";
    if (is_main(gp)) out << "the main goroutine's cannot be larger: run the deep part with";
    else out << "start it with";
    out << " rt0::go({.stack_size = " << std::uint64_t{larger} << "}, ...)\n";
}

void put_overflow(sink& out, const signal_context& c, const guard_hit& h) {
    const stack& s = h.owner->stk;
    const char* whose = h.kind == guard_hit::goroutine ? "goroutine stack"
                        : h.kind == guard_hit::system  ? "system stack"
                                                       : "signal stack";
    out << "runtime: " << whose << " exceeds " << std::uint64_t{s.hi - s.lo} << "-byte limit\n";
    out << "runtime: sp=" << hex(c.sp) << " stack=[" << hex(s.lo) << ", " << hex(s.hi) << "]\n";
    if (h.kind == guard_hit::goroutine) put_advice(out, h.owner);
    out << "fatal error: stack overflow" << (h.kind == guard_hit::goroutine ? "" : " on the system stack") << '\n';
}

void put_fault(sink& out, const signal_context& c, const guard_hit& h) {
    auto addr = reinterpret_cast<std::uintptr_t>(c.info->si_addr);
    bool sent = c.info->si_code <= 0;  // by kill and its kin, no fault
    bool memory = (c.sig == SIGSEGV || c.sig == SIGBUS) && !sent;
    bool own = c.gp && c.mp && c.gp == c.mp->g0;
    if (memory && !own) out << "unexpected fault address " << hex(addr) << "\nfatal error: fault\n";
    else out << "fatal error: unexpected signal" << (own ? " during runtime execution" : "") << '\n';
    if (sent) addr = 0;
    out << "[signal " << signal_text(c.sig) << " code=" << hex(static_cast<std::uint32_t>(c.info->si_code))
        << " addr=" << hex(addr) << " pc=" << hex(c.pc) << "]\n";
    if (h.kind == guard_hit::goroutine)
        out << "runtime: the address lies in the guard below the stack of goroutine " << h.owner->goid.get() << '\n';
}

}  // namespace

// Without the watchdog the report is as good as without locks in the way.
void report_watch() {
    kernel::sigmask_unblock_one(SIGALRM);
    if (kernel::sigaction_handle(SIGALRM, watchdog, 0) == 0) kernel::alarm_every(cfg::report_tick);
}

void upcall_signal_fault(const signal_context& c, const guard_hit& h) {
    if (reporting()) {  // FR5
        report_sink.end_line();
        warn("fault while reporting; giving up");
        return die_by_default(c);
    }
    report_begin();
    begin(c, !h.overflow);
    if (h.overflow) put_overflow(report_sink, c, h);
    else put_fault(report_sink, c, h);
    report_sink.flush();
    report_seed();
    put_interrupted(h.kind == guard_hit::system ? report_kind::runtime : report_kind::panic, c);
    if (h.overflow) report_end();
    kernel::alarm_every(0);
    report_stay_if_taken();
    die_by_default(c);  // SG5
}

void upcall_signal_quit(const signal_context& c) {
    // ORDER(panicking): acquire; a report runs already, and will say all there is to say.
    if (panicking.load(memory_order_acquire)) return;
    report_begin();
    begin(c, false);
    report_sink << "SIGQUIT: quit\nPC=" << hex(c.pc) << " m=" << (c.mp ? c.mp->id : std::int64_t{-1})
                << " sigcode=" << c.info->si_code << '\n';
    report_sink.flush();
    put_interrupted(report_kind::quit, c);
    report_end();
}

}  // namespace rt0::runtime
