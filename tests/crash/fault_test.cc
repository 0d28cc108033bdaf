// Fault injection over a whole program (fault_prog.cc): the i-th call of a kind fails, for
// i = 1, 2, 3 ... until a run (in full: three) meets no fault.  Each run ends with the right answer or with
// one clear fatal line and status 2; never a hang, a signal or a wrong answer.
//
// Here, at one number of Ps, the first and every third i (or ninth; of the Rest a third of the kinds) up to 64 is run and then
// a geometric progression.  Which P, where the steps begin and which third wander with the commit (HASH in the Makefile).
// RT0_TEST_FAULTS=all runs every i at each P (`make faults`; its table is tests/results/faults.md).
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "kernel_if/inject.h"
#include "tests/support/child.h"
#include "tests/support/kthreads.h"
#include "tests/support/verdict.h"

using namespace testing_support;
using rt0::kernel::inject;

namespace {

struct fault {
    const char* name;
    inject call;
    int err;
    int count;                 // in a row; -1: from the i-th on
    const char* fatal;         // how its fatal line may begin, by | apart; "": every run must succeed
    const char* with = "";     // other rules
    const char* warns = "";    // how a run that succeeds may begin to complain
    unsigned step = 3;         // of i
    const char* scene = "";    // of the program
    bool report = false;       // the scene ends with one
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

// A number that is another one for the next commit; 0 by hand.
unsigned long slice() {
    const char* s = std::getenv("RT0_TEST_SLICE");
    return s ? std::strtoul(s, nullptr, 10) : 0;
}

// By another digit of the slice than where the steps of 3 or 9 begin.
bool has_its_turn(const std::string& name) { return every() || name.size() % 3 == slice() / 9 % 3; }

unsigned after(unsigned i, unsigned step) {
    if (every()) return i + 1;
    if (i == 1) return 2 + static_cast<unsigned>(slice() % step);
    return i < 64 ? i + step : i * 2;
}

std::string last_line(const std::string& s) {
    std::size_t end = s.rfind('\n');
    return end == std::string::npos ? "" : s.substr(s.rfind('\n', end - 1) + 1);
}

// What armed.h counts, in a process that may be gone.
struct hits_file {
    char file[32] = "/tmp/rt0_hits_XXXXXX";
    int fd = mkostemp(file, O_CLOEXEC);
    hits_file() { clear(); }
    ~hits_file() {
        unlink(file);
        close(fd);
    }
    void clear() const {
        const std::uint32_t none = 0;
        EXPECT_EQ(pwrite(fd, &none, sizeof none, 0), ssize_t{sizeof none});
    }
    std::uint32_t count() const {
        std::uint32_t n = 0;
        EXPECT_EQ(pread(fd, &n, sizeof n, 0), ssize_t{sizeof n});
        return n;
    }
};

// Whether a line begins with one of these, by | apart.
bool begins_a_line(const std::string& text, const std::string& any) {
    std::istringstream words(any);
    for (std::string w; std::getline(words, w, '|');)
        if (text.rfind(w, 0) == 0 || text.find("\n" + w) != text.npos) return true;
    return false;
}

struct Faults : testing::TestWithParam<fault> {
    hits_file hits;
    int runs = 0, right = 0, fatal = 0, clean = 0;

    child_result run(const fault& f, const std::string& rules) {
        child_options o;
        if (every()) o.limit_s = 600;  // hours of it run beside other work
        const char* trace = f.report ? "all" : runs % 8 ? "none" : "single";  // a trace takes longer than the rest
        o.env = {{"RT0_TEST_INJECT", rules}, {"RT0TRACEBACK", trace}, {"RT0_TEST_HITS", hits.file}};
        hits.clear();
        runs++;
        return run_child({built_program("tests/crash/fault_prog"), f.scene}, o);
    }

    // A scene that ends with a report: as it should, whatever fails.  The words of a write that failed are lost.
    void judge_report(const fault& f, const child_result& r) {
        const bool by_signal = std::string(f.scene) == "segv";
        EXPECT_EQ(r.signal, by_signal ? SIGSEGV : 0);
        EXPECT_EQ(r.status, by_signal ? -1 : 2);
        EXPECT_TRUE((one_clear_line(r.err) && begins_a_line(r.err, f.fatal)) || (f.call == inject::write && f.err != EINTR));
        (hits.count() == 0 ? clean : fatal)++;
    }

