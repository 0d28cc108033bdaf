// Signal masks, alternate stacks, handlers.  The masks are set by system call, not through
// libc, which would quietly leave its two internal signals out.  Handlers are set through
// libc's sigaction: its trampoline is the one that unwinders and debuggers know, and
// sanitizers watch it.  Everything here may be called inside a handler.
#include "kernel_if/signal.h"

#include <errno.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "kernel_if/syscall.h"

namespace rt0::kernel {

namespace {

constexpr std::size_t kernel_sigset = 8;  // bytes: 64 signals on amd64 and arm64
static_assert(sizeof(sigset_t) >= kernel_sigset, "libc's set is the kernel's with room to grow");

constexpr int sig_cancel = 32, sig_setxid = 33;  // glibc's own

void swap_mask(std::uint64_t blocked, sigset_t* old) {
    if (old) std::memset(old, 0, sizeof *old);
    sysc_sure(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, old, kernel_sigset);
}

}  // namespace

void sigmask_block_all(sigset_t* old) { swap_mask(~std::uint64_t{0}, old); }

void sigmask_block(sigset_t* old) {
    swap_mask(~(std::uint64_t{1} << (sig_cancel - 1) | std::uint64_t{1} << (sig_setxid - 1)), old);
}

void sigmask_set(const sigset_t* mask) { sysc_sure(SYS_rt_sigprocmask, SIG_SETMASK, mask, nullptr, kernel_sigset); }

void sigmask_get(sigset_t* mask) {
    std::memset(mask, 0, sizeof *mask);
    sysc_sure(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, mask, kernel_sigset);
}

void sigmask_block_one(int sig) {
    std::uint64_t bit = std::uint64_t{1} << (sig - 1);
    sysc_sure(SYS_rt_sigprocmask, SIG_BLOCK, &bit, nullptr, kernel_sigset);
}

void sigmask_unblock_one(int sig) {
    std::uint64_t bit = std::uint64_t{1} << (sig - 1);
    sysc_sure(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, nullptr, kernel_sigset);
}

namespace {
constexpr std::uint64_t write_signals = std::uint64_t{1} << (SIGPIPE - 1) | std::uint64_t{1} << (SIGXFSZ - 1);
std::uint64_t pending_signals() {
    std::uint64_t set = 0;
    sysc_sure(SYS_rt_sigpending, &set, kernel_sigset);
    return set;
}
}  // namespace

no_write_signals::no_write_signals() {
    sysc_sure(SYS_rt_sigprocmask, SIG_BLOCK, &write_signals, &mask_, kernel_sigset);
    pending_ = pending_signals();
}
no_write_signals::~no_write_signals() {
    // Those that came meanwhile are taken, unless they were pending anyhow.  An error: somebody else has, or may not we.
    const timespec now = {};
    for (std::uint64_t mine = write_signals & ~pending_; (pending_signals() & mine) != 0;)
        if (const long r = sysc_sure(SYS_rt_sigtimedwait, &mine, nullptr, &now, kernel_sigset); r < 0 && r != -EINTR) break;
    sysc_sure(SYS_rt_sigprocmask, SIG_SETMASK, &mask_, nullptr, kernel_sigset);
}

int sigaltstack_set(void* lo, std::size_t n) {
    stack_t ss = {};
    ss.ss_sp = lo;
    ss.ss_size = n;
    ss.ss_flags = n == 0 ? SS_DISABLE : 0;
    return static_cast<int>(sysc(inject::sigaltstack, SYS_sigaltstack, &ss, nullptr));
}

bool sigaltstack_other(const void* lo) {
    stack_t ss = {};
    if (sysc(inject::sigaltstack, SYS_sigaltstack, nullptr, &ss) != 0) return true;
    return !(ss.ss_flags & SS_DISABLE) && ss.ss_sp != lo;
}

namespace {

int set_action(int sig, const struct sigaction* act, struct sigaction* old) {
    if (int e = injected(inject::sigaction)) return e;
    int keep = errno;
    int r = ::sigaction(sig, act, old) == 0 ? 0 : -errno;
    errno = keep;
    return r;
}

}  // namespace

int sigaction_get(int sig, struct sigaction* out) { return set_action(sig, nullptr, out); }

int sigaction_handle(int sig, sighandler_fn fn, std::uint64_t also) {
    struct sigaction sa = {};
    sa.sa_sigaction = fn;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    std::memcpy(&sa.sa_mask, &also, sizeof also);
    return set_action(sig, &sa, nullptr);
}

int sigaction_default(int sig) {
    struct sigaction sa = {};
    sa.sa_handler = SIG_DFL;
    return set_action(sig, &sa, nullptr);
}

int tgkill(std::int32_t tid, int sig) {
    return static_cast<int>(sysc(inject::tgkill, SYS_tgkill, sysc_sure(SYS_getpid), tid, sig));
}

int resend(const siginfo_t* info) {
    long pid = sysc_sure(SYS_getpid), tid = sysc_sure(SYS_gettid);
    // To its own process a thread may send any siginfo.
    if (sysc(inject::resend, SYS_rt_tgsigqueueinfo, pid, tid, info->si_signo, info) == 0) return 0;
    return static_cast<int>(sysc(inject::resend, SYS_tgkill, pid, tid, info->si_signo));
}

void alarm_every(unsigned ms) {
    itimerval t = {};
    t.it_interval.tv_sec = t.it_value.tv_sec = ms / 1000;
    t.it_interval.tv_usec = t.it_value.tv_usec = static_cast<long>(ms % 1000) * 1000;
    sysc(inject::alarm, SYS_setitimer, ITIMER_REAL, &t, nullptr);
}

}  // namespace rt0::kernel
