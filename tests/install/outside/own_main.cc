// A program with a main of its own: nothing of librt0_main.a may get into it.
#include <rt0/rt0.h>

#include <cstdio>

int main(int argc, char** argv) {
    if (rt0::args().data() != argv || rt0::args().size() != static_cast<std::size_t>(argc)) return 1;
    std::printf("outside: %d processors\n", rt0::num_cpu() > 0);
}
