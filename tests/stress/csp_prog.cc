// csp_prog FIRST COUNT [show]: random programs, each run on the runtime and by a sequential reference.
//
// A seed makes a program (csp_gen.h) whose outcome no schedule can change; the reference (csp_ref.h) runs it
// under three schedules, which must agree, and the runtime (csp_rt0.h) once, with RT0_MAXPROCS processors.
// A difference prints the seed, the program and what differs, and ends with status 1; so does a program that
// hangs, after a minute without an end (SIGALRM; then SIGQUIT, whose dump says where each goroutine is).  Each
// seed is written before it runs, so that the last one is known whatever the end.
// `show` prints each program before it runs.  RT0_TEST_PELT=100: every thread gets a signal each 100 us (pelt.h).
#include <rt0/rt0.h>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/stress/csp_gen.h"
#include "tests/stress/csp_ref.h"
#include "tests/stress/csp_rt0.h"
#include "tests/support/pelt.h"

namespace {

constexpr unsigned patience = 60;  // seconds; a program takes milliseconds
char hang_line[64];

void on_alarm(int) {
    auto written = write(STDERR_FILENO, hang_line, std::strlen(hang_line));
    raise(written < 0 ? SIGKILL : SIGQUIT);
}

void watch(csp::u64 seed) {
    std::snprintf(hang_line, sizeof hang_line, "csp: seed %llu hangs\n", static_cast<unsigned long long>(seed));
    alarm(patience);
}

bool agrees(csp::u64 seed, const csp::program& p, csp::u64& steps) {
    csp::outcome want;
    std::string why;
    try {
        csp::reference first(p, 1);
        want = first.run();
        steps += first.steps();
        for (csp::u64 other : {2, 3})
            if (csp::outcome o = csp::reference(p, other).run(); !(o == want))
                why = "the reference disagrees with itself (the program is not confluent):\n" + csp::differences(p, want, o);
        if (want.wrong) why = "the reference breaks a rule of the program\n";
    } catch (const std::logic_error& e) {
        why = e.what();
    }
    csp::world w(p);
    if (why.empty()) {
        watch(seed);
        rt0::spawn([&] { csp::actor::run(w, p.top, 0, false); }).join();
        alarm(0);
        if (csp::outcome got = w.result(); !(got == want)) why = csp::differences(p, want, got);
    }
    if (why.empty()) return true;
    std::printf("\ncsp: seed %llu at GOMAXPROCS %d\n%s%s", static_cast<unsigned long long>(seed), rt0::gomaxprocs(),
                csp::text(p).c_str(), why.c_str());
    return false;
}

}  // namespace

void main_main() {
    auto argv = rt0::args();
    if (argv.size() < 3) {
        std::fprintf(stderr, "usage: csp_prog FIRST COUNT [show]\n");
        rt0::exit(2);
    }
    csp::u64 first = std::strtoull(argv[1], nullptr, 0), count = std::strtoull(argv[2], nullptr, 0);
    bool show = argv.size() > 3 && std::string_view(argv[3]) == "show";
    struct sigaction sa {};
    sa.sa_handler = on_alarm;
    sa.sa_flags = SA_ONSTACK;
    sigaction(SIGALRM, &sa, nullptr);
    csp::u64 steps = 0, processes = 0;
    for (csp::u64 seed = first; seed < first + count; seed++) {
        csp::program p = csp::maker(seed).make();
        std::printf(" %llu%s", static_cast<unsigned long long>(seed), show ? ("\n" + csp::text(p)).c_str() : "");
        std::fflush(stdout);
        if (!agrees(seed, p, steps)) rt0::exit(1);
        processes += p.processes.size();
    }
    std::printf("\ncsp: seeds %llu to %llu agree: %llu processes, %llu steps of the reference, GOMAXPROCS %d\n",
                static_cast<unsigned long long>(first), static_cast<unsigned long long>(first + count - 1),
                static_cast<unsigned long long>(processes), static_cast<unsigned long long>(steps), rt0::gomaxprocs());
    if (!testing_support::pelted_enough()) rt0::exit(1);
}
