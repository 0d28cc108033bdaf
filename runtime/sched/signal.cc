// Signals of the runtime: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGABRT with a seed, and what dumps need.
//
//   SG1  A handler runs on the alternate stack of its thread: an M's is its gsignal stack, a
//        foreign thread's is its own, else (from its first call of rt0 until it ends) the
//        gsignal stack of its extra M.  A thread that never called rt0 and has no alternate
//        stack takes signals on its ordinary stack: an overflow of that is the kernel's.
//   SG2  While a handler runs, getg() is the M's gsignal, so that systemstack() stays where it
//        is; null stays null.  What the handler was told of the interrupted code it has from
//        signal_context.  No lock of the runtime is taken, nothing parks.
//   SG3  Handlers that were there at boot keep their say: for faults ours looks for guards
//        only, and calls theirs as the kernel would have, with g as it was, since it may leave
//        by siglongjmp.  A fault signal that was ignored is so still when somebody sends it.
//        A SIGQUIT or dump signal that has a handler, or is ignored, is left alone.
//        A handler installed after boot simply replaces ours.
//   SG4  A guard hit is an overflow only if the stack pointer is there too; the running M's
//        stacks are looked at first, then all goroutines': a foreign frame may have hit any.
//   SG5  After a report the signal is queued once more, as it came, with its default action:
//        it is delivered when the handler returns, on the interrupted context: the core and
//        the wait status show that one.
//   SG6  A walk over a stack of unknown state may fault: it is marked by its thread's id, and
//        the fault jumps out of it.  Any other fault of the reporting thread ends the process.
//   SG7  Dumps that do not end the process run on a thread made for them, the only M
//        that has their signal unblocked: no other thread of the runtime sees an EINTR.
//   SG8  sysmon takes faults only: a handler of the program would run there as a real-time thread (SM4), or
//        keep every other P from being looked at.
//   SG9  The child of a vfork has the parent's memory, and a report there would be the parent's: it
//        ends by the signal's default action, unless a handler of the program's says otherwise.
//   SG10 abort() is the program's, and nothing is reported; but where the scheduler decides by a seed the seed is said (assert).
//
// Sanitizers report faults themselves: with one in the build only SIGQUIT and dumps are ours.
#include "sched/signal.h"

#include <setjmp.h>

#include <cerrno>
#include <cstring>

#include "arch/ucontext.h"
#include "base/chaos.h"
#include "base/config.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "base/upcall.h"
#include "kernel_if/fork.h"
#include "kernel_if/futex.h"
#include "kernel_if/signal.h"
#include "kernel_if/sys.h"
#include "sched/checkdead.h"
#include "sched/debugvars.h"
#include "sched/init.h"
#include "sched/mstart.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

#if defined(RT0_ASAN) || defined(RT0_TSAN)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

constexpr int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr int stack_signal = SIGURG;  // ignored by default, so one that comes late does nothing
constexpr std::uintptr_t probe_reach = 4096;  // bytes below sp that code touches: pushes, red zone, stack probes
constexpr std::uintptr_t frame_reach = 1 << 20;  // bytes: the largest frame that is taken for one

constexpr std::uint64_t bit_of(int sig) { return std::uint64_t{1} << (sig - 1); }

struct sigaction previous[NSIG];           // SG3: what faults had at boot
constinit atomic<bool> spent[NSIG]{};      // SA_RESETHAND: it was called
int dumpsig = 0;
constinit atomic<std::uint32_t> dump_requests{0};  // futex word
std::uint32_t dumps_done = 0;                      // the dumper's own

// SG6
constinit atomic<std::int32_t> walker{0};  // thread in a walk, 0: none
sigjmp_buf walker_out;

void sighandler(int sig, siginfo_t* info, void* uc);

// ---- guards

bool in_guard(const stack& s, std::uintptr_t addr) { return s.slot != 0 && addr >= s.slot && addr < s.lo; }

