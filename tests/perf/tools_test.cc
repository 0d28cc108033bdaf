// The recipes of perf/tools on a program whose call chain is known.  What the machine does not
// permit (no perf, no perf_event_open, no tracepoints, no bpftrace) is skipped, and says so.
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/child.h"

using namespace testing_support;

namespace {

using strings = std::vector<std::string>;

child_result sh(const std::string& command) {
    return run_child({"/bin/sh", "-c", command}, {.limit_s = 100, .env = {{"RT0_MAXPROCS", "2"}}});
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

// The frames of each sample, leaf first, as "symbol (dso)"; without those of the kernel.
std::vector<strings> samples(const std::string& data) {
    child_result r = sh("perf script -i " + data + " --no-inline -F comm,ip,sym,dso");
    EXPECT_EQ(r.status, 0) << r.err;
    std::vector<strings> all;
    std::istringstream in(r.out);
    for (std::string line; std::getline(in, line);) {
        std::size_t at = line.find_first_not_of(" \t");
        if (at == line.npos) continue;
        if (at == 0) all.emplace_back();  // a head line: the thread's name
        else if (all.empty()) ADD_FAILURE() << line;
        else if (!has(line, "([kernel") && !has(line, "([guest.kernel"))
            all.back().push_back(line.substr(line.find(' ', at) + 1));
    }
    return all;
}

std::string text(const strings& frames) {
    std::string s;
    for (auto& f : frames) s += "  " + f + "\n";
    return s;
}

bool is(const std::string& frame, const std::string& symbol) { return frame.starts_with(symbol + " ("); }

#if defined(__x86_64__) && defined(NDEBUG)
// The price of a crossing and back, without any work inside: no locked instruction, no fence, few others (21 of them; the rest
// is this function's own).
TEST(Crossing, IsShort) {
    if (sh("command -v objdump").status != 0) GTEST_SKIP() << "objdump is missing";
    const std::string name = "_ZN3rt014this_goroutine2idEv";
    child_result r = sh("objdump -d --no-show-raw-insn --disassemble=" + name + " " + built_program("tests/perf/chain_prog"));
    std::size_t from = r.out.find("<" + name + ">:\n"), to = r.out.find("\tret", from);
    ASSERT_NE(to, r.out.npos) << r.summary();
    const std::string body = r.out.substr(from, to - from);
    EXPECT_LE(std::count(body.begin(), body.end(), '\n'), 34) << body;
    EXPECT_GE(std::count(body.begin(), body.end(), '\n'), 21) << body;
    for (const char* dear : {"lock ", "fence", "xchg"}) EXPECT_FALSE(has(body, dear)) << body;
}
#endif

struct Perf : testing::Test {
    std::string dir;
    void SetUp() override {
        if (sh("command -v perf").status != 0) GTEST_SKIP() << "perf is missing";
        if (sh("perf stat -e task-clock true").status != 0) GTEST_SKIP() << "perf_event_open is refused";
        char name[] = "/tmp/rt0-perf-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        dir = name;
    }
    void TearDown() override {
        if (!dir.empty()) std::filesystem::remove_all(dir);
    }
    std::vector<strings> recorded(const std::string& graph, const std::string& program) {
        std::string data = dir + "/data";
        child_result r = sh("perf/tools/record -q --call-graph " + graph + " -o " + data + " " + built_program(program));
        EXPECT_EQ(r.status, 0) << r.summary();
        return samples(data);
    }
};

// All samples with inner as their leaf show the whole chain, and the goroutine's entry ends it.  But
// for the few in inner's first and last instruction, where it has no frame: fp then leaves the caller
// out, dwarf may end there (see below).
void expect_chain(const std::vector<strings>& all) {
    int n = 0, frameless = 0;
    for (auto& s : all) {
        if (s.empty() || !is(s[0], "chain::inner")) continue;
        n++;
        EXPECT_FALSE(has(text(s), "[unknown]")) << text(s);
        ASSERT_GE(s.size(), 2u) << text(s);
        bool ends_early = s.size() == 2 && is(s[1], "chain::middle");
        if (ends_early || is(s[1], "chain::outer")) {
            frameless++;
            continue;
        }
        ASSERT_GE(s.size(), 5u) << text(s);
        EXPECT_TRUE(is(s[1], "chain::middle") && is(s[2], "chain::outer")) << text(s);
        EXPECT_TRUE(is(s[s.size() - 2], "rt0::runtime::goroutine_main") && is(s.back(), "rt0_goentry")) << text(s);
    }
    EXPECT_GE(n, 20);  // of some 400: 0.2 s of processor time at 1999 Hz
    EXPECT_LE(frameless, n / 20);
}

TEST_F(Perf, FramePointersEndAtTheGoroutinesEntry) { expect_chain(recorded("fp", "tests/perf/chain_prog")); }

// Those of the runtime, too: a goroutine's entry or, on the scheduler's own stacks, mcall is below all; but in the few samples of
// start-up, and of functions of libc that keep no frame pointer.
TEST_F(Perf, FramePointersEndAtAnEntry) {
    int n = 0, entry = 0;
    for (auto& s : recorded("fp", "tests/perf/chain_prog")) {
        if (s.empty()) continue;
        n++;
        entry += is(s.back(), "rt0_goentry") || is(s.back(), "rt0_mcall");
    }
    EXPECT_GE(n, 100);
    EXPECT_GE(entry * 100, n * 95) << "of " << n;
}

TEST_F(Perf, DwarfShowsTheChain) {
    // With and without frame pointers in the program.
    for (const char* program : {"tests/perf/chain_prog", "tests/perf/chain_nofp_prog"}) expect_chain(recorded("dwarf", program));
}

TEST_F(Perf, RecordReports) {
    child_result r = sh("perf/tools/record -o " + dir + "/data " + built_program("tests/perf/chain_prog"));
    EXPECT_EQ(r.status, 0) << r.summary();
    std::size_t calls = r.out.find("== with what they call");
    ASSERT_NE(calls, r.out.npos) << r.summary();
    EXPECT_TRUE(has(r.out.substr(0, calls), "chain::inner")) << r.out;
    EXPECT_FALSE(has(r.out.substr(0, calls), "chain::outer")) << r.out;  // it has no time of its own
    EXPECT_TRUE(has(r.out.substr(calls), "chain::outer") && has(r.out.substr(calls), "rt0_goentry")) << r.out;
}

TEST_F(Perf, StatCounts) {
    child_result r = sh("perf/tools/stat " + built_program("tests/perf/chain_prog"));
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_TRUE(has(r.err, "task-clock") && has(r.err, "context-switches")) << r.summary();
    EXPECT_FALSE(has(r.err, "<not")) << r.summary();  // what cannot be counted is not asked for
    EXPECT_NE(has(r.err, "cycles"), has(r.err, "no hardware counters here")) << r.summary();
}

// The graph is XML, and a frame stands on its caller: the nesting is in the y of the rectangles.
TEST_F(Perf, FlameGraph) {
    if (sh("command -v python3").status != 0) GTEST_SKIP() << "python3 is missing";
    std::string svg = dir + "/flame.svg";
    child_result r = sh("perf/tools/flame -o " + svg + " " + built_program("tests/perf/chain_prog"));
    ASSERT_EQ(r.status, 0) << r.summary();
    r = run_child({"/usr/bin/env", "python3", "-c", R"(
import sys, xml.etree.ElementTree as ET
ns = "{http://www.w3.org/2000/svg}"
rows = {}
for g in ET.parse(sys.argv[1]).getroot().iter(ns + "g"):
    rect = g.find(ns + "rect")
    name = g.find(ns + "title").text.rsplit(" (", 1)[0]
    x, y, w = (float(rect.get(k)) for k in ("x", "y", "width"))
    rows.setdefault(name, []).append((g.get("class"), x, y, w))
at = [max(rows[n], key=lambda r: r[3]) for n in ("rt0_goentry", "chain::outer", "chain::middle", "chain::inner")]
assert [a[0] for a in at] == ["rt0", "user", "user", "user"], at
for below, above in zip(at, at[1:]):
    assert above[2] < below[2] and below[1] - .1 <= above[1] and above[1] + above[3] <= below[1] + below[3] + .2, at
assert at[3][3] > 100, at
)", svg});
    EXPECT_EQ(r.status, 0) << r.summary();
    r = sh("perf/tools/flame -o " + dir + "/again.svg " + dir + "/flame.data && cmp " + svg + " " + dir + "/again.svg");
    EXPECT_EQ(r.status, 0) << r.summary();
}

TEST_F(Perf, SchedShowsTheThreads) {
    if (sh("perf stat -x, -e sched:sched_switch true 2>&1 | grep -q ^[0-9]").status != 0) GTEST_SKIP() << "no tracepoints here";
    child_result r = sh("perf/tools/sched -o " + dir + "/data " + built_program("tests/perf/chain_prog"));
    EXPECT_EQ(r.status, 0) << r.summary();
    std::size_t late = r.out.find("== from runnable to running");
    ASSERT_NE(late, r.out.npos) << r.summary();
    for (std::string part : {r.out.substr(0, late), r.out.substr(late)})
        EXPECT_TRUE(has(part, " rt0-M") && has(part, " rt0-sysmon") && has(part, "chain_prog")) << r.out;
    EXPECT_FALSE(has(r.out, "migration/") || has(r.out, "perf[")) << r.out;
}

// The rows of each table in Markdown, without its head and the line below: by the head.
std::map<std::string, std::vector<strings>> tables(const std::string& markdown) {
    std::map<std::string, std::vector<strings>> all;
    std::vector<strings>* table = nullptr;
    std::istringstream in(markdown);
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with('|')) table = nullptr;
        else if (!table) table = &all[line];
        else if (!line.starts_with("|---")) {
            strings cells;
            std::istringstream row(line.substr(1));
            for (std::string cell; std::getline(row, cell, '|');) cells.push_back(cell.substr(1, cell.size() - 2));
            table->push_back(cells);
        }
    }
    return all;
}

// All tables with their smallest sizes; each cell is a number.
TEST(Stalls, HasItsRows) {
    if (geteuid() != 0) GTEST_SKIP() << "setpriv drops a privilege that only root has";
    if (sh("command -v python3 && command -v setpriv").status != 0) GTEST_SKIP() << "python3 or setpriv is missing";
    const std::string build = built_program("").substr(0, built_program("").size() - 1);
    child_result r = sh("perf/tools/stalls --most 2 --build " + build);
    ASSERT_EQ(r.status, 0) << r.summary();
    EXPECT_TRUE(has(r.out, " processors, Linux ")) << r.out;
    const std::vector<std::pair<std::string, strings>> want = {
        {"| nsleep | wall_ms | threads |", {"1"}},
        {"| reads | block_ms | wake_ms | threads | threads_after |", {"100"}},
        {"| reads | p50_us | p90_us | p99_us | max_us |", {"1000"}},
        {"| loops | p50_us | p90_us | p99_us | max_us |", {"200"}},
        {"| loops | privileged | first_ms | lateness_p50_us | lateness_p99_us | threads | threads_after |",
         {"1 yes", "2 yes", "1 no", "2 no"}},
        {"| loops | privileged | p50_us | p90_us | p99_us | max_us |", {"1 yes", "2 yes", "1 no", "2 no"}},
    };
    auto got = tables(r.out);
    EXPECT_EQ(got.size(), want.size()) << r.out;
    for (auto& [head, names] : want) {
        strings begin;
        for (auto& cells : got[head]) {
            const std::size_t named = has(head, "privileged") ? 2 : 1;
            begin.push_back(cells[0] + (named == 2 ? " " + cells[1] : ""));
            EXPECT_EQ(cells.size(), static_cast<std::size_t>(std::count(head.begin(), head.end(), '|') - 1)) << r.out;
            for (std::size_t i = named; i < cells.size(); i++) {
                char* end;
                EXPECT_TRUE(std::strtod(cells[i].c_str(), &end) > 0 && *end == 0) << r.out;
            }
        }
        EXPECT_EQ(begin, names) << head << "\n" << r.out;
    }
}

struct Trace : testing::Test {
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "bpftrace needs root";
        if (sh("bpftrace -e 'BEGIN { exit(); }'").status != 0) GTEST_SKIP() << "bpftrace is missing, or bpf is refused";
#if !__has_include(<sys/sdt.h>) || defined(RT0_NO_PROBES)
        GTEST_SKIP() << "built without probes";
#endif
    }
};

