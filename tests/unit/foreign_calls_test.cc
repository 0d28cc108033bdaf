// Threads that rt0 did not make call everything of the public interface, block in it, are woken, and leave nothing behind.
// A test that fails for want of a wake-up, or for a thread that is kept, does so by hanging.
#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <rt0/rt0.h>

#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/support/every_call.h"

using namespace std::chrono_literals;
using namespace rt0::runtime;
namespace this_goroutine = rt0::this_goroutine;

namespace {

template <class F>
void until(F f) {
    while (!f()) this_goroutine::sleep_for(1ms);
}
// Ms that threads of others have, in use or kept for the next.
int extras() {
    runtime_call rc;
    rcu_reader r;
    int n = 0;
    for (m* mp : allm()) n += mp->is_extra;
    return n;
}

struct ForeignCalls : testing::TestWithParam<int> {
    const int procs = rt0::gomaxprocs();
    void TearDown() override {
        rt0::gomaxprocs(procs);
        until([] { return extras() == sched.nmextraidle.load(); });
    }
    // A goroutine on an M, sysmon, the template thread, the Ms that idle for good and two that are woken by our own
    // sleeping here.  Those beyond end when nobody, we included, has woken them for idle_m_ns.
    static void TearDownTestSuite() {
        const int kept = 3 + rt0::gomaxprocs() + cfg::idle_ms_kept + 2;
        while (rt0::num_thread() > kept) this_goroutine::sleep_for(std::chrono::nanoseconds(cfg::idle_m_ns) + 1s);
    }
};

void expect_lines(const std::string& out, int n) {
    for (std::size_t at = 0; at < out.size(); n--) {
        std::string line = out.substr(at, out.find('\n', at) - at);
        EXPECT_TRUE(line.starts_with("a line of 5 words: ") && line.size() == sizeof "a line of 5 words: ") << line;
        at += line.size() + 1;
    }
    EXPECT_EQ(n, 0) << "lines too few";
}

// So many at once that not all their Ms are kept.
TEST_P(ForeignCalls, AreServed) {
    const auto& call = every_call::calls[GetParam()];
    const std::string name = call.name;
    const int n = name == "dumps" ? 4 : cfg::extra_ms_kept + 8;  // a dump takes long
    std::vector<std::string> wrong(static_cast<std::size_t>(n));
    testing::internal::CaptureStdout();
    std::vector<std::thread> ts;
    for (auto& w : wrong)
        ts.emplace_back([&] {
            try {
                call.make();
            } catch (const std::exception& e) {
                w = e.what();
            }
        });
    rt0::blocking([&] {
        for (auto& t : ts) t.join();
    });
    std::string out = testing::internal::GetCapturedStdout();
    for (auto& w : wrong) EXPECT_EQ(w, "");
    if (name == "lines") expect_lines(out, 10 * n);
    else EXPECT_EQ(out, "");
}

INSTANTIATE_TEST_SUITE_P(Of, ForeignCalls, testing::Range(0, static_cast<int>(std::size(every_call::calls))),
                         [](const auto& p) { return std::string(every_call::calls[p.param].name); });

}  // namespace
