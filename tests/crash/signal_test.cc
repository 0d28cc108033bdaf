// Stack overflows, faults, SIGQUIT, dumps on demand: exact texts and ends, in a dynamic and
// in a static program, at the number of Ps that `make test` gives.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/core.h"
#include "tests/support/kthreads.h"
#include "tests/support/report.h"

using testing_support::child_result;
using testing_support::report;
using testing_support::report_block;

namespace {

const std::string prog_file = "tests/crash/signal_prog.cc";

bool contains(const std::string& s, const std::string& part) { return s.find(part) != s.npos; }

std::vector<std::string> lines_of(const std::string& s) {
    std::vector<std::string> v(1);
    for (char c : s) {
        if (c == '\n') v.emplace_back();
        else v.back() += c;
    }
    return v;
}
// `text` with each number 0x… replaced by "0x*".
std::string no_addresses(const std::string& text) {
    std::string r;
    for (std::size_t i = 0; i < text.size(); i++) {
        r += text[i];
        if (!r.ends_with("0x") || i + 1 == text.size() || !std::isxdigit(text[i + 1])) continue;
        while (i + 1 < text.size() && std::isxdigit(text[i + 1])) i++;
        r += '*';
    }
    return r;
}
std::string goid_of(const report_block& b) {
    std::string_view s(b.header);
    s.remove_prefix(std::string_view("goroutine ").size());
    return std::string(s.substr(0, s.find(' ')));
}

struct scene_options {
    std::string traceback, debug;
};
struct death {
    child_result r;
    report rep;
};
death run(const std::string& program, const std::string& name, const scene_options& o = {}) {
    death d;
    d.r = testing_support::run_child({testing_support::built_program("tests/crash/" + program), name},
                                     {.limit_s = 120,
                                      .env = {{"RT0TRACEBACK", o.traceback},
                                              {"RT0DEBUG", o.debug}}});
    d.rep = testing_support::parse_report(d.r.err);
    return d;
}

// Every scene of this kind in the program with everything shared and with everything linked in.
class Program : public testing::TestWithParam<const char*> {
protected:
    death scene(const std::string& name, const scene_options& o = {}) { return run(GetParam(), name, o); }
};
const auto both = testing::Values("signal_prog", test::sanitized ? "signal_prog" : "signal_prog_static");
std::string program_name(const testing::TestParamInfo<const char*>& p) { return p.index == 0 ? "Dynamic" : "Static"; }

// ---- overflows
class Overflow : public Program {
protected:
    void SetUp() override {
        if (test::sanitized) GTEST_SKIP() << "the sanitizer reports it";
    }
};
INSTANTIATE_TEST_SUITE_P(Programs, Overflow, both, program_name);

void expect_overflow(const death& d, const std::string& size, const std::string& limit, const std::string& larger) {
    EXPECT_EQ(d.r.status, 2) << d.r.summary();
    EXPECT_EQ(d.rep.error, "") << d.r.summary();
    ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    std::string id = goid_of(d.rep.blocks[0]);
    std::string advice = id == "1" ? "the main goroutine's cannot be larger: run the deep part with" : "start it with";
    EXPECT_EQ(no_addresses(d.rep.head),
              "runtime: goroutine stack exceeds " + limit + "-byte limit\n"
              "runtime: sp=0x* stack=[0x*, 0x*]\n"
              "runtime: goroutine " + id + " stack overflow: its stack is " + size + " bytes, 16384 of them guard; " +
                  advice + " rt0::go({.stack_size = " + larger + "}, ...)\n"
              "fatal error: stack overflow");
}
void expect_deep(const report_block& b) {
    EXPECT_TRUE(b.elided);
    EXPECT_GE(b.frames.size(), 90u);
    EXPECT_LE(b.frames.size(), 110u);
    ASSERT_FALSE(b.frames.empty());
    EXPECT_TRUE(contains(b.frames[0].function, "recurse(int)")) << b.frames[0].function;
}

TEST_P(Overflow, OfAGoroutine) {
    death d = scene("overflow");
    expect_overflow(d, "65536", "49152", "131072");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    expect_deep(d.rep.blocks[0]);
    EXPECT_TRUE(d.rep.blocks[0].header.ends_with(" [running, \"deep\"]:")) << d.rep.blocks[0].header;
    EXPECT_TRUE(contains(d.rep.blocks[0].created_by, "overflow")) << d.r.summary();
    EXPECT_EQ(d.rep.blocks[0].created_in, "1");
}
TEST_P(Overflow, OfALargerStack) {
    death d = scene("overflow_large");
    expect_overflow(d, "1048576", "1032192", "2097152");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    expect_deep(d.rep.blocks[0]);
}
TEST_P(Overflow, OfTheMainGoroutine) {
    death d = scene("overflow_main");
    expect_overflow(d, "8388608", "8372224", "16777216");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_EQ(d.rep.blocks[0].header, "goroutine 1 [running]:");
    expect_deep(d.rep.blocks[0]);
    EXPECT_EQ(d.rep.blocks[0].frames.back().function, "main_main()") << d.r.summary();
}
TEST_P(Overflow, ByOneLargeFrame) {
    death d = scene("overflow_big_frame");
    expect_overflow(d, "65536", "49152", "131072");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].has("recurse_big", prog_file)) << d.r.summary();
}
TEST_P(Overflow, InForeignFrames) {
    death d = scene("overflow_libc");
    expect_overflow(d, "65536", "49152", "131072");
    ASSERT_EQ(d.rep.blocks.size(), 1u);
    EXPECT_TRUE(d.rep.blocks[0].has("compare_deeper", prog_file)) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("recurse_in_libc", prog_file)) << d.r.summary();
}
TEST_P(Overflow, OfManyIsReportedOnce) {
    for (int i = 0; i < 5; i++) expect_overflow(scene("overflow_many"), "65536", "49152", "131072");
}
TEST_P(Overflow, OfTheSystemStack) {
    death d = scene("overflow_g0");
    EXPECT_EQ(d.r.status, 2) << d.r.summary();
    EXPECT_EQ(d.rep.error, "") << d.r.summary();
    ASSERT_EQ(d.rep.blocks.size(), 2u) << d.r.summary();
    EXPECT_EQ(d.rep.blocks[0].header, "runtime stack:");
    EXPECT_TRUE(d.rep.blocks[1].has("operator()", prog_file)) << d.r.summary();  // the goroutine it served
    expect_deep(d.rep.blocks[0]);
    std::vector<std::string> head = lines_of(no_addresses(d.rep.head));
    ASSERT_EQ(head.size(), 3u) << d.r.summary();
    EXPECT_TRUE(head[0].starts_with("runtime: system stack exceeds ")) << head[0];
    EXPECT_EQ(head[2], "fatal error: stack overflow on the system stack");
}
TEST_P(Overflow, LevelNone) {
    death d = scene("overflow", {.traceback = "none", .debug = {}});
    EXPECT_EQ(d.r.status, 2);
    EXPECT_TRUE(d.rep.head.ends_with("\nfatal error: stack overflow")) << d.r.summary();
    EXPECT_EQ(d.rep.blocks.size(), 0u);
}

