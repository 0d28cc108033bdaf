// RT0DEBUG=schedtrace, scheddetail: Go's lines, one write each, while work runs and while
// everything sleeps, and with the scheduler's lock held by somebody.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <rt0/rt0.h>

#include "base/upcall.h"
#include "sched/lists.h"
#include "sched/runq.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/child.h"

using namespace testing_support;

namespace {

const std::string totals = R"(SCHED \d+ms: gomaxprocs=\d+ idleprocs=\d+ threads=\d+ )"
                           R"(spinningthreads=\d+ idlethreads=\d+ runqueue=\d+)";
const std::string p_line = R"(  P\d+: status=[0-3] schedtick=\d+ syscalltick=\d+ m=-?\d+ runqsize=\d+ gfreecnt=\d+ timerslen=\d+)";
const std::string m_line = R"(  M\d+: p=-?\d+ curg=-?\d+ mallocing=0 throwing=\d preemptoff= locks=-?\d+ dying=0 )"
                           R"(spinning=(true|false) blocked=(true|false) lockedg=-?\d+)";
const std::string g_line = R"(  G\d+: status=\d+\([a-zA-Z. ()]*\) m=-?\d+ lockedm=-?\d+)";

bool is(const std::string& line, const std::string& pattern) { return std::regex_match(line, std::regex(pattern)); }

std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> v;
    std::istringstream in(text);
    for (std::string s; std::getline(in, s);) v.push_back(s);
    return v;
}

child_result traced(const std::string& debug, const std::string& procs, const std::string& scene = "traced") {
    child_options o;
    o.env = {{"RT0DEBUG", debug}, {"RT0_MAXPROCS", procs}};
    return run_child({built_program("tests/crash/sched_prog"), scene}, o);
}

TEST(SchedTrace, OneLineEachInGosFormat) {
    for (int procs : {1, 3}) {
        child_result r = traced("schedtrace=2", std::to_string(procs));
        EXPECT_EQ(r.status, 0) << r.summary();
        auto v = lines(r.out);
        ASSERT_GE(v.size(), 5u);
        for (auto& line : v) EXPECT_TRUE(is(line, totals + R"( \[\d+( \d+){)" + std::to_string(procs - 1) + R"(}\])")) << line;
        EXPECT_NE(v[0].find("gomaxprocs=" + std::to_string(procs) + " "), std::string::npos) << v[0];
    }
}

TEST(SchedTrace, Detailed) {
    child_result r = traced("schedtrace=2,scheddetail=1", "2");
    EXPECT_EQ(r.status, 0) << r.summary();
    int heads = 0, ps = 0, ms = 0, gs = 0;
    for (auto& line : lines(r.out)) {
        if (is(line, totals + R"( gcwaiting=[01] nmidlelocked=-?\d+ stopwait=\d+ sysmonwait=[01])")) heads++;
        else if (is(line, p_line)) ps++;
        else if (is(line, m_line)) ms++;
        else if (is(line, g_line)) gs++;
        else ADD_FAILURE() << line;
    }
    EXPECT_GE(heads, 5);
    EXPECT_EQ(ps, 2 * heads);
    EXPECT_GE(ms, 2 * heads);
    EXPECT_GE(gs, 3 * heads);
}

// sysmon would sleep for good after a second without work.
TEST(SchedTrace, GoesOnWhileEverythingSleeps) {
    child_result r = traced("schedtrace=400", "2");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_GE(lines(r.out).size(), 5u);
    EXPECT_NE(r.out.find("idleprocs=2"), std::string::npos) << r.out;
}

TEST(SchedTrace, NobodyReadsIt) {
    for (const char* procs : {"1", "2", "8"}) {
        child_result r = traced("schedtrace=1", procs, "trace-unread");
        EXPECT_EQ(r.out, "all ended\n") << r.summary();
        EXPECT_EQ(r.status, 0) << r.summary();
    }
}

TEST(SchedTrace, DetailWithoutPeriodAndZeroPrintNothing) {
    for (const char* debug : {"scheddetail=1", "schedtrace=0", "schedtrace=0,scheddetail=1"}) {
        child_result r = traced(debug, "2", "up");
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.err, "");
    }
    child_result r = traced("schedtrace=x,scheddetail=", "2", "up");
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.err, "rt0: RT0DEBUG: bad value in 'schedtrace=x' ignored\nrt0: RT0DEBUG: bad value in 'scheddetail=' ignored\n");
}

// Standard error of this process, collected while f runs.
template <class F>
std::string stderr_of(F f) {
    int keep = dup(2), fds[2];
    if (keep < 0 || pipe(fds) != 0) return "no pipe";
    fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    dup2(fds[1], 2);
    close(fds[1]);
    f();
    dup2(keep, 2);
    close(keep);
    std::string text(1 << 20, 0);
    ssize_t n = read(fds[0], text.data(), text.size());  // all of it: one write
    close(fds[0]);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
}

TEST(SchedTrace, NeedsNoLock) {
    namespace rt = rt0::runtime;
    rt0::chan<int> quit(0);
    rt0::wait_group all;
    for (int i = 0; i < 300; i++) all.go([&] { quit.recv(); });
    rt0::this_goroutine::yield();
    std::string text = stderr_of([] {
        rt::runtime_call rc;
        rt::guard l(rt::sched.lock);
        rt::guard free_gs(rt::sched.gfree.lock);
        rt::upcall_schedtrace(true);
    });
    quit.close();
    all.wait();
    auto v = lines(text);
    EXPECT_GE(v.size(), 300u) << text;
    EXPECT_NE(text.find("(chan receive) m=-1 lockedm=-1\n"), std::string::npos) << text;
    EXPECT_EQ(text.back(), '\n');
}

