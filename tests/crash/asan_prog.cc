// What AddressSanitizer and UndefinedBehaviorSanitizer must see on a goroutine: asan_prog KIND.  For asan_test.cc.
// Each is committed after the goroutine has parked and come back, on another thread most likely.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <rt0/rt0.h>

using namespace std::chrono_literals;

namespace {

volatile int zero = 0;  // nothing here is known to the compiler
int* volatile sink;

[[gnu::noinline]] void heap_after_free() {
    auto p = std::make_unique<int>(1);
    int* volatile gone = p.get();
    p.reset();
    *gone = 2;
}
[[gnu::noinline]] void heap_overrun() {
    std::unique_ptr<char[]> p(new char[10]);
    char* volatile at = p.get();
    at[10 + zero] = 1;
}
[[gnu::noinline]] void stack_overrun() {
    int a[4] = {};
    sink = a;
    sink[4 + zero] = 1;
}
[[gnu::noinline]] void stack_after_scope() {
    {
        int a[4] = {};
        sink = a;
    }
    *sink = 1;
}
[[gnu::noinline]] void signed_overflow() {
    int n = 0x7fffffff;
    n += 1 - zero;
    std::printf("%d\n", n);
}
void nothing() {}

const std::pair<const char*, void (*)()> kinds[] = {
    {"heap_after_free", heap_after_free},     {"heap_overrun", heap_overrun},       {"stack_overrun", stack_overrun},
    {"stack_after_scope", stack_after_scope}, {"signed_overflow", signed_overflow}, {"nothing", nothing},
};

}  // namespace

void main_main() {
    const std::string kind = rt0::args().size() > 1 ? rt0::args()[1] : "";
    for (auto& [name, commit] : kinds) {
        if (kind != name) continue;
        rt0::chan<int> c(0);
        rt0::wait_group wg;
        for (int i = 0; i < 4; i++)
            wg.go([&, f = commit] {
                for (int k = 0; k < 100; k++) c.recv();
                rt0::this_goroutine::sleep_for(1ms);
                f();
            });
        for (int k = 0; k < 400; k++) c.send(k);
        wg.wait();
        std::puts("done");
        return;
    }
    std::puts("no such kind");
}