// m0's g0 is the initial thread's own stack, which ends where the kernel lets it grow no more.
bool below_initial(const stack& s, std::uintptr_t addr) {
    return s.slot == 0 && s.lo != 0 && addr < s.lo + cfg::stack_guard && s.lo - addr < (std::uintptr_t{1} << 20);
}

bool hit(const stack& s, std::uintptr_t addr, guard_hit::kind_t kind, g* owner, guard_hit* out) {
    if (!in_guard(s, addr) && !(kind == guard_hit::system && below_initial(s, addr))) return false;
    out->kind = kind;
    out->owner = owner;
    return true;
}

bool hit_goroutine(g* gp, std::uintptr_t addr, guard_hit* out) {
    return gp && !gp->is_system && hit(gp->stk, addr, guard_hit::goroutine, gp, out);
}

bool hit_own(const signal_context& c, std::uintptr_t addr, guard_hit* out) {
    if (hit_goroutine(c.gp, addr, out)) return true;
    m* mp = c.mp;
    if (!mp) return false;
    if (hit_goroutine(mp->curg, addr, out) || hit_goroutine(mp->leaving, addr, out)) return true;
    if (mp->is_extra && !(c.gp == mp->g0)) return false;
    return hit(mp->g0stack, addr, guard_hit::system, mp->g0, out) ||
           hit(mp->gsigstack, addr, guard_hit::signal, mp->gsignal, out);
}

// SG4.  Of the thread's own stacks a frame may have jumped the guard and touched it from below.
bool ran_out(const signal_context& c, std::uintptr_t addr, const guard_hit& h, bool own) {
    const stack& s = h.owner->stk;
    if (!own) return c.sp >= s.slot && c.sp < s.lo + probe_reach;
    bool elsewhere = h.kind != guard_hit::system && c.sp >= c.mp->g0stack.lo && c.sp < c.mp->g0stack.hi;
    return !elsewhere && c.sp <= addr + probe_reach && c.sp + frame_reach >= addr;
}

guard_hit find_guard(const signal_context& c) {
    guard_hit h;
    auto addr = reinterpret_cast<std::uintptr_t>(c.info->si_addr);
    bool mapped = c.info->si_code == SEGV_MAPERR || c.info->si_code == SEGV_ACCERR;
    if (c.sig != SIGSEGV || !mapped || addr == 0) return h;
    bool own = hit_own(c, addr, &h);
    if (!own && c.gp && !reporting()) {  // FR5: the list may be what is broken
        rcu_reader reading;
        for (g* gp : allgs())
            if (hit_goroutine(gp, addr, &h)) break;
    }
    h.overflow = h.kind != guard_hit::none && ran_out(c, addr, h, own);
    return h;
}

// ---- handlers of the program

bool has_handler(const struct sigaction& sa) { return sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN; }

// By kill and its kin.  A fault of the thread itself the kernel lets nobody ignore.
bool sent(const siginfo_t* info) { return info->si_code <= 0; }

// once: the handler that is for one time is spent by this.
bool is_to_be_called(const struct sigaction& sa, int sig, bool once) {
    if (!has_handler(sa) || !(sa.sa_flags & SA_RESETHAND)) return has_handler(sa);
    // relaxed, both: of several threads one is the first.
    return once ? !spent[sig].exchange(true, memory_order_relaxed) : !spent[sig].load(memory_order_relaxed);
}

// SG3: as the kernel would have called it, on this stack.  It may not come back; if it does the kernel puts the mask back.
void call_previous(const struct sigaction& sa, int sig, siginfo_t* info, void* uc) {
    sigset_t during = static_cast<const ucontext_t*>(uc)->uc_sigmask;  // without what waits for ours only (others_wait)
    for (int s = 1; s < NSIG; s++)
        if (sigismember(&sa.sa_mask, s) == 1) sigaddset(&during, s);
    if (!(sa.sa_flags & SA_NODEFER)) sigaddset(&during, sig);
    kernel::sigmask_set(&during);
    if (sa.sa_flags & SA_SIGINFO) sa.sa_sigaction(sig, info, uc);
    else sa.sa_handler(sig);
}

