// Stand-in until the template thread lands.
#pragma once
#include "sched/sched.h"

namespace rt0::runtime {
void want_spare_ms(std::int32_t n);
bool spare_ms_refused();
}  // namespace rt0::runtime
