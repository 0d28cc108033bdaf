// odd_prog's thread_locals beside a main of its own: the runtime boots on a thread that it makes by pthread_create.
#include "tests/crash/odd_thread_locals.h"

int main() { use_thread_locals(); }
