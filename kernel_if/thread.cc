// Threads for Ms.  Two kinds behind one interface: raw clone inside a glibc thread
// (glibc.cc), and pthread_create where that cannot be had or must not be used.
//
//   TH1  thread_gone says true only when nobody will touch the thread's stack again:
//        raw: the kernel cleared the tid (CLONE_CHILD_CLEARTID), its last act on the
//        memory of a thread; pthread: the thread is joined.
//   TH2  a new thread runs with every signal blocked but glibc's two internal ones, from
//        its first instruction on; those two too until glibc's start_thread is done.
//   TH3  the raw kind keeps nothing outside the TCB and the 16 bytes at the top of the
//        stack where the first frame finds what to run: no allocation but glibc's TLS.
//   TH4  sanitizers must see threads being made: with one in the process, pthread kind.
//   TH5  whoever waits for glibc's stack lock takes signal 33: setuid holds the lock until
//        every thread has.  No other signal comes between, whose handler might fork.
#include "kernel_if/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <type_traits>

#include "arch/arch.h"
#include "kernel_if/glibc.h"
#include "kernel_if/signal.h"
#include "kernel_if/syscall.h"

extern "C" {
__attribute__((weak)) void __asan_init();
__attribute__((weak)) void __tsan_init();
__attribute__((weak)) void __msan_init();
__attribute__((weak)) void __hwasan_init();
}