// ---- faults
class Fault : public Program {
protected:
    void SetUp() override {
        if (test::sanitized) GTEST_SKIP() << "the sanitizer reports it";
    }
    death expect(const std::string& name, int sig, const std::string& head, const scene_options& o = {}) {
        death d = scene(name, o);
        EXPECT_EQ(d.r.signal, sig) << d.r.summary();
        EXPECT_EQ(no_addresses(d.rep.head), head) << d.r.summary();
        EXPECT_EQ(d.rep.error, "") << d.r.summary();
        EXPECT_GE(d.rep.blocks.size(), 1u) << d.r.summary();
        if (d.rep.blocks.empty()) d.rep.blocks.emplace_back();
        return d;
    }
    // On the main goroutine, in that function.
    void expect_main(const std::string& name, int sig, const std::string& head) {
        death d = expect(name, sig, head);
        EXPECT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
        EXPECT_EQ(d.rep.blocks[0].header, "goroutine 1 [running]:");
        EXPECT_TRUE(d.rep.blocks[0].has(name, prog_file)) << d.r.summary();
        EXPECT_TRUE(d.rep.blocks[0].has("main_main", prog_file)) << d.r.summary();
        EXPECT_EQ(d.r.out, "");
    }
};
INSTANTIATE_TEST_SUITE_P(Programs, Fault, both, program_name);

const std::string fault_head = "unexpected fault address 0x*\nfatal error: fault\n";
const std::string segv_head =
    fault_head + "[signal SIGSEGV: segmentation violation code=0x* addr=0x* pc=0x*]";