// ---- the handler

void on_fault(const signal_context& c) {
    const struct sigaction& theirs = previous[c.sig];
    if (theirs.sa_handler == SIG_IGN && sent(c.info)) return;
    // relaxed: written by this very thread, or not for it.
    if (walker.load(memory_order_relaxed) == kernel::gettid()) siglongjmp(walker_out, 1);
    const bool borrowed = kernel::borrowed_memory();
    guard_hit h = find_guard(c);
    if (!h.overflow && is_to_be_called(theirs, c.sig, !borrowed)) {
        setg(c.gp);
        call_previous(theirs, c.sig, c.info, c.uc);
        return;
    }
    if (borrowed) return die_by_default(c);  // SG9
    upcall_signal_fault(c, h);
}

void on_quit(const signal_context& c) {
    if (kernel::borrowed_memory()) return die_by_default(c, false);  // SG9
    upcall_signal_quit(c);
}

void on_abort(const signal_context& c) {  // SG10
    // ORDER(panicking): acquire; a report says it, too.
    if (panicking.load(memory_order_acquire) == 0 && !kernel::borrowed_memory()) report_seed();
    die_by_default(c, false);
}

void request_dump() {
    dump_requests.fetch_add(1, memory_order_relaxed);  // relaxed: the futex orders what matters
    kernel::futex_wake(&dump_requests, 1);
}

void sighandler(int sig, siginfo_t* info, void* uc) {
    int keep = errno;
    signal_context c{sig, info, uc, arch::context_pc(uc), arch::context_sp(uc), getg(), nullptr};
    c.mp = c.gp ? c.gp->mp.get() : nullptr;
    if (c.mp && !(c.mp->retake.load(memory_order_relaxed) & rt_live)) c.mp = nullptr;  // relaxed: const; FO3: a forked child
    if (c.mp && c.mp->gsignal) setg(c.mp->gsignal);  // SG2
    if (dumpsig != 0 && sig == dumpsig) request_dump();
    else if (sig == stack_signal) upcall_signal_stack(c);
    else if (sig == SIGQUIT) on_quit(c);
    else if (sig == SIGABRT) on_abort(c);
    else on_fault(c);
    setg(c.gp);
    errno = keep;
}

constexpr std::uint64_t others_wait = bit_of(SIGQUIT);

void install(int sig) {
    if (kernel::sigaction_handle(sig, sighandler, others_wait) < 0) runtime_throw("initsig: sigaction failed");
}

bool free_for_us(int sig) {
    struct sigaction now;
    if (kernel::sigaction_get(sig, &now) < 0) return false;
    return now.sa_handler == SIG_DFL;
}

void init_dump_signal() {
    if (debug.dumpsignal == 0) return;
    int sig = debug.dumpsignal == 1 ? SIGUSR1 : debug.dumpsignal;
    if (sig >= NSIG || !free_for_us(sig) || sig == SIGKILL || sig == SIGSTOP || sig == SIGQUIT) {
        warn(textbuf() << "RT0DEBUG: dumpsignal: signal " << sig << " has a handler already or cannot have one; ignored");
        return;
    }
    dumpsig = sig;
    install(sig);
    kernel::sigmask_block_one(sig);  // SG7: all Ms and their children inherit this
    sigaddset(&m0.sigmask, sig);
}

}  // namespace

void initsig() {
    for (int sig : fault_signals) {
        if (sanitized) break;
        if (kernel::sigaction_get(sig, &previous[sig]) < 0) runtime_throw("initsig: sigaction failed");
        install(sig);
    }
    if (free_for_us(SIGQUIT)) install(SIGQUIT);
    if ((seeded() || chaos_seed() != 0) && free_for_us(SIGABRT)) install(SIGABRT);
    init_dump_signal();
    boottrace("initsig");
}

// ---- signal stacks

