// New goroutines and the free lists of dead ones.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {

// A dead G from pp's free list or the global one, with a stack of `size` bytes; null when
// there is no such G or no stack for it.
g* gfget(p* pp, std::size_t size);
// Keeps a dead G for reuse; a stack of other than the default size is freed.
void gfput(p* pp, g* gp);
// All of pp's free Gs go to the global list (a dying P).
void gfpurge(p* pp);
// How many stacks of dead Gs on the global list are cold: nobody needed them since the last call, by the
// least number that stood there (a low-water mark, as in tcmalloc); all, if the process is idle.
std::int32_t gfcold(bool idle);
// Frees the stacks of at most so many of them; of how many it did.
std::int32_t gfshed(std::int32_t most);

// A new G with a stack of `size` bytes; null when there is no memory.
g* malg(std::size_t size);
// running -> dead: forget everything about the life that ended.  Its context is no longer in use.
void gdestroy(g* gp);

std::uint64_t next_goid(p* pp);

}  // namespace rt0::runtime
