// Programs that are legal and not common: odd_prog SCENE.  All of them have more thread_locals than an M's stack has room for.
//     runs            goroutines that use them
//     closes_all      descriptors that are not its own, as daemons do, and opens files under their numbers
//     static_context  ends while goroutines make children of a context of static storage
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include <rt0/rt0.h>

#include "tests/crash/odd_thread_locals.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

std::string file_of(int fd) {
    char name[200] = "";
    const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof name - 1);
    return n < 0 ? "nothing" : std::string(name, static_cast<std::size_t>(n));
}

// Goroutines that hold their P in the kernel, on threads that change: sysmon looks at each.
void hold_ps() {
    for (int i = 0; i < 8; i++) {
        rt0::wait_group wg;
        for (int k = 0; k < 4; k++)
            wg.go([k] {
                if (k % 2) this_goroutine::lock_os_thread();  // a new thread next time
                usleep(10'000);
            });
        wg.wait();
    }
}

void closes_all() {
    hold_ps();
    close_range(3, ~0u, 0);
    int mine[20];
    for (int& fd : mine) fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    hold_ps();
    for (int fd : mine)
        if (file_of(fd) != "/dev/null") std::printf("%d is %s\n", fd, file_of(fd).c_str());
    std::puts("done");
}

void static_context() {
    static rt0::context& of_all = *new rt0::context;  // outlives all
    static rt0::context last = of_all.child();        // dies in exit()
    for (int i = 0; i < 4; i++)
        rt0::go([] {
            for (;;) {
                rt0::context c = of_all.child();
                c.cancel();
            }
        });
    this_goroutine::sleep_for(2ms);
    std::puts("done");
    rt0::exit(0);
}

}  // namespace

void main_main() {
    const std::string scene = rt0::args().size() > 1 ? rt0::args()[1] : "runs";
    if (scene == "runs") use_thread_locals();
    else if (scene == "closes_all") closes_all();
    else if (scene == "static_context") static_context();
    else std::puts("no such scene");
}
