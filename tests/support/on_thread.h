// Something on a thread of the program's own, from a goroutine, which waits for its end.
#pragma once
#include <rt0/rt0.h>

#include <thread>

namespace testing_support {

template <class F>
void on_unknown_thread(F f) {
    std::thread t(f);
    rt0::blocking([&] { t.join(); });
}
// One that called rt0 before.
template <class F>
void on_known_thread(F f) {
    on_unknown_thread([f] {
        rt0::this_goroutine::yield();
        f();
    });
}

}  // namespace testing_support
