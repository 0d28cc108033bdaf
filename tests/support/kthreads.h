// Threads of kernel_if for tests: a stack and a kthread in one object.
#pragma once
#include <sys/syscall.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "kernel_if/inject.h"
#include "kernel_if/memory.h"
#include "kernel_if/sys.h"
#include "kernel_if/thread.h"

namespace test {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool tsan = true;
#elif defined(__has_feature)
inline constexpr bool tsan = __has_feature(thread_sanitizer);
#else
inline constexpr bool tsan = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
inline constexpr bool sanitized = tsan || __has_feature(address_sanitizer);
#else
inline constexpr bool sanitized = tsan;
#endif
#ifdef RT0_COVERAGE
inline constexpr bool counting = true;  // branches: whoever ends the process writes the counters out first
#else
inline constexpr bool counting = false;
#endif

// ThreadSanitizer puts 900 KiB of its own on every thread's stack.
inline constexpr std::size_t kstack = sanitized ? 4 << 20 : 256 << 10;

class kthread_on_stack {
public:
    explicit kthread_on_stack(std::size_t n = kstack) : n_(n), lo_(rt0::kernel::sys_reserve(n, 4096)) {
        if (!lo_) std::abort();
    }
    ~kthread_on_stack() {
        if (t_.tcb) reap();
        rt0::kernel::sys_free(lo_, n_);
    }
    kthread_on_stack(const kthread_on_stack&) = delete;
    kthread_on_stack& operator=(const kthread_on_stack&) = delete;

    int start(void (*fn)(void*), void* arg) { return rt0::kernel::thread_create(&t_, fn, arg, lo_, n_); }
    bool gone() const { return rt0::kernel::thread_gone(&t_); }
    void reap() { rt0::kernel::thread_reap(&t_); }
    char* lo() const { return static_cast<char*>(lo_); }
    char* hi() const { return lo() + n_; }
    const rt0::kernel::kthread& get() const { return t_; }

private:
    rt0::kernel::kthread t_;
    std::size_t n_;
    void* lo_;
};

// Puts the process on one kind of thread.  No kthread may be alive.
inline rt0::kernel::thread_kind use_threads(rt0::kernel::thread_kind k, const char** why = nullptr) {
    using namespace rt0::kernel;
    if (k == thread_kind::pthread) inject_fail(inject::calibrate, 1, 22);
    thread_kind got = thread_init(why);
    inject_off();
    return got;
}

// Waits until this process has n threads.  A thread whose end another waited for is still counted
// for a moment: the kernel lets go of its stack (and wakes who waits) before it takes it off the books.
// Never n: the test's alarm tells.
inline void until_threads(int n) {
    while (rt0::kernel::count_threads() != n) rt0::kernel::osyield();
}

// Resident set of this process, KiB.
inline long resident_kib() {
    FILE* f = std::fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;
    if (!f || std::fscanf(f, "%ld %ld", &size, &pages) != 2) std::abort();
    std::fclose(f);
    return pages * 4;
}

// Is this thread of ours asleep on a futex at addr?  Where the kernel does not tell, never.
inline bool sleeps_on(int tid, const void* addr) {
    char path[64], text[256], want[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    if (rt0::kernel::read_small_file(path, text, sizeof text) <= 0) return false;
    std::snprintf(want, sizeof want, "%d %p ", static_cast<int>(SYS_futex), addr);
    return std::strncmp(text, want, std::strlen(want)) == 0;
}
inline bool sleep_is_visible() {
    char text[256];
    return rt0::kernel::read_small_file("/proc/thread-self/syscall", text, sizeof text) > 0;
}

// This process's thread of that name, -1: there is none.
inline pid_t thread_named(std::string_view name) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream comm(task.path() / "comm");
        std::string line;
        if (std::getline(comm, line) && line == name) return std::stoi(task.path().filename().string());
    }
    return -1;
}

// May a thread become SCHED_IDLE here, and come back?
inline bool idle_class_permitted() {
    std::thread(rt0::kernel::idle_class_probe).join();
    return rt0::kernel::idle_class_permitted();
}

// May a thread become SCHED_FIFO here?
inline bool realtime_permitted() {
    int rc = 0;
    std::thread([&] { rc = rt0::kernel::realtime_enter(); }).join();
    return rc == 0;
}

}  // namespace test
