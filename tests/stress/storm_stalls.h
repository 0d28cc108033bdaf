// Acts of the storm outside of what the runtime sees: goroutines that block or loop in user
// code, threads it did not make, Ps that come and go.
#pragma once
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/stress/storm.h"
#include "tests/support/join.h"

namespace {

// A signal may come between (pelt.h), as in any program.  noinline: no address of errno is kept over a park of the caller's.
template <class F>
[[gnu::noinline]] long uninterrupted(F call) {
    long r;
    do r = call();
    while (r < 0 && errno == EINTR);
    return r;
}

// ---- user code that blocks in the kernel or loops, and tells nobody
void stalls(rng r) {
    int pipe_fd[2];
    if (pipe(pipe_fd) != 0) rt0::panic("storm: pipe");
    rt0::wait_group wg;
    std::atomic<long> readers_sum{0}, loops{0};
    std::atomic<bool> stop{false};
    std::mutex m;
    long under_mutex = 0;
    const int readers = pick(r, 1, 8), hogs = pick(r, 0, 3), holders = pick(r, 0, 4);
    for (int i = 0; i < readers; i++)
        wg.go([&] {
            unsigned char byte;
            if (uninterrupted([&] { return read(pipe_fd[0], &byte, 1); }) != 1) rt0::panic("storm: read");
            readers_sum += byte;
        });
    for (int i = 0; i < hogs; i++)
        wg.go([&] {
            while (!stop.load(std::memory_order_relaxed)) {}
            loops++;
        });
    for (int i = 0; i < holders; i++)
        wg.go([&] {
            std::lock_guard l(m);
            long seen = under_mutex;
            rt0::this_goroutine::sleep_for(20us);
            under_mutex = seen + 1;
        });
    wg.go([&] {  // needs a P while the others hold them
        for (int i = 1; i <= readers; i++) {
            auto byte = static_cast<unsigned char>(i);
            rt0::this_goroutine::yield();
            if (uninterrupted([&] { return write(pipe_fd[1], &byte, 1); }) != 1) rt0::panic("storm: write");
        }
        stop = true;
    });
    wg.wait();
    expect("stalls", "the bytes read", readers_sum, long{readers} * (readers + 1) / 2);
    expect("stalls", "the loops ended", loops, hogs);
    expect("stalls", "the holders of the mutex", under_mutex, holders);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

// ---- threads that are not the runtime's, short-lived
void strangers(rng r) {
    rt0::chan<parcel> there(static_cast<std::size_t>(pick(r, 0, 3))), back(0);
    const int n = pick(r, 1, 6), each = pick(r, 1, 30);
    std::vector<std::thread> threads;
    for (int i = 0; i < n; i++)
        threads.emplace_back([&, i] {
            for (int k = 0; k < each; k++) {
                there.send(parcel(100L * i + k));
                if (!back.recv()->whole()) expect("strangers", "a parcel", 0, 1);
            }
        });
    long sum = 0;
    for (int k = 0; k < n * each; k++) {
        parcel p = *there.recv();
        sum += p.value;
        back.send(p);
    }
    for (auto& t : threads) rt0::blocking([&] { testing_support::join(t); });
    expect("strangers", "the sum", sum, each * 100L * n * (n - 1) / 2 + n * (each * (each - 1L) / 2));
}

// ---- Ps that come and go under all the rest
bool resizing = false;
void resizes(rng r) {
    for (int i = pick(r, 1, 10); resizing && i > 0; i--) {
        rt0::gomaxprocs(pick(r, 1, pick(r, 0, 15) ? 16 : 1024));
        rt0::this_goroutine::sleep_for(std::chrono::microseconds(pick(r, 0, 300)));
    }
}

}  // namespace
