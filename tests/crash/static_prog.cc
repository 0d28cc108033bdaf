// A program whose static constructors use the runtime before main_main: static_prog HOW.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include <rt0/rt0.h>

namespace {

std::atomic<int> mains{0};
// A thread of a constructor's boots, and main comes so many microseconds later.
const char* const beside = std::getenv("RT0_TEST_BESIDE");

rt0::chan<int> tokens = [] {
    rt0::chan<int> c(4);
    if (beside) {
        std::thread([] { rt0::chan<int>(1).send(1); }).detach();
        std::this_thread::sleep_for(std::chrono::microseconds(std::atoi(beside)));
        return c;
    }
    for (int i = 0; i < 4; i++) c.send(i);
    return c;
}();
const std::string first_argument = rt0::args().size() > 1 ? rt0::args()[1] : "none";

struct at_end {
    ~at_end() { std::puts("static destructor"); }
} last;

}  // namespace

void main_main() {
    mains++;
    if (beside) {
        rt0::this_goroutine::sleep_for(std::chrono::milliseconds(100));
        std::printf("%d main\n", mains.load());
        return;
    }
    const auto how = [](const char* name) { return rt0::args().size() == 2 && std::strcmp(rt0::args()[1], name) == 0; };
    if (first_argument != rt0::args()[1]) throw std::logic_error("arguments of constructors: " + first_argument);
    for (int i = 0; i < 4; i++)
        if (tokens.recv() != i) throw std::logic_error("tokens");
    if (how("waits")) tokens.recv();
    if (how("throws")) throw std::runtime_error("thrown by main_main");
    if (how("exits")) rt0::this_goroutine::exit();
    if (how("deep")) {  // main's stack is 8 MiB
        volatile char room[6 << 20];
        room[0] = 1;
        if (room[0] != 1) return;
    }
    if (how("dumps")) std::fputs(rt0::stack_dump().c_str(), stdout);
    std::printf("%d goroutines\n", rt0::num_goroutine());
}
