// Time and short waits.
#pragma once
#include <cstdint>

namespace rt0::kernel {

std::int64_t nanotime();          // CLOCK_MONOTONIC, ns; vDSO, 20-25 ns a call; std::chrono::steady_clock's clock
void usleep(std::uint32_t us);    // clock_nanosleep, continues after EINTR
void osyield();                   // sched_yield

}  // namespace rt0::kernel
