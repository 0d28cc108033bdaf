// Signal masks, alternate stacks, handlers: thin and typed.
#pragma once
#include <csignal>
#include <cstddef>

namespace rt0::kernel {

// sigmask_block_all blocks also the thread library's two signals, 32 and 33: for a few
// instructions at most, since setuid waits until every thread has taken 33.  In between
// no lock of glibc may be waited for (its setuid holds one).  old may be null.
void sigmask_block_all(sigset_t* old);
void sigmask_block(sigset_t* old);            // all but those two
void sigmask_set(const sigset_t* mask);
void sigmask_get(sigset_t* mask);
int sigaltstack_set(void* lo, std::size_t n);  // n == 0: disable; -errno

}  // namespace rt0::kernel
