// What LeakSanitizer must be told.
#pragma once

namespace rt0::runtime {

// At boot: at the end of the process the stacks of goroutines that still live count as
// roots of the leak check.  Nothing in builds without AddressSanitizer.
void leakcheckinit();

}  // namespace rt0::runtime