void minit_signal_stack(m* mp) {
    void* lo = reinterpret_cast<void*>(mp->gsigstack.lo);
    if (mp->is_extra && kernel::sigaltstack_other(lo)) return;
    int rc = kernel::sigaltstack_set(lo, mp->gsigstack.hi - mp->gsigstack.lo);
    if (rc < 0 && !mp->is_extra) runtime_throw("minit: sigaltstack failed");
}

void unminit_signal_stack(m* mp) {
    if (mp->is_extra && kernel::sigaltstack_other(reinterpret_cast<void*>(mp->gsigstack.lo))) return;
    kernel::sigaltstack_set(nullptr, 0);
}

// ---- dumps on demand

void wait_for_dump_request() {
    std::uint32_t n;
    // relaxed: a count of requests; several at once make one dump.
    while ((n = dump_requests.load(memory_order_relaxed)) == dumps_done) kernel::futex_wait(&dump_requests, n, -1);
    dumps_done = n;
}

namespace {

void dumper() {
    kernel::set_thread_name("rt0-dumper");
    {
        guard l(sched.lock);
        sched.nmsys++;  // here: ahead of newm, where this M does not count as made yet, main would seem to be missing
        checkdead();
    }
    kernel::sigmask_unblock_one(dumpsig);
    upcall_dumper();
}

}  // namespace

void start_dumper() {
    if (dumpsig != 0) newm(dumper, nullptr);
}

void block_all_but_faults() {
    kernel::sigmask_block(nullptr);
    for (int sig : fault_signals) kernel::sigmask_unblock_one(sig);
}

// ---- what reports ask for

bool walk_safely(void (*walk)(void*), void* arg) {
    sigset_t before;
    kernel::sigmask_get(&before);
    std::int32_t none = 0;
    // relaxed: only this thread's faults look for its own id.
    if (!walker.compare_exchange_strong(none, kernel::gettid(), memory_order_relaxed)) {
        walk(arg);
        return true;
    }
    bool whole = true;
    if (sigsetjmp(walker_out, 0) == 0) {
        for (int sig : fault_signals) kernel::sigmask_unblock_one(sig);
        walk(arg);
    } else {
        whole = false;
    }
    walker.store(0, memory_order_relaxed);  // relaxed: as above
    kernel::sigmask_set(&before);
    return whole;
}

void die_by_default(const signal_context& c, bool again) {
    const bool comes_again = again && c.info->si_code > 0;  // the fault itself
    // As a shell says it, where no other signal would end us.
    if (kernel::is_init() && !comes_again) kernel::exit_group(128 + c.sig);
    kernel::dump_coverage();
    kernel::sigaction_default(c.sig);
    kernel::sigmask_block_one(c.sig);  // it waits for the handler's end
    if (kernel::resend(c.info) != 0 && !comes_again) kernel::exit_group(128 + c.sig);
}

// From /proc: it would never answer.  False also where that cannot be read.
static bool blocks(std::int32_t tid, int sig) {
    static char text[64 << 10];  // of one report; a line of it may have thousands of groups
    textbuf path;
    path << "/proc/self/task/" << tid << "/status";
    if (kernel::read_small_file(path.c_str(), text, sizeof text) < 0) return false;
    const char* at = std::strstr(text, "\nSigBlk:\t");
    if (!at) return false;
    std::uint64_t mask = 0;
    for (at += 9; (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f'); at++)
        mask = mask << 4 | static_cast<std::uint64_t>(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return mask & bit_of(sig);
}

bool request_stack(m* mp) {
    static constinit atomic<bool> taken{false};
    // relaxed: one thread reports.
    if (!taken.exchange(true, memory_order_relaxed) &&
        kernel::sigaction_handle(stack_signal, sighandler, 0) < 0)
        return false;
    return mp->tid != 0 && !blocks(mp->tid, stack_signal) && kernel::tgkill(mp->tid, stack_signal) == 0;
}

}  // namespace rt0::runtime
