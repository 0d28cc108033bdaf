// Threads for Ms: raw clone with a whole glibc thread around it,
// or, where glibc is not laid out as calibrated or a sanitizer must see the thread,
// pthread_create behind the same interface.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rt0::kernel {

struct kthread {
    void* tcb = nullptr;                  // raw: the thread control block; pthread: a record of thread.cc
    std::atomic<std::uint32_t>* tid = nullptr;  // raw: cleared and woken by the kernel when the thread has left its
                                                // stack; pthread: cleared when thread_gone or thread_reap finds that
    alignas(void*) std::byte record[40] = {};   // pthread: tcb points here
};

enum class thread_kind { raw_clone, pthread };

// What of glibc the loader must be asked for.  It holds its lock while it asks, and while it runs the constructors of a library
// that dlopen loads, on whichever thread; so whoever is to initialise looks first, before anybody waits for him, and keeps
// what he found.  After that nothing here asks the loader.
struct loader_symbols {
    void* at[13] = {};  // by glibc.cc's list; null: not there, or linked in
};
loader_symbols look_up_symbols();
void keep_symbols(const loader_symbols& found);

// Calibrates glibc's thread layout against a live donor thread.  Called once, by
// osinit, on the initial thread; without keep_symbols it looks itself.  `why` receives, for the pthread kind, one line that
// says what did not match (null for raw clone).
thread_kind thread_init(const char** why);
thread_kind thread_mode();

// Starts a thread that runs fn(arg) on [stack_lo, stack_lo + stack_size) with all
// signals blocked.  When fn returns the thread ends (thread_local destructors run).
// 0, or -errno: -EAGAIN (limits), -ENOMEM.  The stack stays the caller's.
int thread_create(kthread* t, void (*fn)(void*), void* arg, void* stack_lo, std::size_t stack_size);

// Bytes of a thread's stack that pthread_create takes for itself, static TLS above all; 0 where glibc does not tell.
std::size_t pthread_share();

// Bytes of the stack that are not fn's: the pthread kind has the program's thread_locals there, however large they are.
std::size_t thread_stack_share();

// Has the kernel let go of the thread's stack?  Never blocks.
bool thread_gone(const kthread* t);

// Waits until thread_gone, then frees the thread's TLS.  Once per created thread.
void thread_reap(kthread* t);

// The calling thread's kernel id: a read of the TCB where its layout is known, else a system call.
std::int32_t gettid();

// Number of threads of this process, from /proc/self/task; -errno if it cannot be read.
int count_threads();

}  // namespace rt0::kernel
