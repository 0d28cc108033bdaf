// The word that tells a forked child from its parent; FK1 and FK2 in fork.h.
#include "kernel_if/fork.h"

#include <pthread.h>
#include <sys/prctl.h>

#include "kernel_if/cpu.h"
#include "kernel_if/memory.h"
#include "kernel_if/sys.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

namespace {

std::atomic<std::uint32_t> plain_word{1};  // before fork_watch, and where the kernel wipes nothing
std::atomic<void (*)()> child_handler{nullptr};
pthread_once_t once = PTHREAD_ONCE_INIT;
int rc = 0;
std::atomic<long> boot_pid{0};  // FK3; 0 before fork_watch
unsigned long slack = 0;  // ns, timer slack of the thread that booted

void in_child() {
    // relaxed, both: the only thread; FK2
    detail::fork_word.load(std::memory_order_relaxed)->store(0, std::memory_order_relaxed);
    // The runtime's threads have none; what exec starts is an ordinary program and inherits it.
    if (slack != 0) set_timer_slack(slack);
    child_handler.load(std::memory_order_relaxed)();  // relaxed: all callers of fork_watch stored the same
}

// No page, or none that is wiped: FK2.
std::atomic<std::uint32_t>* wiped_word() {
    std::size_t n = read_auxv(nullptr).page_size;
    void* page = sys_reserve(n, n);
    if (!page) return &plain_word;
    if (sys_wipeonfork(page, n) < 0) {
        sys_free(page, n);
        return &plain_word;
    }
    auto* word = static_cast<std::atomic<std::uint32_t>*>(page);
    word->store(1, std::memory_order_relaxed);  // relaxed: published with the pointer
    return word;
}

}  // namespace

constinit std::atomic<std::atomic<std::uint32_t>*> detail::fork_word{&plain_word};

int fork_watch(void (*before)(), void (*handler)()) {
    static std::atomic<void (*)()> prepare;
    prepare.store(before, std::memory_order_relaxed);  // relaxed: all callers store the same
    child_handler.store(handler, std::memory_order_relaxed);  // relaxed: read in a child, which has one thread
    pthread_once(&once, [] {
        boot_pid.store(sysc_sure(SYS_getpid), std::memory_order_relaxed);  // relaxed: the value is the whole message
        long was = sysc(inject::prctl, SYS_prctl, PR_GET_TIMERSLACK);
        if (was > 0) slack = static_cast<unsigned long>(was);
        // ORDER(fork-word): release; pairs with the acquire in forked().
        detail::fork_word.store(wiped_word(), std::memory_order_release);
        rc = injected(inject::libc);
        // relaxed: this thread stored it.
        if (rc == 0) rc = -pthread_atfork(prepare.load(std::memory_order_relaxed), nullptr, in_child);
    });
    return rc;
}

bool borrowed_memory() {
    const long pid = boot_pid.load(std::memory_order_relaxed);  // relaxed: as above
    return pid != 0 && !forked() && sysc_sure(SYS_getpid) != pid;
}

}  // namespace rt0::kernel
