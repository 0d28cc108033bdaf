// What tests/perf/tools_test.cc profiles: a known chain of calls, outer, middle, inner, busy on a
// goroutine; and one that parks all the time, beside a peer.  No call in it is a tail call.
// `make tests` builds it with a frame pointer and, as chain_nofp_prog, without.
#include <chrono>
#include <cstdlib>
#include <ctime>

#include <rt0/rt0.h>

namespace chain {

// Its sum lies on the stack: g++ gives a leaf that needs no stack no frame pointer, whatever the flags.
[[gnu::noinline]] void inner() {
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 1'000'000; i++) sum = sum + i;
    asm volatile("");
}

double cpu_s() {  // of the process, so that a busy machine makes no fewer samples
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

[[gnu::noinline]] void middle(double seconds) {
    for (double end = cpu_s() + seconds; cpu_s() < end;) inner();
    asm volatile("");
}

[[gnu::noinline]] void outer() {
    middle(0.2);
    asm volatile("");
}

void echo(rt0::chan<int> there, rt0::chan<int> back) {
    for (int n : there) back.send(n);
}

[[gnu::noinline]] void parks(rt0::chan<int> there, rt0::chan<int> back) {
    for (double end = cpu_s() + 0.1; cpu_s() < end;)
        for (int i = 0; i < 1000; i++) {
            there.send(i);
            back.recv();
        }
    there.close();
}

}  // namespace chain

void main_main() {
    rt0::wait_group all;
    all.go([] { chain::outer(); });
    all.wait();
    rt0::chan<int> there(0), back(0);
    all.go([=] { chain::echo(there, back); });
    all.go([=] { chain::parks(there, back); });
    all.wait();
    if (rt0::this_goroutine::id() != 1) std::abort();  // whose code tools_test looks at
}
