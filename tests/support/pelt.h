// Signals without end: with RT0_TEST_PELT=US in its environment the program that includes this gets SIGUSR2 on each of
// its threads every US microseconds, from before main until its end, sent by a process of its own.  The handler does
// nothing and has no SA_RESTART, so that every system call that can be interrupted is.  Included by the one file of a program.
#pragma once
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace testing_support {

inline std::atomic<long> pelts{0};  // signals handled

[[noreturn]] inline void pelt(pid_t target, useconds_t us) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "pelt");
    char tasks[64];
    std::snprintf(tasks, sizeof tasks, "/proc/%d/task", target);
    while (getppid() == target) {
        DIR* d = opendir(tasks);
        if (!d) break;
        while (dirent* e = readdir(d))
            if (int tid = std::atoi(e->d_name)) syscall(SYS_tgkill, target, tid, SIGUSR2);
        closedir(d);
        usleep(us);
    }
    _exit(0);
}

inline const struct pelted_from_the_start {
    pelted_from_the_start() {
        const char* us = std::getenv("RT0_TEST_PELT");
        if (!us || !*us) return;
        struct sigaction sa = {};
        sa.sa_handler = [](int) { pelts.fetch_add(1, std::memory_order_relaxed); };
        sigaction(SIGUSR2, &sa, nullptr);
        const pid_t me = getpid(), child = fork();
        if (child < 0) std::abort();
        if (child == 0) pelt(me, static_cast<useconds_t>(std::atoi(us)));
        wanted = true;
    }
    bool wanted = false;
} pelting;

// Says how often it was interrupted.  False: it should have been, and hardly was.
inline bool pelted_enough() {
    if (!pelting.wanted) return true;
    std::printf("pelted with %ld signals\n", pelts.load());
    return pelts >= 1000;
}

}  // namespace testing_support
