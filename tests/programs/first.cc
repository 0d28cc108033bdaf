// The program README shows: three workers, one channel of work, one of answers.
#include <rt0/rt0.h>

void main_main() {
    rt0::chan<int> work(0), squares(0);
    for (int i = 0; i < 3; i++)
        rt0::go([=]() mutable {
            for (int n : work) squares.send(n * n);
        });
    rt0::go([=]() mutable {
        for (int n = 1; n <= 100; n++) work.send(n);
        work.close();
    });
    int sum = 0;
    for (int i = 0; i < 100; i++) sum += *squares.recv();
    rt0::println("1² + 2² + … + 100² =", sum);
}
