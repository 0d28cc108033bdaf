// Two megabytes of them, which goroutines on several threads write to.
#pragma once
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>

#include <rt0/rt0.h>

inline thread_local char many_bytes[2 << 20];

inline void use_thread_locals() {
    std::set<int> threads;
    rt0::mutex m;
    rt0::wait_group wg;
    for (int i = 0; i < 8; i++)
        wg.go([&, i] {
            rt0::this_goroutine::lock_os_thread();
            std::memset(many_bytes, i, sizeof many_bytes);
            rt0::this_goroutine::yield();
            std::lock_guard l(m);
            for (char c : many_bytes)
                if (c != i) std::puts("somebody else's");
            threads.insert(gettid());
        });
    wg.wait();
    std::printf("%zu threads\n", threads.size());
}