TEST_P(Fault, Shapes) {
    expect_main("read_null", SIGSEGV, segv_head);
    expect_main("write_wild", SIGSEGV, segv_head);
    expect_main("call_null", SIGSEGV, segv_head);
    expect_main("read_past_end", SIGBUS, fault_head + "[signal SIGBUS: bus error code=0x* addr=0x* pc=0x*]");
    expect_main("divide", SIGFPE,
                "fatal error: unexpected signal\n[signal SIGFPE: floating-point exception code=0x* addr=0x* pc=0x*]");
    expect_main("illegal", SIGILL,
                "fatal error: unexpected signal\n[signal SIGILL: illegal instruction code=0x* addr=0x* pc=0x*]");
    expect_main("raise_segv", SIGSEGV,
                "fatal error: unexpected signal\n[signal SIGSEGV: segmentation violation code=0x* addr=0x* pc=0x*]");
}
TEST_P(Fault, AddressesAreThoseOfTheFault) {
    death d = scene("write_wild");
    EXPECT_TRUE(d.rep.head.starts_with("unexpected fault address 0x123456789000\n")) << d.r.summary();
    EXPECT_TRUE(contains(d.rep.head, " code=0x1 addr=0x123456789000 pc=0x")) << d.r.summary();
    d = scene("call_null");
    EXPECT_TRUE(contains(d.rep.head, " addr=0x0 pc=0x0]")) << d.r.summary();
}
TEST_P(Fault, OnAGoroutine) {
    death d = expect("fault_on_goroutine", SIGSEGV, segv_head);
    ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].header.ends_with(" [running, \"faulty\"]:")) << d.r.summary();
    EXPECT_TRUE(contains(d.rep.blocks[0].created_by, "fault_on_goroutine")) << d.r.summary();
}
TEST_P(Fault, LevelAll) {
    death d = expect("fault_on_goroutine", SIGSEGV, segv_head, {.traceback = "all", .debug = {}});
    ASSERT_EQ(d.rep.blocks.size(), 2u) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("read_null", prog_file)) << d.r.summary();
    EXPECT_EQ(d.rep.blocks[1].header, "goroutine 1 [chan receive]:");
}
TEST_P(Fault, OnTheSystemStack) {
    death d = expect("fault_on_g0", SIGSEGV,
                     "fatal error: unexpected signal during runtime execution\n"
                     "[signal SIGSEGV: segmentation violation code=0x* addr=0x* pc=0x*]");
    ASSERT_EQ(d.rep.blocks.size(), 2u) << d.r.summary();
    EXPECT_EQ(d.rep.blocks[0].header, "runtime stack:");
    EXPECT_TRUE(d.rep.blocks[0].has("read_null", prog_file)) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[1].has("fault_on_g0", prog_file)) << d.r.summary();
}
TEST_P(Fault, OnThreads) {
    death d = expect("fault_on_thread", SIGSEGV, segv_head);
    EXPECT_TRUE(d.rep.blocks[0].header.ends_with(" [running, locked to thread]:")) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("read_null", prog_file)) << d.r.summary();
    d = expect("fault_on_unknown_thread", SIGSEGV, segv_head);
    EXPECT_TRUE(d.rep.blocks[0].header.ends_with(" [running, no goroutine]:")) << d.r.summary();
    EXPECT_TRUE(d.rep.blocks[0].has("read_null", prog_file)) << d.r.summary();
    d = expect("fault_on_small_altstack", SIGSEGV, segv_head);
    EXPECT_TRUE(d.rep.blocks[0].has("read_null", prog_file)) << d.r.summary();
    d = expect("broken_on_small_altstack", SIGSEGV, segv_head);  // to unwind it takes faults inside the handler
    EXPECT_TRUE(d.rep.blocks[0].has("broken_stack", prog_file)) << d.r.summary();
    d = scene("overflow_unknown_thread");  // it has no other stack: the kernel ends the process
    EXPECT_EQ(d.r.signal, SIGSEGV) << d.r.summary();
    EXPECT_EQ(d.r.err, "") << d.r.summary();
    d = expect("overflow_thread", SIGSEGV, segv_head);
    EXPECT_TRUE(d.rep.blocks[0].has("recurse", prog_file)) << d.r.summary();
}
// A core is kept wherever one of an ordinary program that dies of the same signal is, and it shows the fault.
TEST_P(Fault, KeepsTheCore) {
    namespace fs = std::filesystem;
    char folder[] = "/tmp/rt0-core-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    auto run_there = [&](std::vector<std::string> command) {
        const char* script = "ulimit -c \"$(ulimit -H -c)\" && cd \"$0\" && exec \"$@\"";
        command.insert(command.begin(), {"/bin/sh", "-c", script, folder});
        return testing_support::run_child(command, {.limit_s = 120, .env = {}});
    };
    auto plain = run_there({"/bin/sh", "-c", "kill -SEGV $$"});
    for (auto& core : fs::directory_iterator(folder)) fs::remove(core);
    auto ours = run_there({testing_support::built_program("tests/crash/" + std::string(GetParam())), "write_wild"});
    auto core = testing_support::core_in(folder);
    fs::remove_all(folder);
    EXPECT_EQ(plain.signal, SIGSEGV) << plain.summary();
    EXPECT_EQ(ours.signal, SIGSEGV) << ours.summary();
    if (!plain.core) GTEST_SKIP() << "no cores here at all";
    EXPECT_TRUE(ours.core) << ours.summary();
    if (!core) GTEST_SKIP() << "cores go elsewhere";
    EXPECT_EQ(core->signal, SIGSEGV);
    EXPECT_EQ(core->code, SEGV_MAPERR);
    EXPECT_EQ(core->addr, 0x123456789000u);
    std::ostringstream pc;
    pc << " pc=0x" << std::hex << core->pc << "]";
    EXPECT_TRUE(contains(ours.err, pc.str())) << pc.str() << ours.err;
}
TEST_P(Fault, InAGuardByAStrayPointer) {
    for (const char* name : {"stray_own_guard", "stray_other_guard"}) {
        death d = scene(name);
        EXPECT_EQ(d.r.signal, SIGSEGV) << d.r.summary();
        std::vector<std::string> head = lines_of(d.rep.head);
        ASSERT_EQ(head.size(), 4u) << d.r.summary();
        EXPECT_TRUE(head[3].starts_with("runtime: the address lies in the guard below the stack of goroutine ")) << head[3];
        ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
        EXPECT_TRUE(d.rep.blocks[0].has("write_into_guard", prog_file)) << d.r.summary();
    }
}
TEST_P(Fault, StackThatCannotBeUnwound) {
    death d = expect("broken_stack", SIGSEGV, segv_head);
    EXPECT_TRUE(d.rep.blocks[0].has("broken_stack", prog_file)) << d.r.summary();
}
TEST_P(Fault, OfManyIsReportedOnce) {
    for (int i = 0; i < 5; i++) expect("two_faults", SIGSEGV, segv_head);
}
TEST_P(Fault, InsideAReportEndsIt) {
    child_result r = scene("fault_while_reporting").r;
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();
    EXPECT_EQ(r.err, "panic: (anonymous namespace)::what_faults: \nrt0: fault while reporting; giving up\n");
}
TEST_P(Fault, NamesThatNoDemanglerTakes) {
    EXPECT_TRUE(expect("odd_name", SIGSEGV, segv_head).rep.blocks[0].has("_Znonsense", prog_file));
}
TEST_P(Fault, NamesLongerThanAPiece) {
    std::string name = "int";
    for (int i = 0; i < 7; i++) name = "(anonymous namespace)::two<" + name + ", " + name + (i > 0 ? " >" : ">");
    EXPECT_EQ(scene("throw_long_name").rep.head, "panic: " + name);
}
TEST_P(Fault, AbortIsLeftAlone) {
    child_result r = scene("abort_here").r;
    EXPECT_EQ(r.signal, SIGABRT) << r.summary();
    EXPECT_EQ(r.err, "");
}

