// A program outside the tree: goroutines, a channel, an exception that crosses the
// boundary of the library.
#include <rt0/rt0.h>

void main_main() {
    rt0::chan<int> ch(1);
    rt0::go([ch]() mutable { ch.send(41); });
    int n = *ch.recv();
    ch.close();
    try {
        ch.send(0);
    } catch (const rt0::closed_channel&) {
        n++;
    }
    rt0::println("outside:", n);
}
