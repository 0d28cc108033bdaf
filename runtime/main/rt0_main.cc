// main() of a program whose first user function is `void main_main()`.
//
// This object is the whole of librt0_main.a.  It is a library of its own so that a
// program that brings a main() of its own links librt0.a without a clash: the linker
// takes an object out of an archive only when a symbol of it is missing.
//
//   MN1  runs on the process's initial thread and stack, which become m0 and g0's, unless a static constructor booted;
//   MN2  main_main is called through a pointer: the runtime itself does not refer to
//        it, as Go's runtime does not know the address of the main package.
#include "sched/init.h"

void main_main();

int main(int argc, char** argv) {
    rt0::runtime::rt0_go(argc, argv, &main_main);
}