// Its handlers run when the thread next calls libc; one that spins, sleeps in the runtime or waits for the loader never does.
const char* const held_back = "ThreadSanitizer holds signals back";

// ---- SIGQUIT
class Quit : public Program {
protected:
    death expect(const std::string& name, const scene_options& o = {}) {
        death d = scene(name, o);
        EXPECT_EQ(d.r.status, 2) << d.r.summary();
        EXPECT_EQ(d.rep.error, "") << d.r.summary();
        std::vector<std::string> head = lines_of(no_addresses(d.rep.head));
        EXPECT_EQ(head[0], "SIGQUIT: quit") << d.r.summary();
        const char* code = test::tsan ? " sigcode=-6" : " sigcode=0";  // SI_TKILL: raise()
        EXPECT_TRUE(head.size() == 2 && head[1].starts_with("PC=0x* m=") && head[1].ends_with(code)) << d.r.summary();
        return d;
    }
};
INSTANTIATE_TEST_SUITE_P(Programs, Quit, both, program_name);

TEST_P(Quit, AllKindsOfGoroutines) {
    death d = expect("quit_all_kinds");
    EXPECT_EQ(d.rep.blocks.size(), 4u) << d.r.summary();
    const report_block* main = d.rep.find("goroutine 1 [running]:");
    const report_block* waiter = d.rep.find("[chan receive, \"waiter\"]:");
    const report_block* locked = d.rep.find("[chan receive, locked to thread, \"locked\"]:");
    ASSERT_TRUE(main && waiter && locked) << d.r.summary();
    EXPECT_TRUE(main->has("quit_all_kinds", prog_file)) << d.r.summary();
    EXPECT_TRUE(waiter->has("wait_here", prog_file)) << d.r.summary();
    EXPECT_TRUE(locked->has("wait_here", prog_file)) << d.r.summary();
    const report_block* blocked = d.rep.find("[syscall, \"blocked\"]:");
    ASSERT_TRUE(blocked) << d.r.summary();
    EXPECT_TRUE(blocked->has("sleep_in_kernel", prog_file)) << d.r.summary();
}
TEST_P(Quit, OneWhosePWasTaken) {
    death d = expect("quit_detached");
    const report_block* taken = d.rep.find("[running, detached, 5 minutes, \"taken from\"]:");
    ASSERT_TRUE(taken) << d.r.summary();
    EXPECT_TRUE(taken->has("sleep_in_kernel", prog_file)) << d.r.summary();
}
TEST_P(Quit, ThoseThatRunShowTheirStacks) {
    if (test::tsan) GTEST_SKIP() << held_back;
    death d = expect("quit_others_run");
    for (auto& b : d.rep.blocks) {
        EXPECT_FALSE(b.unavailable) << d.r.summary();
        bool main = b.header == "goroutine 1 [running]:";  // perhaps still in kill()
        EXPECT_TRUE(b.has(main ? "quit_others_run" : "spin_here", prog_file)) << d.r.summary();
    }
    const char* p = std::getenv("RT0_MAXPROCS");
    if (p) {
        EXPECT_EQ(static_cast<int>(d.rep.blocks.size()), std::atoi(p)) << d.r.summary();
    }
}
TEST_P(Quit, OneThatTakesNoSignals) {
    death d = expect("quit_blocked_mask");
    const report_block* deaf = d.rep.find("\"deaf\"]:");
    ASSERT_TRUE(deaf) << d.r.summary();
    EXPECT_TRUE(deaf->unavailable) << d.r.summary();
}
TEST_P(Quit, WhileNothingRuns) {
    death d = expect("quit_idle");
    EXPECT_EQ(d.rep.count("goroutine 1 [chan receive]:"), 1) << d.r.summary();
}
TEST_P(Quit, WhileTheSchedulerIsWedged) {
    for (const char* name : {"quit_wedged", "quit_retake_wedged", "quit_channel_wedged", "quit_scanned"}) {
        death d = expect(name);
        EXPECT_EQ(d.rep.count("[chan receive, \"waiter\"]:"), 4) << d.r.summary();
        int held = 0;
        for (auto& b : d.rep.blocks) {
            if (!b.header.ends_with("[chan receive, \"waiter\"]:")) continue;
            EXPECT_EQ(b.has("wait_here", prog_file), !b.held) << d.r.summary();
            held += b.held;
        }
        EXPECT_EQ(held, std::string_view(name) == "quit_scanned") << d.r.summary();
        // ThreadSanitizer holds its signal back: the block may be empty.
        if (const report_block* sender = d.rep.find(", \"sender\"]:"); sender && !sender->unavailable && !test::tsan) {
            EXPECT_TRUE(sender->has("want_channel", prog_file)) << d.r.summary();
        }
    }
}
TEST_P(Quit, InsideMalloc) {
    if (test::sanitized) GTEST_SKIP() << "the interrupted thread may hold a lock of the sanitizer's, and then there are no names";
    if (test::counting) GTEST_SKIP() << "to write the counters out takes malloc";
    for (int i = 0; i < 20; i++) {
        death d = expect("quit_in_malloc");
        ASSERT_EQ(d.rep.blocks.size(), 1u) << d.r.summary();
        EXPECT_TRUE(d.rep.blocks[0].has("churn", prog_file)) << d.r.summary();
    }
}
TEST_P(Quit, OnePanicOrTheOther) {
    for (int i = 0; i < 20; i++) {
        death d = scene("quit_while_panicking");
        EXPECT_EQ(d.r.status, 2) << d.r.summary();
        EXPECT_EQ(d.rep.error, "") << d.r.summary();
        EXPECT_TRUE(d.rep.head.starts_with("SIGQUIT: quit\n") || d.rep.head == "panic: one of the two") << d.r.summary();
    }
}
TEST_P(Quit, LevelNone) {
    death d = expect("quit_all_kinds", {.traceback = "none", .debug = {}});
    EXPECT_EQ(d.rep.blocks.size(), 0u);
}

