// What LeakSanitizer must tell apart: leak_prog KIND.  For leak_test.cc.
//     leaked   a goroutine, now dead, had the only pointers: reported, 20 of 1234 bytes
//     held     goroutines that live have them: parked, runnable, blocked, looping, in a closure, a channel, a timer's function
#include <rt0/rt0.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

constexpr std::size_t bytes = 1234;
std::atomic<int> there{0};

// The pointer is in no register and on no stack but the caller's, when this is over.
[[gnu::noinline]] void* get() {
    void* volatile p = std::malloc(bytes);
    return p;
}

// Holds one while f runs.
template <class F>
void holding(F f) {
    void* volatile p = get();
    there++;
    f();
    std::free(p);
}

void leaked() {
    rt0::wait_group wg;
    for (int i = 0; i < 20; i++)
        wg.go([] {
            [[maybe_unused]] void* volatile p = get();
            this_goroutine::yield();
            p = nullptr;
        });
    wg.wait();
}

void held() {
    static rt0::chan<std::unique_ptr<char[]>> full(3);
    static rt0::chan<int> never(0);
    static rt0::timer later(1h, [p = std::make_shared<std::vector<int>>(100)] { there += static_cast<int>(p->size()); });
    for (int i = 0; i < 3; i++) full.send(std::make_unique<char[]>(bytes));
    static int fd[2];
    if (pipe(fd) != 0) std::abort();
    for (int i = 0; i < 20; i++) {
        rt0::go([] { holding([] { never.recv(); }); });
        rt0::go([] { holding([] { this_goroutine::sleep_for(1h); }); });
        rt0::go([p = std::make_unique<char[]>(bytes)] {
            there++;
            never.recv();
        });
    }
    rt0::go([] {
        holding([] {
            char c;
            (void)!read(fd[0], &c, 1);
        });
    });
    rt0::go([] {
        holding([] {
            for (std::atomic<long> i{0};; i++) {}
        });
    });
    while (there < 62) this_goroutine::yield();
    for (int i = 0; i < 5; i++)
        rt0::go([p = std::make_unique<char[]>(bytes)] { never.recv(); });  // some runnable still when the process ends
    rt0::exit(0);
}

}  // namespace

void main_main() {
    const std::string_view kind = rt0::args().size() > 1 ? rt0::args()[1] : "";
    if (kind == "leaked") leaked();
    if (kind == "held") held();
}
