// Signal masks, alternate stacks, handlers: thin and typed.
#pragma once
#include <csignal>
#include <cstddef>
#include <cstdint>

namespace rt0::kernel {

// sigmask_block_all blocks also the thread library's two signals, 32 and 33: for a few
// instructions at most, since setuid waits until every thread has taken 33.  In between
// no lock of glibc may be waited for (its setuid holds one).  old may be null.
void sigmask_block_all(sigset_t* old);
void sigmask_block(sigset_t* old);            // all but those two
void sigmask_set(const sigset_t* mask);
void sigmask_get(sigset_t* mask);
void sigmask_block_one(int sig);
void sigmask_unblock_one(int sig);
// While one lives a write raises no SIGPIPE and no SIGXFSZ in the calling thread; its error tells, too.
class no_write_signals {
public:
    no_write_signals();
    ~no_write_signals();
    no_write_signals(const no_write_signals&) = delete;
    no_write_signals& operator=(const no_write_signals&) = delete;

private:
    std::uint64_t mask_ = 0, pending_ = 0;  // before
};
int sigaltstack_set(void* lo, std::size_t n);  // n == 0: disable; -errno
// Has the calling thread an alternate stack, and not this one?
bool sigaltstack_other(const void* lo);

using sighandler_fn = void (*)(int sig, siginfo_t* info, void* ucontext);

// The present action; 0 or -errno.
int sigaction_get(int sig, struct sigaction* out);
// SA_SIGINFO | SA_ONSTACK | SA_RESTART; `also` has a bit (sig - 1) for each further signal
// that waits until the handler is done.
int sigaction_handle(int sig, sighandler_fn fn, std::uint64_t also);
int sigaction_default(int sig);

// To one thread of this process; 0 or -errno (-ESRCH: it is gone).
int tgkill(std::int32_t tid, int sig);
// Sends the calling thread a signal again, as it came: delivered when its handler returns,
// or now if it is not blocked.  0 or -errno: it will not come.
int resend(const siginfo_t* info);
// SIGALRM to the process each `ms` milliseconds.
void alarm_every(unsigned ms);

}  // namespace rt0::kernel
