// storm SECS [SEED]: everything at once, with an oracle.
//
// Rounds until SECS seconds are over.  A round draws a dozen acts from a seeded
// generator and runs them side by side; each act knows what must come out (counts, sums,
// exactly once) and checks it.  The seed fixes which acts run, with which sizes; what
// the scheduler makes of them differs from run to run.
//
//   ST1  nothing is lost, nothing comes twice: every value sent is received once, every
//        timer armed fires or was stopped, every goroutine started ends;
//   ST2  exclusion holds: data under a lock is plain, so that a second holder is seen;
//   ST3  a wait never ends early (it may end late: no act judges that).
// The first violation prints what was expected and what was found, with the seed, and
// ends with status 2.  RT0_MAXPROCS unset: the number of Ps changes from round to round.
// RT0_TEST_PELT=100: the same while every thread gets a signal each 100 us (pelt.h).
#include <rt0/rt0.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string_view>

#include "tests/stress/storm_acts.h"
#include "tests/support/pelt.h"

void main_main() {
    auto argv = rt0::args();
    double secs = argv.size() > 1 ? std::atof(argv[1]) : 60;
    seed = argv.size() > 2 && *argv[2] ? std::strtoull(argv[2], nullptr, 0) : std::random_device()();
    std::string_view only = argv.size() > 3 ? argv[3] : "";  // one act alone, to look into it
    std::printf("storm: %g s, seed %llu\n", secs, seed_ull());
    std::fflush(stdout);

    rng dice(seed);
    resizing = !std::getenv("RT0_MAXPROCS");
    const auto end = steady_clock::now() + std::chrono::duration<double>(secs);
    long rounds = 0, played = 0, per_act[std::size(acts)] = {};
    for (; steady_clock::now() < end; rounds++) {
        if (resizing) rt0::gomaxprocs(pick(dice, 1, 8));
        rt0::wait_group wg;
        for (int i = pick(dice, 1, 12); i > 0; i--) {
            std::size_t which = static_cast<std::size_t>(pick(dice, 0, static_cast<int>(std::size(acts)) - 1));
            rng own(dice());
            if (!only.empty() && only != acts[which].name) continue;
            per_act[which]++, played++;
            wg.go([which, own] { acts[which].run(own); });
        }
        wg.wait();
    }
    for (std::size_t i = 0; i < std::size(acts); i++) std::printf("storm: %-10s %ld times\n", acts[i].name, per_act[i]);
    // A goroutine counts until its last instruction, a little after what it did was seen.
    int left = rt0::num_goroutine();
    for (int i = 0; i < 10'000 && left != 1; i++, left = rt0::num_goroutine()) rt0::this_goroutine::sleep_for(1ms);
    expect("storm", "the goroutines left", left, 1);
    std::printf("storm: %ld rounds, %ld acts, %ld checks, seed %llu ok\n", rounds, played, checks.load(),
                seed_ull());
    if (!testing_support::pelted_enough()) rt0::panic("storm: hardly a signal came");
}