// ---- dumps that do not end the process
class Dump : public Program {
protected:
    void expect(const std::string& name, const std::string& debug, const std::string& out, bool held = false) {
        death d = scene(name, {.traceback = {}, .debug = debug});
        EXPECT_EQ(d.r.status, 0) << d.r.summary();
        EXPECT_EQ(d.r.out, out) << d.r.summary();
        const std::string tail = "\nrt0: end of dump, 4 goroutines\n";
        ASSERT_TRUE(d.r.err.ends_with(tail)) << d.r.summary();
        report rep = testing_support::parse_report(d.r.err.substr(0, d.r.err.size() - tail.size()));
        EXPECT_EQ(rep.head, "rt0: dump of all goroutines");
        EXPECT_EQ(rep.error, "") << d.r.summary();
        ASSERT_EQ(rep.blocks.size(), 4u) << d.r.summary();
        const report_block* runs = rep.find("goroutine 1 [running]:");
        ASSERT_TRUE(runs) << d.r.summary();
        EXPECT_TRUE(runs->unavailable) << d.r.summary();  // on another thread, with its P
        EXPECT_TRUE(rep.find("[chan receive, locked to thread, \"locked\"]:")) << d.r.summary();
        const report_block* waiter = rep.find("[chan receive, \"waiter\"]:");
        ASSERT_TRUE(waiter) << d.r.summary();
        EXPECT_EQ(waiter->has("wait_here", prog_file), !held) << d.r.summary();
        EXPECT_EQ(waiter->held, held) << d.r.summary();
    }
};
INSTANTIATE_TEST_SUITE_P(Programs, Dump, both, program_name);