namespace rt0::kernel {

namespace {

// Go's flags for an M, and the three that make the TCB the thread's.
constexpr unsigned long clone_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_THREAD |
                                      CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

thread_kind mode = thread_kind::pthread;  // written by thread_init, before there is a second thread
bool calibrated = false;                  // gl is right, whatever the mode
glibc_layout gl;

// ---- raw clone ----

// What the first frame of a raw thread runs; at the top of its stack (TH3).
struct start_record {
    void (*fn)(void*);
    void* arg;
};
static_assert(sizeof(start_record) % arch::stack_align == 0);

void* raw_start(void* p) noexcept {
    start_record r = *static_cast<start_record*>(p);
    r.fn(r.arg);
    return nullptr;
}

// First C++ frame of a raw thread: glibc's own start_thread does the rest and never returns.
void raw_entry(void* pd) noexcept {
    gl.start_thread(pd);
    __builtin_trap();
}

int raw_create(kthread* t, void (*fn)(void*), void* arg, void* lo, std::size_t size) {
    // Only after fork in the child: glibc believes itself single-threaded again.
    if (__libc_single_threaded)
        if (int e = glibc_end_single_threaded()) return e;
    std::uintptr_t top = (reinterpret_cast<std::uintptr_t>(lo) + size) & ~(arch::stack_align - 1);
    auto* record = reinterpret_cast<start_record*>(top) - 1;
    *record = {fn, arg};
    char* pd = glibc_thread_new(gl, raw_start, record, lo, size);
    if (!pd) return -ENOMEM;
    auto* tid = reinterpret_cast<std::atomic<std::uint32_t>*>(pd + gl.tid);
    t->tcb = pd;
    t->tid = tid;
    sigset_t old;
    sigmask_block(&old);  // setuid's signal stays open while we wait for glibc's lock (TH5)
    glibc_thread_enlist(gl, pd);
    long r = injected(inject::clone);
    if (r == 0) {
        sigmask_block_all(nullptr);  // for the child
        r = rt0_clone(clone_flags, reinterpret_cast<std::uintptr_t>(record), tid, glibc_thread_pointer(gl, pd),
                      raw_entry, pd);
        sigmask_block(nullptr);
    }
    if (r < 0) glibc_thread_delist(gl, pd, false);
    sigmask_set(&old);
    if (r >= 0) return 0;
    glibc_thread_free(gl, pd);
    *t = {};
    return static_cast<int>(r);
}

void raw_reap(kthread* t) {
    // ORDER(ctid): acquire; pairs with the kernel's store of 0 when the thread left its memory.
    while (std::uint32_t v = t->tid->load(std::memory_order_acquire))
        sysc(inject::futex_libc, SYS_futex, t->tid, FUTEX_WAIT, v);  // the shared form: the kernel wakes this word as such
    auto* pd = static_cast<char*>(t->tcb);
    sigset_t old;
    sigmask_block(&old);  // TH5
    glibc_thread_delist(gl, pd, true);
    sigmask_set(&old);
    glibc_thread_free(gl, pd);
}

// ---- pthread ----

struct pthread_record {
    pthread_t thread;
    start_record start;
    std::atomic<std::uint32_t> tid{1};        // 1 until the thread has written its own
    std::atomic<std::uint32_t> joining{0};    // one of several thread_gone at a time
};

void* pthread_start(void* p) noexcept {
    auto* r = static_cast<pthread_record*>(p);
    std::uint32_t first = 1;
    // relaxed: a number for debuggers and tests; nothing is read through it.
    r->tid.compare_exchange_strong(first, static_cast<std::uint32_t>(gettid()), std::memory_order_relaxed);
    r->start.fn(r->start.arg);
    return nullptr;
}

int pthread_make(pthread_record* r, void* lo, std::size_t size) {
    if (int e = injected(inject::clone)) return e;
    pthread_attr_t attr;
    if (int e = pthread_attr_init(&attr)) return -e;
    int e = pthread_attr_setstack(&attr, lo, size);
    if (e == 0) {
        sigset_t old;
        sigmask_block(&old);
        e = pthread_create(&r->thread, &attr, pthread_start, r);
        sigmask_set(&old);
    }
    pthread_attr_destroy(&attr);
    return -e;
}

int pthread_kind_create(kthread* t, void (*fn)(void*), void* arg, void* lo, std::size_t size) {
    if (injected(inject::tls_alloc)) return -ENOMEM;
    static_assert(sizeof(pthread_record) <= sizeof t->record && std::is_trivially_destructible_v<pthread_record>);
    auto* r = new (t->record) pthread_record;
    r->start = {fn, arg};
    t->tcb = r;
    t->tid = &r->tid;
    int e = pthread_make(r, lo, size);
    if (e != 0) *t = {};
    return e;
}

bool pthread_kind_gone(const kthread* t) {
    auto* r = static_cast<pthread_record*>(t->tcb);
    // ORDER(joined): acquire; pairs with the release below: who sees 0 may reuse the stack.
    if (r->tid.load(std::memory_order_acquire) == 0) return true;
    // ORDER(joining): acquire; pairs with the release below.
    if (r->joining.exchange(1, std::memory_order_acquire) != 0) return false;
    // relaxed: `joining` orders us after an earlier joiner.
    bool gone = r->tid.load(std::memory_order_relaxed) == 0 || pthread_tryjoin_np(r->thread, nullptr) == 0;
    // ORDER(joined): release; pairs with the acquire above.
    if (gone) r->tid.store(0, std::memory_order_release);
    // ORDER(joining): release; pairs with the acquire above.
    r->joining.store(0, std::memory_order_release);
    return gone;
}

// ---- initialisation ----

const char* sanitizer() {
    if (__asan_init) return "AddressSanitizer";
    if (__tsan_init) return "ThreadSanitizer";
    if (__msan_init) return "MemorySanitizer";
    if (__hwasan_init) return "HWAddressSanitizer";
    return nullptr;
}

}  // namespace

thread_kind thread_init(const char** why) {
    static char line[160];  // outlives the call: `why` points here
    const char* reason = sanitizer();
    const char* tail = " must see every thread; using pthread_create";
    calibrated = false;
    need_symbols();
    if (!reason) {
        reason = glibc_calibrate(&gl);
        tail = "; using pthread_create";
        calibrated = reason == nullptr;
    }
    mode = reason ? thread_kind::pthread : thread_kind::raw_clone;
    if (reason) std::snprintf(line, sizeof line, "threads: %s%s", reason, tail);
    if (why) *why = reason ? line : nullptr;
    return mode;
}

thread_kind thread_mode() { return mode; }

int thread_create(kthread* t, void (*fn)(void*), void* arg, void* stack_lo, std::size_t stack_size) {
    return mode == thread_kind::raw_clone ? raw_create(t, fn, arg, stack_lo, stack_size)
                                          : pthread_kind_create(t, fn, arg, stack_lo, stack_size);
}

std::size_t thread_stack_share() { return mode == thread_kind::pthread ? pthread_share() : 0; }

bool thread_gone(const kthread* t) {
    if (mode == thread_kind::pthread) return pthread_kind_gone(t);
    // ORDER(ctid): acquire; pairs with the kernel's store of 0 when the thread left its memory.
    return t->tid->load(std::memory_order_acquire) == 0;
}

void thread_reap(kthread* t) {
    if (mode == thread_kind::raw_clone) {
        raw_reap(t);
    } else {
        auto* r = static_cast<pthread_record*>(t->tcb);
        if (r->tid.load(std::memory_order_relaxed) != 0)  // relaxed: the one reaper is also ordered by the join
            pthread_join(r->thread, nullptr);
    }
    *t = {};
}

std::int32_t gettid() {
    // glibc keeps it in the TCB and puts it right in the child of a fork.
    if (calibrated) {
        std::int32_t v;
        __builtin_memcpy(&v, glibc_thread_self(gl) + gl.tid, sizeof v);
        return v;
    }
    return static_cast<std::int32_t>(sysc_sure(SYS_gettid));
}

int count_threads() {
    // A directory's link count is 2 (its name and ".") and one for each directory in it.
    struct stat st;
    long r = sysc(inject::tasks, SYS_newfstatat, -100 /* AT_FDCWD: the path is absolute */, "/proc/self/task", &st, 0);
    if (r < 0) return static_cast<int>(r);
    return static_cast<int>(st.st_nlink) - 2;
}

}  // namespace rt0::kernel
