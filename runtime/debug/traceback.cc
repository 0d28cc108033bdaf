// Walking stacks with the C++ unwinder; Go's format for what was found.  Invariants:
// traceback.h.
//
// A running stack is walked from here outwards; one at rest through rt0_unwind_saved,
// whose frame says "my caller is the saved context".  Both end at rt0_goentry.
// Frame pointers would be quicker and wrong: user code is compiled without them.
#include "debug/traceback.h"

#include <unwind.h>

#include <cstring>

#include "arch/arch.h"
#include "arch/ucontext.h"
#include "debug/symbolise.h"
#include "kernel_if/clock.h"

namespace rt0::runtime {

traceback_level traceback = traceback_level::single;
constinit atomic<std::uint32_t> frames_done{0};

namespace {

constexpr std::size_t max_frames = 1'000'000;    // a walk longer than that goes in circles
constexpr std::int64_t scan_wait = 100'000'000;  // ns, after scan_tries: another dump may have lost the processor
constexpr int scan_tries = 1000;                 // for the scan bit, of a G that moves or is held by another scan
constexpr std::int64_t minute = 60'000'000'000;  // ns

// Where the frames after that of a given function go.
struct walk {
    pc_list* now;           // null: not kept
    std::uintptr_t border;  // start of the function that ends `now`
    pc_list* behind;        // what follows
    bool skip = false;      // a handler's own frames: nothing is kept before the interrupted one
    std::size_t frames = 0;
};

_Unwind_Reason_Code on_frame(_Unwind_Context* context, void* arg) {
    auto* w = static_cast<walk*>(arg);
    int before_insn = 0;
    std::uintptr_t ip = _Unwind_GetIPInfo(context, &before_insn);
    if (w->skip && !before_insn) return _URC_NO_REASON;
    w->skip = false;
    if (w->border && _Unwind_GetRegionStart(context) == w->border) {
        w->now = w->behind;
        w->border = 0;
        return _URC_NO_REASON;
    }
    if (ip == 0 || w->frames++ >= max_frames) return _URC_END_OF_STACK;
    // A goroutine that has not run yet: the address is where it will start, no call's return.
    if (ip == reinterpret_cast<std::uintptr_t>(&rt0_goentry)) return _URC_END_OF_STACK;
    if (w->now)
        w->now->add(before_insn ? ip + 1 : ip);  // of a signal's frame the pc itself counts, not the call before
    return _URC_NO_REASON;
}

void collect_saved(std::uintptr_t sp, pc_list* out) {
    walk w{nullptr, reinterpret_cast<std::uintptr_t>(&rt0_unwind_saved), out};
    rt0_unwind_saved(
        sp,
        [](void* arg) -> int {
            _Unwind_Backtrace(on_frame, arg);
            asm volatile("");  // no tail call: this frame stands between the walk and rt0_unwind_saved
            return 0;
        },
        &w);
}

bool at_rest(std::uint32_t status) { return status == grunnable || status == gwaiting; }

const char* status_text(const goroutine_info& i) {
    switch (i.status) {
        case gidle:
            return "idle";
        case grunnable:
            return "runnable";
        case grunning:
            return "running";
        case gsyscall:
            return "syscall";
        case gdead:
            return "dead";
        case gdetached:
            return "running, detached";
        case gwaiting: {
            const char* reason = waitreason_text(i.reason);
            return *reason ? reason : "waiting";
        }
    }
    return "???";
}

// The second line of a frame.
void put_place(sink& out, const source_frame& f) {
    out << "\n\t" << (f.file ? f.file : f.module ? f.module : "?") << ':' << f.line;
    if (f.offset) out << " +" << reinterpret_cast<const void*>(f.offset);
    out << '\n';
}

// "f(int)" and below it file, line and offset.
void put_frame(sink& out, const source_frame& f) {
    put_function(out, f.function);
    put_place(out, f);
}

bool put_pc(sink& out, std::uintptr_t pc, bool plumbing) {
    frames_done.fetch_add(1, memory_order_relaxed);  // relaxed: the watchdog looks for change
    source_frame frames[max_inlined];
    int n = symbolise(pc, frames);
    bool any = false;
    for (int i = 0; i < n; i++) {
        if (!plumbing && is_plumbing(frames[i])) continue;
        put_frame(out, frames[i]);
        any = true;
    }
    return any;
}

// "created by f(int) in goroutine 1": the frame with the go statement, not what rt0's
// headers were inlined into it.
void put_created_by(sink& out, const goroutine_info& info, bool plumbing) {
    if (!info.gopc) return;
    source_frame frames[max_inlined];
    int n = symbolise(info.gopc, frames);
    int at = 0;
    while (at < n - 1 && is_rt0(frames[at])) at++;
    if (!plumbing && is_plumbing(frames[at])) return;
    out << "created by ";
    put_function(out, frames[at].function);
    out << " in goroutine " << info.parentgoid;
    put_place(out, frames[at]);
}

}  // namespace

g* user_g() {
    g* gp = getg();
    if (gp && gp->mp && gp == gp->mp->g0) return gp->mp->curg;
    return gp;
}

void collect_running(running_stack* out) {
    g* gp = getg();
    *out = {};
    out->tid = kernel::gettid();
    out->gp = user_g();
    out->on_system = gp && gp->mp && gp == gp->mp->g0;
    walk w{&out->user, 0, nullptr};
    if (out->on_system) w = {&out->system, reinterpret_cast<std::uintptr_t>(&rt0_oncall), &out->user};
    _Unwind_Backtrace(on_frame, &w);
}

namespace {

bool on_stack(std::uintptr_t sp, const stack& s) { return sp >= (s.slot ? s.slot : s.lo) && sp < s.hi; }

// Between the books and the switch itself g is ahead of the stack: the stack decides.
g* running_at(const signal_context& c) {
    g* const candidates[] = {c.gp, c.mp ? c.mp->curg.get() : nullptr, c.mp ? c.mp->leaving : nullptr};
    for (g* gp : candidates)
        if (gp && !gp->is_system && on_stack(c.sp, gp->stk)) return gp;
    return c.gp && !c.gp->is_system ? c.gp : nullptr;
}

void walk_here(void* arg) {
    _Unwind_Backtrace(on_frame, arg);
    asm volatile("");  // no tail call
}

}  // namespace

void collect_interrupted(const signal_context& c, running_stack* out) {
    *out = {};
    out->tid = kernel::gettid();
    g* gp = running_at(c);
    // m0's ran over its bounds, perhaps, which are not ours.
    bool on_g0 = c.mp && (on_stack(c.sp, c.mp->g0stack) || (!gp && c.gp == c.mp->g0));
    out->on_system = on_g0 && !(c.gp && c.gp->foreign);
    out->gp = out->on_system ? c.mp->curg.get() : gp;
    walk w{&out->user, 0, nullptr, true};
    if (out->on_system) w = {&out->system, reinterpret_cast<std::uintptr_t>(&rt0_oncall), &out->user, true};
    auto* mc = &static_cast<ucontext_t*>(c.uc)->uc_mcontext;
    mcontext_t keep = *mc;
    struct job {
        const signal_context* c;
        walk* w;
    } j{&c, &w};
    out->whole = walk_safely(
        [](void* arg) {
            auto* jp = static_cast<job*>(arg);
            bool jumped = jp->c->sig == SIGSEGV && reinterpret_cast<std::uintptr_t>(jp->c->info->si_addr) == jp->c->pc;
            if (jumped) {
                jp->w->now->add(jp->c->pc + 1);
                arch::context_undo_call(jp->c->uc);  // no code there: go on with whoever called it
            }
            walk_here(jp->w);
        },
        &j);
    *mc = keep;
    // A system stack that serves nobody: its M is on its way from one goroutine to the next.
    if (out->on_system && out->user.total == 0) out->gp = nullptr;
}

void collect_identity(const g* gp, goroutine_info* out) {
    out->goid = gp->goid;
    out->parentgoid = gp->parentgoid;
    out->locked = gp->lockedm != nullptr;
    out->gopc = gp->gopc;
    out->startpc = gp->startpc;
    watched_copy(out->name, gp->name, sizeof out->name);
    out->name[sizeof out->name - 1] = 0;
}

void collect_wait(const g* gp, goroutine_info* out) {
    out->reason = gp->waitreason;
    const bool stamped = out->status == gwaiting || out->status == gsyscall || out->status == gdetached;
    const std::int64_t since = gp->waitsince;
    if (stamped && since) out->minutes = (kernel::nanotime() - since) / minute;
}

bool collect(g* gp, goroutine_info* out) {
    *out = {};
    std::int64_t give_up = 0;
    for (int tries = 0;; tries++) {
        if (tries == scan_tries) give_up = kernel::nanotime() + scan_wait;
        // relaxed: a report does not wait for others.
        bool lost = give_up && (panicking.load(memory_order_relaxed) || kernel::nanotime() >= give_up);
        std::uint32_t status = readgstatus(gp) & ~std::uint32_t{gscan};
        out->status = status;
        if (status == gdead || status == gidle) return false;
        if (!at_rest(status) || lost) {
            if (!at_rest(status) && gp->foreign) return false;  // a thread between its calls
            // Fields of a G that runs: it may end and become another meanwhile; a stale line is no harm.
            collect_identity(gp, out);
            collect_wait(gp, out);
            return true;
        }
        if (castogscanstatus(gp, status, status | gscan)) {  // TB1
            collect_identity(gp, out);
            collect_wait(gp, out);
            collect_saved(gp->sched.sp, &out->stack);
            out->has_stack = true;
            casfrom_gscanstatus(gp, status | gscan, status);
            return true;
        }
        kernel::osyield();
    }
}

void put_frames(sink& out, const pc_list& pcs, bool plumbing) {
    std::size_t kept = pcs.total < pc_list::top + pc_list::bottom ? pcs.total : pc_list::top + pc_list::bottom;
    std::size_t elided = pcs.total - kept;
    for (std::size_t i = 0; i < kept; i++) {
        std::size_t at = i;
        if (i >= pc_list::top && elided) {
            if (i == pc_list::top) out << "..." << std::uint64_t{elided} << " frames elided...\n";
            at = pc_list::top + (elided + i - pc_list::top) % pc_list::bottom;
        }
        put_pc(out, pcs.pc[at], plumbing);
    }
}

void put_goroutine(sink& out, const goroutine_info& info, bool plumbing) {
    out << "\ngoroutine " << info.goid << " [" << status_text(info);
    if (info.minutes > 0) out << ", " << info.minutes << " minutes";
    if (info.locked) out << ", locked to thread";
    if (info.name[0]) out << ", \"" << info.name << '"';
    out << "]:\n";
    if (info.has_stack) {
        put_frames(out, info.stack, plumbing);
        if (info.stack.total == 0 && info.startpc) put_pc(out, info.startpc + 1, plumbing);
    } else {
        const char* where = at_rest(info.status) ? "held by another dump" : "running on other thread";
        out << "\tgoroutine " << where << "; stack unavailable\n";
    }
    put_created_by(out, info, plumbing);
}

}  // namespace rt0::runtime