// The storm does all that there is a probe for.
TEST_F(Trace, EachProbeIsPassed) {
    const std::string script = "/tmp/rt0-probes-" + std::to_string(getpid()) + ".bt";
    std::ofstream(script) << "usdt:PROGRAM:rt0:* { @n[probe] = count(); }\n";
    child_result r = sh("RT0_MAXPROCS=2 perf/tools/trace " + script + " " + built_program("tests/stress/storm_prog") + " 3 7");
    std::filesystem::remove(script);
    EXPECT_EQ(r.status, 0) << r.summary();
    for (const char* name : {"gopark", "goready", "newproc", "execute", "goexit", "gosched", "handoffp", "startm", "stopm", "steal",
                             "retake", "chansend", "chanrecv", "closechan", "selectgo", "stackalloc"})
        EXPECT_TRUE(has(r.out, std::string(":rt0:") + name + "]: ")) << name << "\n" << r.summary();
}

TEST_F(Trace, Scripts) {
    std::string program = built_program("tests/perf/chain_prog");
    ASSERT_EQ(sh("bpftrace -l 'usdt:" + program + ":rt0:*' | grep -q rt0").status, 0);
    const std::pair<const char*, const char*> shows[] = {{"runqlat", "@run_queue_us: \n["},
                                                         {"waittime", "@parks[chan receive]: "},
                                                         {"steals", "Attaching 1 probe..."},  // there may be none
                                                         {"handoffs", "@all[stopm]: "}};
    for (auto [script, what] : shows) {
        child_result r = sh(std::string("perf/tools/trace ") + script + " " + program);
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_TRUE(has(r.out, what)) << r.summary();
        EXPECT_FALSE(has(r.out, "@ready[") || has(r.out, "@since[")) << r.summary();  // nothing else is left over
    }
    child_result r = sh("perf/tools/trace steals /bin/true");
    EXPECT_EQ(r.status, 2);
    EXPECT_TRUE(has(r.err, "no probes of rt0")) << r.summary();
}

}  // namespace