TEST_P(Dump, NobodyIsInterrupted) {
    if (test::tsan) GTEST_SKIP() << held_back << " from the dumper, which takes them all";
    expect("dump_usr1", "dumpsignal=1", "alive, interrupted 0 times\n");
    expect("dump_usr1", "dumpsignal=10", "alive, interrupted 0 times\n");
    expect("dump_usr2", "dumpsignal=12", "alive, interrupted 0 times\n");
}
TEST_P(Dump, LevelSystem) {
    if (test::tsan) GTEST_SKIP() << held_back << " from the dumper, which takes them all";
    death d = scene("dump_usr1", {.traceback = "system", .debug = "dumpsignal=1"});
    EXPECT_EQ(d.r.status, 0) << d.r.summary();
    report rep = testing_support::parse_report(d.r.err.substr(0, d.r.err.rfind("\nrt0: end of dump, ")));
    EXPECT_EQ(rep.error, "") << d.r.summary();
    EXPECT_GT(rep.blocks.size(), 4u) << d.r.summary();
    EXPECT_TRUE(contains(d.r.err, "\nrt0::runtime::")) << d.r.summary();
    EXPECT_TRUE(contains(d.r.err, "\nrt0: end of dump, " + std::to_string(rep.blocks.size()) + " goroutines\n"));
}
TEST_P(Dump, OfAWedgedScheduler) {
    if (test::tsan) GTEST_SKIP() << held_back << " from the dumper, which takes them all";
    for (const char* name : {"dump_wedged", "dump_retake_wedged", "dump_channel_wedged"}) expect(name, "dumpsignal=1", "");
    expect("dump_scanned", "dumpsignal=1", "", true);
}
TEST_P(Dump, SignalsThatCannotBe) {
    for (const char* v : {"9", "19", "3", "11", "1000"}) {
        child_result r = scene("up", {.traceback = {}, .debug = std::string("dumpsignal=") + v}).r;
        EXPECT_EQ(r.out, "up\n") << r.summary();
        EXPECT_EQ(r.err, std::string("rt0: RT0DEBUG: dumpsignal: signal ") + v +
                             " has a handler already or cannot have one; ignored\n");
    }
}

}  // namespace
