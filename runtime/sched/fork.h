// What fork does to the runtime.
#pragma once
#include "base/forked.h"

namespace rt0::runtime {

// Before the first thread of the runtime: children are told apart from here on.
void forkinit();
// m0's pages get wiped in children (FO3).  The thread that boots; nothing was written to m0 yet.
void m0init();

}  // namespace rt0::runtime
