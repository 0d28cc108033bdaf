// RT0DEBUG and the boot trace.
#pragma once
#include <cstdint>

namespace rt0::runtime {

struct debugvars {
    std::int32_t boottrace = 0;    // print each station of the boot with its time
    std::int32_t schedtrace = 0;   // ms between scheduler reports
    std::int32_t scheddetail = 0;
    std::int32_t gctrace = 0;
    std::int32_t hogidle = 1;      // endless loops without a P may be SCHED_IDLE (SM3, SM4 in hogs.cc)
    std::int32_t dumpsignal = 0;   // the signal that makes a dump and does not end the process; 1: SIGUSR1
    std::int64_t chaos = 0;        // seed, 0: off
    std::int64_t schedseed = -1;   // one P, and a schedule that is a function of it (base/seeded.h); -1: off
};
extern debugvars debug;

// Reads RT0DEBUG: a comma list of key=value.  Unknown or malformed keys: one warning
// line each, never a crash.
void parsedebugvars(const char* text);

// Notes that a station of the boot was reached; printed at once, or, before RT0DEBUG has
// been read, when it is.
void boottrace(const char* station);

// RT0_MAXPROCS, else GOMAXPROCS, else ncpu; garbage and numbers out of range are warned of and ignored.
std::int32_t maxprocs_from_environment();

}  // namespace rt0::runtime
