// What memcheck must find in a user's code on goroutines: valgrind_prog uninitialised | freed | overrun | leak | nothing.
// Each stands on a goroutine that was parked and has been on other threads.  For tests/crash/valgrind_test.sh.
#include <rt0/rt0.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace this_goroutine = rt0::this_goroutine;

namespace {

// Deep and then gone: what it leaves on the stack must not count as initialised for the next one there.
[[gnu::noinline]] int fill() {
    volatile int words[2000];
    for (volatile int& w : words) w = 1;
    return words[7];
}
[[gnu::noinline]] void uninitialised() {
    int words[2000];
    asm volatile("" : "=m"(words));  // the compiler takes them for written
    static const int nowhere = open("/dev/null", O_WRONLY);
    (void)!write(nowhere, words, sizeof words);
}

volatile int sunk;

void misuse(std::string_view how) {
    int* volatile p = static_cast<int*>(std::malloc(40));
    this_goroutine::yield();
    if (how == "uninitialised") uninitialised();
    if (how == "overrun") p[10] = 1;
    if (how != "leak") std::free(p);
    this_goroutine::yield();
    if (how == "freed") sunk = p[3];
    p = nullptr;
}

}  // namespace

void main_main() {
    const std::string_view how = rt0::args().size() > 1 ? rt0::args()[1] : "nothing";
    for (int round = 0; round < 3; round++) {
        rt0::wait_group wg;
        for (int i = 0; i < 20; i++) wg.go([] { sunk = fill(); });
        wg.wait();
        for (int i = 0; i < 20; i++) wg.go([how] { misuse(how); });
        wg.wait();
    }
    rt0::println("misused:", how);
}
