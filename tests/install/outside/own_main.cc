// A program with a main of its own: nothing of librt0_main.a may get into it.
#include <rt0/rt0.h>

#include <cstdio>

int main() {
    std::printf("outside: %d processors\n", rt0::num_cpu() > 0);
}
