// Signal masks and alternate stacks.  The masks are set by system call, not through
// libc, which would quietly leave its two internal signals out.
#include "kernel_if/signal.h"

#include <cstdint>
#include <cstring>

#include "kernel_if/inject.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

namespace {

constexpr std::size_t kernel_sigset = 8;  // bytes: 64 signals on amd64 and arm64
static_assert(sizeof(sigset_t) >= kernel_sigset, "libc's set is the kernel's with room to grow");

constexpr int sig_cancel = 32, sig_setxid = 33;  // glibc's own

void swap_mask(std::uint64_t blocked, sigset_t* old) {
    if (old) std::memset(old, 0, sizeof *old);
    sysc(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, old, kernel_sigset);
}

}  // namespace

void sigmask_block_all(sigset_t* old) { swap_mask(~std::uint64_t{0}, old); }

void sigmask_block(sigset_t* old) {
    swap_mask(~(std::uint64_t{1} << (sig_cancel - 1) | std::uint64_t{1} << (sig_setxid - 1)), old);
}

void sigmask_set(const sigset_t* mask) { sysc(SYS_rt_sigprocmask, SIG_SETMASK, mask, nullptr, kernel_sigset); }

void sigmask_get(sigset_t* mask) {
    std::memset(mask, 0, sizeof *mask);
    sysc(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, mask, kernel_sigset);
}

int sigaltstack_set(void* lo, std::size_t n) {
    if (int e = injected(inject::sigaltstack)) return e;
    stack_t ss = {};
    ss.ss_sp = lo;
    ss.ss_size = n;
    ss.ss_flags = n == 0 ? SS_DISABLE : 0;
    return static_cast<int>(sysc(SYS_sigaltstack, &ss, nullptr));
}

}  // namespace rt0::kernel
