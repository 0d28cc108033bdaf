// A library that uses rt0 while it is being loaded.
#include <cstdio>

#include <rt0/chan.h>
#include <rt0/go.h>

namespace {

struct at_load {
    at_load() {
        rt0::chan<int> answer(0);
        rt0::go([answer]() mutable { answer.send(42); });
        std::printf("outside: %d\n", *answer.recv());
        std::fflush(stdout);
    }
} const loaded;

}  // namespace