    void judge(const fault& f, const child_result& r) {
        EXPECT_EQ(r.signal, 0);
        if (r.status == 2 && *f.fatal) {
            EXPECT_TRUE(one_clear_line(r.err) && begins_a_line(r.err, f.fatal));
            fatal++;
            return;
        }
        EXPECT_EQ(r.status, 0);
        std::string last = last_line(r.out);
        EXPECT_EQ(last.rfind("right, ", 0), 0u);
        std::istringstream lines(r.err);
        for (std::string line; std::getline(lines, line);)
            EXPECT_TRUE(line.rfind(no_spare, 0) == 0 || (*f.warns && line.rfind(f.warns, 0) == 0)) << line;
        (last == "right, 0 faults\n" ? clean : right)++;
    }

    // A row of the table of `make faults`.
    void put_row(const fault& f) const {
        const char* p = std::getenv("RT0_MAXPROCS");
        std::string in_a_row = f.count < 0 ? "all from it on" : std::to_string(f.count);
        std::printf("| %s | %s | %s | %s | %s | %d | %d | %d |\n", f.name, *f.scene ? f.scene : "everything",
                    strerrorname_np(f.err), in_a_row.c_str(), p ? p : "-", runs - clean, right, fatal);
    }
};

// Does a program of this build, on this machine, make the call at all?
bool is_made(inject call) {
    switch (call) {
    case inject::calibrate:
    case inject::robust_list:
    case inject::idle_class: return !test::sanitized;  // the pthread kind (TH4) copies no thread, and tries no class
    case inject::realtime: return !test::sanitized && test::idle_class_permitted();
    case inject::membarrier:
    case inject::membarrier_all: return !test::tsan;  // it would not see those fences
    default: return true;
    }
}

TEST_P(Faults, EveryCallMayFail) {
    const fault& f = GetParam();
    if (!is_made(f.call)) GTEST_SKIP() << "nobody makes this call here";
    if (test::sanitized && std::string(f.scene) == "segv") GTEST_SKIP() << "the sanitizer's handler of faults came first";
#ifdef RT0_ASAN
    if (f.call == inject::libc) GTEST_SKIP() << "AddressSanitizer must be told the bounds of the first thread's stack";
#endif
    const bool rest = std::string(testing::UnitTest::GetInstance()->current_test_suite()->name()).rfind("Rest/", 0) == 0;
    if (rest && !has_its_turn(f.name)) GTEST_SKIP() << "in another slice";
    // How many calls a run makes is in part chance: of all i it is not the first clean one that ends the walk.
    for (unsigned i = 1; clean < (every() ? 3 : 1); i = after(i, f.step)) {
        std::string rules = rule(f.call, i, f.err, f.count);
        if (*f.with) rules += std::string(";") + f.with;
        child_result r = run(f, rules);
        ASSERT_FALSE(r.timed_out) << f.name << " " << i << " " << rules << "\n" << r.summary();
        f.report ? judge_report(f, r) : judge(f, r);
        ASSERT_FALSE(HasFailure()) << f.name << " " << i << " " << rules << "\n" << r.summary();
        ASSERT_LE(i, 1'000'000) << f.name << ": no run was clean";
    }
    EXPECT_GT(right + fatal, 0) << "no run met the fault";
    put_row(f);
}

constexpr const char* no_thread = "fatal error: newosproc";
constexpr const char* no_memory = "rt0: out of memory for |panic: std::bad_alloc";
constexpr const char* no_handler = "fatal error: initsig: sigaction failed";
constexpr const char* no_wake = "fatal error: futex wake failed";
constexpr const char* stays_idle = "rt0: a thread cannot leave SCHED_IDLE any more and may starve";
const std::string boot_or_panic = std::string(no_handler) + "|panic: ";
const std::string no_guard_regions = rule(inject::guard_probe, 1, EINVAL, -1);

// clone_for_ever takes 0.2 s of back-off each.
INSTANTIATE_TEST_SUITE_P(
    Kinds, Faults,
    testing::Values(fault{"clone_once", inject::clone, EAGAIN, 1, ""},
                    fault{"clone_for_ever", inject::clone, EAGAIN, -1, no_thread, "", "", 9},
                    fault{"clone_no_memory", inject::clone, ENOMEM, 1, no_thread},
                    fault{"tls_block", inject::tls_alloc, ENOMEM, 1, no_thread},
                    fault{"mmap_once", inject::mmap, ENOMEM, 1, no_memory},
                    fault{"mmap_for_ever", inject::mmap, ENOMEM, -1, no_memory},
                    fault{"madvise_once", inject::madvise, ENOMEM, 1, ""},
                    fault{"madvise_for_ever", inject::madvise, ENOMEM, -1, ""},
                    fault{"guard_once", inject::guard, ENOMEM, 1, no_memory},
                    fault{"guard_for_ever", inject::guard, ENOMEM, -1, no_memory},
                    fault{"mprotect_once", inject::mprotect, ENOMEM, 1, no_memory, no_guard_regions.c_str(),
                          "rt0: no guard pages left for stacks after "},
                    fault{"futex_eintr", inject::futex_wait, EINTR, 1, ""},
                    fault{"futex_eintr_often", inject::futex_wait, EINTR, 500, ""},
                    fault{"futex_eagain", inject::futex_wait, EAGAIN, 1, ""},
                    fault{"futex_spurious", inject::futex_spurious, 1, 1, ""},
                    fault{"futex_spurious_often", inject::futex_spurious, 1, 500, ""},
                    fault{"membarrier", inject::membarrier, ENOSYS, 1, ""},
                    fault{"membarrier_later", inject::membarrier_all, ENOMEM, 1, "fatal error: membarrier failed after", "", "", 9,
                          "stalls"},
                    fault{"activity_once", inject::activity, ENOENT, 1, "", "", "", 3, "stalls"},
                    fault{"activity_for_ever", inject::activity, EMFILE, -1, "", "", "", 9, "stalls"},
                    fault{"idle_class_once", inject::idle_class, EPERM, 1, "", "", stays_idle, 3, "stalls"},
                    fault{"idle_class_for_ever", inject::idle_class, EPERM, -1, "", "", stays_idle, 3, "stalls"},
                    fault{"realtime", inject::realtime, EPERM, -1, "", "", "", 3, "stalls"},
                    fault{"realtime_once", inject::realtime, EPERM, 1, "", "", "", 3, "stalls"},
                    fault{"cputime", inject::cputime, ESRCH, 1, "", "", "", 9, "stalls"},
                    fault{"cputime_for_ever", inject::cputime, EINVAL, -1, "", "", "", 9, "stalls"},
                    fault{"sigaltstack", inject::sigaltstack, ENOMEM, 1, "fatal error: minit: sigaltstack failed"},
                    fault{"thread_layout", inject::calibrate, EINVAL, 1, ""}),
    [](auto& i) { return i.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Rest, Faults,
    testing::Values(fault{"mremap", inject::mremap, ENOMEM, 1, "", "", "", 1},
                    fault{"munmap_once", inject::munmap, ENOMEM, 1, ""},
                    fault{"munmap_for_ever", inject::munmap, ENOMEM, -1, ""},
                    fault{"madvise_again", inject::madvise, EAGAIN, 1, ""},
                    fault{"guard_remove", inject::guard_remove, ENOMEM, 1, no_memory, "", "", 3, "strays"},
                    fault{"guard_probe", inject::guard_probe, ENOSYS, 1, ""},
                    fault{"futex_wake", inject::futex_wake, EPERM, 1, no_wake, "", "", 9},
                    fault{"futex_wake_for_ever", inject::futex_wake, EPERM, -1, no_wake, "", "", 9},
                    fault{"libc", inject::libc, EAGAIN, 1, no_memory, "", "", 1},
                    fault{"robust_list", inject::robust_list, ENOSYS, -1, "", "", "", 1},
                    fault{"sigaction", inject::sigaction, EINVAL, 1, no_handler},
                    fault{"file_once", inject::file, EMFILE, 1, "", "", "", 9},
                    fault{"file_for_ever", inject::file, ENOENT, -1, "", "", "", 9},
                    fault{"file_eintr", inject::file, EINTR, 3, "", "", "", 9},
                    fault{"activity_eintr", inject::activity, EINTR, 1, "", "", "", 9, "stalls"},
                    fault{"tasks", inject::tasks, EMFILE, 1, "", "", "", 1, "strays"},
                    fault{"sleep_eintr", inject::sleep, EINTR, 20, "", "", "", 9, "stalls"},
                    fault{"sleep_refused", inject::sleep, EINVAL, 1, "", "", "", 9, "stalls"},
                    fault{"affinity", inject::affinity, EFAULT, 1, "", "", "", 1},
                    fault{"sysinfo", inject::sysinfo, EFAULT, 1, "", "", "", 1},
                    fault{"prctl_once", inject::prctl, EINVAL, 1, "", "", "", 9},
                    fault{"prctl_for_ever", inject::prctl, EINVAL, -1, "", "", "", 9},
                    fault{"write_eintr", inject::write, EINTR, 5, "", "", "", 3, "writes"},
                    fault{"write_refused", inject::write, EAGAIN, 1, "", "", "", 3, "writes"},
                    fault{"report_write_eintr", inject::write, EINTR, 3, "panic: ", "", "", 5, "panic", true},
                    fault{"report_write_refused", inject::write, EIO, 1, "panic: ", "", "", 5, "panic", true},
                    fault{"report_tgkill", inject::tgkill, EAGAIN, 1, "panic: ", "", "", 1, "panic", true},
                    fault{"report_sigaction", inject::sigaction, EINVAL, 1, boot_or_panic.c_str(), "", "", 5, "panic", true},
                    fault{"report_file", inject::file, EMFILE, 1, "panic: ", "", "", 7, "panic", true},
                    fault{"fault_write_refused", inject::write, EIO, 1, "fatal error: ", "", "", 5, "segv", true},
                    fault{"fault_resend", inject::resend, EAGAIN, 1, "fatal error: ", "", "", 1, "segv", true},
                    fault{"fault_alarm", inject::alarm, EINVAL, 1, "fatal error: ", "", "", 1, "segv", true},
                    fault{"fault_tgkill", inject::tgkill, EAGAIN, 1, "fatal error: ", "", "", 1, "segv", true}),
    [](auto& i) { return i.param.name; });

// After the report: the kernel would not send it again, and nobody else does.
TEST(Faults, ASignalThatCannotBeSentAgainEndsTheProcess) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's handler of faults came first";
    child_options o;
    o.env = {{"RT0_TEST_INJECT", rule(inject::resend, 1, EAGAIN, -1)}};
    child_result r = run_child({built_program("tests/crash/fault_prog"), "raised"}, o);
    EXPECT_EQ(r.status, 128 + SIGSEGV) << r.summary();
    EXPECT_TRUE(begins_a_line(r.err, "fatal error: ")) << r.summary();
}

// The boot from a foreign thread asks libc for a thread, too.
TEST(Faults, BootFromAnOwnMain) {
#ifdef RT0_ASAN
    GTEST_SKIP() << "AddressSanitizer must be told the bounds of the booting thread's stack";
#endif
    int refused = 0;
    for (unsigned i = 1; i <= 8; i++) {
        child_options o;
        o.env = {{"RT0_TEST_INJECT", rule(inject::libc, i, EAGAIN, 1)}};
        child_result r = run_child({built_program("tests/crash/own_main_prog")}, o);
        if (r.status == 2) {
            const std::string says = std::string(no_memory) + "|rt0: cannot create the first thread";
            EXPECT_TRUE(one_clear_line(r.err) && begins_a_line(r.err, says)) << i << " " << r.summary();
            refused++;
        } else {
            EXPECT_EQ(r.status, 3) << i << " " << r.summary();
            EXPECT_EQ(r.out, "ran 20 goroutines 1\n") << i << " " << r.summary();
        }
    }
    EXPECT_GE(refused, 1);
    EXPECT_LE(refused, 4);
}

}  // namespace
