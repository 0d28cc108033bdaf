// The program rt0 was begun for: a goroutine says hello, main waits for it on a channel.
#include <rt0/rt0.h>

void main_main() {
    rt0::chan<int> ch1(0);
    rt0::go([ch1]() mutable {
        rt0::println("hello");
        ch1.send(1);
    });
    ch1.recv();
}
