// Is this process the one that the runtime was booted in, or a forked copy of it?
//
//   FK1  the answer is a word in a page of its own that the kernel gives every child as
//        zeroes (MADV_WIPEONFORK): also a child that was forked behind libc's back.
//        vfork and posix_spawn share the memory, their children are no copies.
//   FK2  where the kernel does not do that, libc's handler of forks clears the word.
//   FK3  who shares the memory has another pid all the same.
#pragma once
#include <atomic>
#include <cstdint>

namespace rt0::kernel {

namespace detail {
extern std::atomic<std::atomic<std::uint32_t>*> fork_word;  // what it leads to: 1; 0 in a forked child
}

// From here on forked() tells.  libc's fork runs `before` first, on the forking thread, and in_child in each child, on
// its only thread.  Further calls do nothing.  0, or -errno: libc has no memory for the
// handlers.
int fork_watch(void (*before)(), void (*in_child)());

inline bool forked() {
    // ORDER(fork-word): acquire; pairs with the release in fork_watch: threads that come first while another
    // boots must not see a new page before its 1.
    const std::atomic<std::uint32_t>* word = detail::fork_word.load(std::memory_order_acquire);
    // relaxed: a child has one thread, and in the parent the word never changes.
    return word->load(std::memory_order_relaxed) == 0;
}

// Is the calling thread a child's that has the memory from its parent on loan: vfork's, before it execs?  A system call.
// A forked child, and one of that, is none (FK1 goes first).
bool borrowed_memory();

}  // namespace rt0::kernel
