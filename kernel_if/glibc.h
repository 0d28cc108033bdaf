// glibc's thread, as far as raw clone must imitate it.  Private to kernel_if: thread.cc
// makes threads with it, nobody else includes it.
//
//   GC1  no offset is a constant of ours: each comes from a descriptor that glibc keeps
//        for debuggers (_thread_db_*), or from a search in a live thread (the donor), and
//        is checked against that thread before use.  One mismatch: none of it is used.
//   GC2  the donor, a real pthread, has run before the first raw thread: it ends glibc's
//        single-threaded mode (unlocked malloc and stdio), and installs the handlers of
//        setuid and cancellation.
//   GC3  every live raw thread is on glibc's list of threads with user stacks, under
//        glibc's own lock: fork, setuid and dlopen of initial-exec TLS walk it.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rt0::kernel {

struct glibc_layout {
    struct list {
        list *next, *prev;
    };

    // Functions and variables of glibc.
    void* (*allocate_tls)(void*);
    void (*deallocate_tls)(void*, bool);
    int (*start_thread)(void*);
    int* nthreads;
    list* stack_user;
    std::atomic<std::uint32_t>* stack_lock;

    // Offsets in struct pthread, bytes.
    std::uint32_t size, list_node, tid, robust, cancel, flags, specific, first_block, report, user_stack, setxid_futex,
        joinid, start_routine, arg, stackblock, sigmask;

    // Values copied from the donor or the initial thread.
    std::uint32_t flags_value, multiple_threads_value;
    std::int64_t robust_futex_offset;
    std::uint64_t sigmask_value;
};

// Those of keep_symbols, or looked up now.
void need_symbols();
// Runs the donor and fills `out`.  Null, or what did not match.
const char* glibc_calibrate(glibc_layout* out);

// Starts and joins an ordinary thread that does nothing (GC2).  0 or -errno.
int glibc_end_single_threaded();

// A control block for a thread that runs start(arg) on the given stack; not yet on the
// list.  Null when memory is out.
char* glibc_thread_new(const glibc_layout& gl, void* (*start)(void*), void* arg, void* stack_lo,
                       std::size_t stack_size);
void glibc_thread_free(const glibc_layout& gl, char* pd);

// On the list and counted: from just before clone until the kernel has let go of the
// thread.  start_thread itself takes a thread that ran out of the count; `ran` says so.
void glibc_thread_enlist(const glibc_layout& gl, char* pd);
void glibc_thread_delist(const glibc_layout& gl, char* pd, bool ran);

// The calling thread's struct pthread; never cached over a switch of stacks.
char* glibc_thread_self(const glibc_layout& gl);

// The thread pointer that belongs to pd.
void* glibc_thread_pointer(const glibc_layout& gl, char* pd);

}  // namespace rt0::kernel
