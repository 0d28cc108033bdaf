// The end of the process, as its goroutines see it.
#pragma once
#include "sched/g.h"

namespace rt0::runtime {

void exitinit();                       // at the boot: EX3
bool may_still_run(const g* gp);       // is gp the goroutine that ends the process?
[[noreturn]] void sleep_for_good();    // for everybody else
void disown_exit();                    // in a forked child: nobody is that goroutine any more

}  // namespace rt0::runtime
