// Fault injection over a whole program (fault_prog.cc): the i-th call of a kind fails, for
// i = 1, 2, 3 ... until a run meets no fault.  Each run ends with the right answer or with
// one clear fatal line and status 2; never a hang, a signal or a wrong answer.
//
// Here, at each of three numbers of Ps, every third i up to 64 is run and then a geometric
// progression; RT0_TEST_FAULTS=all runs every i (`make faults`, half an hour).
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <string>

#include "kernel_if/inject.h"
#include "tests/support/child.h"

using namespace testing_support;
using rt0::kernel::inject;

namespace {

struct fault {
    const char* name;
    inject call;
    int err;
    int count;                 // in a row; -1: from the i-th on
    bool may_be_fatal;         // else every run must succeed
    const char* with = "";     // other rules
    const char* warns = "";    // how a run that succeeds may begin to complain
    unsigned step = 3;         // of i
    const char* scene = "";    // of the program
};
void PrintTo(const fault& f, std::ostream* os) { *os << f.name; }

std::string rule(inject call, unsigned nth, int err, int count) {
    return std::to_string(static_cast<unsigned>(call)) + ":" + std::to_string(nth) + ":" + std::to_string(err) + ":" +
           std::to_string(count);
}

bool every() {
    const char* s = std::getenv("RT0_TEST_FAULTS");
    return s && std::string(s) == "all";
}

// The slice of this number of Ps.
unsigned phase() {
    const char* p = std::getenv("RT0_MAXPROCS");
    return !p ? 0 : std::string(p) == "1" ? 1 : std::string(p) == "2" ? 2 : 0;
}

unsigned after(unsigned i, unsigned step) {
    if (every()) return i + 1;
    return i < 64 ? i + step : i * 2;
}

// What sysmon could not have once, and then did without or got after all.
constexpr const char* no_spare = "rt0: warning: no further thread to run goroutines";

// "fatal error: ", "panic: " or "rt0: ", once, with facts before and traces behind.
bool one_clear_line(const std::string& err) {
    int clear = 0;
    std::istringstream in(err);
    for (std::string line; std::getline(in, line);)
        for (const char* head : {"fatal error: ", "panic: ", "rt0: "})
            if (line.rfind(no_spare, 0) != 0) clear += line.rfind(head, 0) == 0;
    return clear == 1 && err.find("failed again while reporting") == std::string::npos;
}

struct Faults : testing::TestWithParam<fault> {};

TEST_P(Faults, EveryCallMayFail) {
    const fault& f = GetParam();
    int runs = 0, fatal = 0;
    for (unsigned i = every() ? 1 : 1 + phase();; i = after(i, f.step)) {
        child_options o;
        std::string rules = rule(f.call, i, f.err, f.count);
        if (*f.with) rules += std::string(";") + f.with;
        o.env = {{"RT0_TEST_INJECT", rules}, {"RT0TRACEBACK", runs % 8 ? "none" : "single"}};  // a trace takes longer than the rest
        child_result r = run_child({built_program("tests/crash/fault_prog"), f.scene}, o);
        runs++;
        ASSERT_FALSE(r.timed_out) << f.name << " " << i << " " << rules << "\n" << r.summary();
        ASSERT_EQ(r.signal, 0) << f.name << " " << i << " " << rules << "\n" << r.summary();
        if (r.status == 2 && f.may_be_fatal) {
            ASSERT_TRUE(one_clear_line(r.err)) << f.name << " " << i << "\n" << r.summary();
            fatal++;
            continue;
        }
        ASSERT_EQ(r.status, 0) << f.name << " " << i << " " << rules << "\n" << r.summary();
        ASSERT_EQ(r.out.rfind("right, ", 0), 0u) << r.summary();
        bool warned = r.err.rfind(no_spare, 0) == 0 || (*f.warns && r.err.rfind(f.warns, 0) == 0);
        EXPECT_TRUE(r.err.empty() || warned) << f.name << " " << i << "\n" << r.err;
        if (r.out == "right, 0 faults\n") break;
        ASSERT_LE(i, 1'000'000) << f.name << ": no run was clean";
    }
    std::printf("%d runs, %d ended with a fatal line\n", runs, fatal);
}

constexpr const char* stays_idle = "rt0: a thread cannot leave SCHED_IDLE any more and may starve";
const std::string no_guard_regions = rule(inject::guard_probe, 1, EINVAL, -1);

// clone_for_ever takes 0.2 s of back-off each.
INSTANTIATE_TEST_SUITE_P(
    Kinds, Faults,
    testing::Values(fault{"clone_once", inject::clone, EAGAIN, 1, false},
                    fault{"clone_for_ever", inject::clone, EAGAIN, -1, true, "", "", 9},
                    fault{"clone_no_memory", inject::clone, ENOMEM, 1, true},
                    fault{"tls_block", inject::tls_alloc, ENOMEM, 1, true}, fault{"mmap_once", inject::mmap, ENOMEM, 1, true},
                    fault{"mmap_for_ever", inject::mmap, ENOMEM, -1, true},
                    fault{"madvise_once", inject::madvise, ENOMEM, 1, false},
                    fault{"madvise_for_ever", inject::madvise, ENOMEM, -1, false},
                    fault{"guard_once", inject::guard, ENOMEM, 1, true}, fault{"guard_for_ever", inject::guard, ENOMEM, -1, true},
                    fault{"mprotect_once", inject::mprotect, ENOMEM, 1, true, no_guard_regions.c_str(),
                          "rt0: no guard pages left for stacks after "},
                    fault{"futex_eintr", inject::futex_wait, EINTR, 1, false},
                    fault{"futex_eintr_often", inject::futex_wait, EINTR, 500, false},
                    fault{"futex_eagain", inject::futex_wait, EAGAIN, 1, false},
                    fault{"futex_spurious", inject::futex_spurious, 1, 1, false},
                    fault{"futex_spurious_often", inject::futex_spurious, 1, 500, false},
                    fault{"membarrier", inject::membarrier, ENOSYS, 1, false},
                    fault{"membarrier_later", inject::membarrier_all, ENOMEM, 1, true, "", "", 9, "stalls"},
                    fault{"activity_once", inject::activity, ENOENT, 1, false, "", "", 3, "stalls"},
                    fault{"activity_for_ever", inject::activity, EMFILE, -1, false, "", "", 9, "stalls"},
                    fault{"idle_class_once", inject::idle_class, EPERM, 1, false, "", stays_idle, 3, "stalls"},
                    fault{"idle_class_for_ever", inject::idle_class, EPERM, -1, false, "", stays_idle, 3, "stalls"},
                    fault{"realtime", inject::realtime, EPERM, -1, false, "", "", 3, "stalls"},
                    fault{"sigaltstack", inject::sigaltstack, ENOMEM, 1, true},
                    fault{"thread_layout", inject::calibrate, EINVAL, 1, false}),
    [](auto& i) { return i.param.name; });

// System calls interrupted all the time: 2 s of signals to all threads, each 100 us.
TEST(Faults, EintrStorm) {
    child_result r = run_child({built_program("tests/crash/fault_prog"), "storm", "2000"});
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "right after a storm\n");
}

}  // namespace
