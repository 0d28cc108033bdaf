// What fork does to the runtime.
#pragma once
#include "base/forked.h"

namespace rt0::runtime {

// Before the first thread of the runtime: children are told apart from here on.
void forkinit();

}  // namespace rt0::runtime
