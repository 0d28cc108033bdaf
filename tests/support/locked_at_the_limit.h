// Programs at the limit of threads, where every thread is a locked goroutine's (ID4): each can run by its own.
#pragma once
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>

#include "sched/mstart.h"
#include "sched/upcross.h"

namespace testing_support {

// From here on there may be no more threads than there are; how many of them are idle.
inline int no_more_threads() {
    using namespace rt0::runtime;
    for (int i = 0; i < 8; i++) rt0::go([] { usleep(20'000); });  // each takes a thread
    rt0::this_goroutine::sleep_for(std::chrono::milliseconds(50));
    runtime_call rc;
    guard l(sched.lock);
    sched.maxmcount.store(mlimited());
    return sched.nmidle;
}

// Locked goroutines that yield, and answer one another.
inline void locked_at_the_limit() {
    rt0::chan<int> ask(0), answer(0);
    std::atomic<int> started{0};
    auto answers = [&, ask, answer]() mutable {
        rt0::this_goroutine::lock_os_thread();
        const pid_t here = gettid();
        started++;
        while (auto n = ask.recv()) {
            for (int i = 0; i < 20; i++) rt0::this_goroutine::yield();
            answer.send(gettid() == here ? *n : -1);
        }
    };
    rt0::this_goroutine::lock_os_thread();
    const int idle = no_more_threads();
    rt0::wait_group all;
    for (int i = 0; i < idle; i++) all.go(answers);
    while (started < idle) rt0::this_goroutine::yield();
    int right = 0;
    for (int k = 1; k <= 200; k++) {
        ask.send(k);
        rt0::this_goroutine::yield();
        right += answer.recv() == k;
    }
    ask.close();
    all.wait();
    rt0::println("right", right);
}

// From a thread of the program's own: they answer by no means of rt0's.  False: the asking thread did.
inline bool asks_the_locked() {
    rt0::gomaxprocs(1);
    rt0::chan<std::promise<int>*> ask(0);
    std::atomic<int> started{0};
    const int idle = no_more_threads();
    rt0::wait_group all;
    for (int i = 0; i < idle; i++)
        all.go([&, ask]() mutable {
            rt0::this_goroutine::lock_os_thread();
            started++;
            while (auto p = ask.recv()) (*p)->set_value(gettid());
        });
    while (started < idle) usleep(100);
    bool elsewhere = idle > 0;
    for (int i = 0; i < 200 && elsewhere; i++) {
        std::promise<int> p;
        ask.send(&p);
        elsewhere = p.get_future().get() != gettid();
    }
    ask.close();
    all.wait();
    return elsewhere;
}

}  // namespace testing_support