// The number after `key` in text.
long value(const std::string& text, const std::string& key) {
    std::size_t at = text.find(key);
    if (at == std::string::npos) return -99;
    return std::stol(text.substr(at + key.size()));
}
long lines_with(const std::string& text, const std::string& what) {
    long n = 0;
    for (auto& line : lines(text)) n += line.find(what) != std::string::npos;
    return n;
}

bool locked_m_sleeps() {
    namespace rt = rt0::runtime;
    rt::runtime_call rc;
    rt::rcu_reader reading;
    for (rt::m* mp : rt::allm())
        if (mp->lockedg && mp->blocked.load()) return true;
    return false;
}

std::uint32_t rounds_of_my_p() {
    rt0::runtime::runtime_call rc;
    return rt0::runtime::getg()->mp->pp->schedtick.load();
}

// What a test before left behind may still be ready: the end of a goroutine that was seen to be done.
bool nobody_is_ready() {
    namespace rt = rt0::runtime;
    rt::runtime_call rc;
    return rt::sched.runqsize.load() == 0 && rt::runqempty(rt::getg()->mp->pp);
}

// One P, five goroutines that wait for it, two more in the global queue; one locked and three timers.
struct SchedTraceValues : testing::Test {
    const int before = rt0::gomaxprocs(1);
    std::string self = std::to_string(rt0::this_goroutine::id()), plain, detailed;
    int threads = 0;

    // False: this goroutine's slice ended on the way, or somebody else became ready.
    bool traced_at_once() {
        namespace rt = rt0::runtime;
        using namespace std::chrono_literals;
        rt0::chan<int> quit(0);
        rt0::wait_group all;
        all.go([&] {
            rt0::this_goroutine::lock_os_thread();
            quit.recv();
        });
        rt0::timer far[] = {rt0::timer(1h), rt0::timer(2h), rt0::timer(3h)};
        while (!locked_m_sleeps() || !nobody_is_ready()) rt0::this_goroutine::yield();
        const std::uint32_t tick = rounds_of_my_p();
        for (int i = 0; i < 7; i++) all.go([&] { quit.recv(); });
        bool at_once = false;
        std::string text = stderr_of([&] {
            rt::runtime_call rc;
            rt::guard l(rt::sched.lock);
            rt::p* pp = rt::getg()->mp->pp;
            if (!(at_once = tick == pp->schedtick.load() && rt::sched.runqsize.load() == 0)) return;
            bool inherit;
            for (int i = 0; i < 2; i++) rt::globrunqput(rt::runqget(pp, &inherit));
            threads = rt::mcount();
            rt::upcall_schedtrace(false);
            rt::upcall_schedtrace(true);
        });
        quit.close();
        all.wait();
        plain = text.substr(0, text.find('\n') + 1);
        detailed = text.substr(plain.size());
        return at_once;
    }
    void SetUp() override {
        while (!traced_at_once()) {}
    }
    void TearDown() override { rt0::gomaxprocs(before); }
};

TEST_F(SchedTraceValues, Totals) {
    for (auto& text : {plain, detailed}) {
        EXPECT_EQ(value(text, "gomaxprocs="), 1) << text;
        EXPECT_EQ(value(text, "idleprocs="), 0) << text;
        EXPECT_EQ(value(text, "threads="), threads) << text;
        EXPECT_EQ(value(text, "spinningthreads="), 0) << text;
        EXPECT_EQ(value(text, "runqueue="), 2) << text;
    }
    EXPECT_EQ(value(plain, "["), 5) << plain;
    EXPECT_EQ(value(detailed, "gcwaiting="), 0) << detailed;
    EXPECT_EQ(value(detailed, "nmidlelocked="), 1) << detailed;
}

TEST_F(SchedTraceValues, Each) {
    EXPECT_EQ(lines_with(detailed, "  P"), 1) << detailed;
    const std::string p = detailed.substr(detailed.find("  P"), detailed.find("  M") - detailed.find("  P"));
    EXPECT_EQ(value(p, "runqsize="), 5) << p;
    EXPECT_EQ(value(p, "status="), 1) << p;
    EXPECT_GE(value(p, "timerslen="), 3) << p;
    EXPECT_EQ(lines_with(detailed, " m=" + std::to_string(value(p, " m=")) + " lockedm=-1"), 1) << detailed;
    EXPECT_EQ(lines_with(detailed, " p=0 curg=" + self + " "), 1) << detailed;
    EXPECT_EQ(lines_with(detailed, "  G" + self + ": status=2("), 1) << detailed;
    EXPECT_EQ(lines_with(detailed, ": status=1("), 7) << detailed;
    std::smatch locked;
    const std::regex waits(R"(  G(\d+): status=4\(chan receive\) m=-1 lockedm=(\d+)\n)");
    ASSERT_TRUE(std::regex_search(detailed, locked, waits)) << detailed;
    const std::regex its_m("  M" + locked[2].str() + ": p=-1 .* blocked=true lockedg=" + locked[1].str() + "\n");
    EXPECT_TRUE(std::regex_search(detailed, its_m)) << detailed;
}

}  // namespace
