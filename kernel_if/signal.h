// Signal masks, alternate stacks, handlers: thin and typed.
#pragma once
#include <csignal>
#include <cstddef>

namespace rt0::kernel {

void sigmask_block_all(sigset_t* old);        // also the thread-library signals below SIGRTMIN
void sigmask_set(const sigset_t* mask);
void sigmask_get(sigset_t* mask);
int sigaltstack_set(void* lo, std::size_t n);  // n == 0: disable; -errno

}  // namespace rt0::kernel
