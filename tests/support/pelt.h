// Signals without end: with RT0_TEST_PELT=US in its environment the program that includes this gets SIGUSR2 on each of
// its threads every US microseconds, from before main until its end, sent by a process of its own.  The handler does
// nothing and has no SA_RESTART, so that every system call that can be interrupted is.  Included by the one file of a program.
#pragma once
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace testing_support {

inline std::atomic<long> pelts{0};  // signals handled
inline std::atomic<long>* passes = nullptr;        // over all threads, by the one that pelts; in memory that both have
inline constexpr double pelts_per_second = 1000;   // at least, over all threads (pelted_enough)
inline constexpr double passes_per_second = 100;   // at least, of a processor: by each every thread is sent one

inline timespec later(timespec t, useconds_t us) {
    t.tv_nsec += us * 1000L;
    t.tv_sec += t.tv_nsec / 1'000'000'000;
    t.tv_nsec %= 1'000'000'000;
    return t;
}
inline bool before(timespec a, timespec b) { return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec; }

[[noreturn]] inline void pelt(pid_t target, useconds_t us) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "pelt");
    char tasks[64];
    std::snprintf(tasks, sizeof tasks, "/proc/%d/task", target);
    prctl(PR_SET_TIMERSLACK, 1UL);  // of 50 us otherwise
    timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (getppid() == target) {
        DIR* d = opendir(tasks);
        if (!d) break;
        while (dirent* e = readdir(d))
            if (int tid = std::atoi(e->d_name)) syscall(SYS_tgkill, target, tid, SIGUSR2);
        closedir(d);
        passes->fetch_add(1, std::memory_order_relaxed);
        // The next period that has not begun: signals that came too late are left out.
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        do next = later(next, us);
        while (before(next, now));
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr) == EINTR) {}
    }
    _exit(0);
}

inline const struct pelted_from_the_start {
    pelted_from_the_start() {
        const char* us = std::getenv("RT0_TEST_PELT");
        if (!us || std::atoi(us) <= 0) return;
        struct sigaction sa = {};
        sa.sa_handler = [](int) { pelts.fetch_add(1, std::memory_order_relaxed); };
        sigaction(SIGUSR2, &sa, nullptr);
        void* shared = mmap(nullptr, sizeof *passes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED) std::abort();
        passes = new (shared) std::atomic<long>(0);
        const pid_t me = getpid(), child = fork();
        if (child < 0) std::abort();
        if (child == 0) pelt(me, static_cast<useconds_t>(std::atoi(us)));
        wanted = true;
    }
    bool wanted = false;
} pelting;

// Says how often it was interrupted, and how often all threads were sent a signal (which one may block, or have pending).
// False: it should have been, and hardly was: less than pelts_per_second of its processor time, or passes_per_second of each
// processor's share in that, which other load takes from it as from the one that pelts.
// That one sleeps most of the time and needs 0.1 ms to go through all threads, so a tenth of the processor that this process
// has is enough for it: at a load of 14 on two processors it was 9,000 to 40,000, with ThreadSanitizer, too.  Fewer are those
// of a process that died on the way, or that pelts nobody.
inline bool pelted_enough() {
    if (!pelting.wanted) return true;
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    const double secs = static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
    const long each = passes->load(), processors = sysconf(_SC_NPROCESSORS_ONLN);
    std::printf("pelted with %ld signals, %ld times all threads, in %.1f s of processor time\n", pelts.load(), each, secs);
    return pelts > 0 && static_cast<double>(pelts.load()) >= pelts_per_second * secs &&
           static_cast<double>(each) * static_cast<double>(processors) >= passes_per_second * secs;
}

}  // namespace testing_support
