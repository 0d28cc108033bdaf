// chain_prog as a user's build without special flags makes it: the Makefile adds -fomit-frame-pointer.
#include "tests/perf/chain_prog.cc"
