// When sysmon looks: its ticks, which no lock guards, for they are its own.
//
//   SM6  A program whose Ps go idle by themselves again and again (timers, requests) would start with the short ticks each
//        time it is seen at work after such a moment.  Each time that they found nothing to take, the next such start is at
//        ticks twice as long.
//   SM7  It sleeps deeply at the first long idle tick.  Is it woken soon after, it has patience the next time.
//
// Source: Go's proc.go (sysmon), which starts with the short ticks each time, and sleeps at once.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/config.h"

namespace rt0::runtime {

// The slices that others wait for.
struct slices {
    bool late = false;                // SM4: one is half over
    std::int64_t next = INT64_MAX;    // when the next of them has come to where its G is asked to yield, or loses its P

    void add(std::int64_t begin, std::int64_t now) {
        late |= begin + cfg::forced_retake / 2 <= now;
        for (std::int64_t end : {begin + cfg::forced_preempt, begin + cfg::forced_retake})
            if (end > now) next = std::min(next, end);
    }
};

enum class findings {
    none,
    watch,  // somebody holds up others, or a P was woken: worth another look soon
    took,   // a P was taken, or was to be: others most likely follow
};

// Told what each look found; delay is how long to sleep until the next.
struct pace {
    std::int64_t delay = cfg::sysmon_tick_min;  // ns until the next look
    std::int64_t start = cfg::sysmon_tick_min;  // that, when Ps are at work again: SM6
    int calm = 0;                               // calm looks so far; after so many the tick doubles
    int brief = 0;                              // ticks that must not be long, for WK8 relies on a look
    int idle = 0;                               // of the longest, with every P idle
    int patience = 1;                           // so many of those before it sleeps deeply: SM7

    // Not at once 10 ms: a busy process, too, has moments with every P idle, and who blocks after one
    // should not wait for the end of a long tick.  Nor is it worth a wake-up for each doubling.
    void all_idle() {
        if (delay == cfg::sysmon_tick_idle) idle++;
        delay = std::min(4 * delay, brief ? cfg::sysmon_tick_brief : cfg::sysmon_tick_idle);
        if (brief) brief--;
    }
    void at_work() {
        idle = 0;
        if (delay <= cfg::sysmon_tick_busy) return;
        delay = start;
        calm = start > cfg::sysmon_tick_min ? cfg::sysmon_calm_ticks : 0;
        start = std::min(2 * start, cfg::sysmon_tick_busy);
    }
    void looked(findings found) {
        if (found == findings::took) {
            delay = start = cfg::sysmon_tick_min;
            calm = 0;
        } else if (found == findings::watch) {  // a slice has four milliseconds: short ticks to its end would be 50
            delay = cfg::sysmon_tick_min;
            calm = cfg::sysmon_calm_ticks;
        } else if (calm < cfg::sysmon_calm_ticks) {
            calm++;
        } else {
            delay = std::min(2 * delay, cfg::sysmon_tick_busy);
        }
    }
    void slept_deeply(bool woken_soon) { *this = {.patience = woken_soon ? cfg::sysmon_idle_ticks : 1}; }
};

}  // namespace rt0::runtime
