// Fairness of the running scheduler: each of a thousand goroutines gets its turn, one that becomes ready
// waits for the others' turn and no longer, an idle process does nothing.  Counts decide, never time.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>
#include <rt0/time.h>

#include "base/config.h"
#include "kernel_if/inject.h"
#include "tests/support/kthreads.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

struct Fairness : testing::Test {
    int procs = rt0::gomaxprocs();
    void TearDown() override { rt0::gomaxprocs(procs); }
};

// Turns of n players, each on a cache line of its own.
class scores {
public:
    explicit scores(std::size_t n) : all_(n) {}

    void point(std::size_t i) { all_[i].turns.fetch_add(1, std::memory_order_relaxed); }
    std::vector<std::uint64_t> now() const {
        std::vector<std::uint64_t> v;
        for (const auto& s : all_) v.push_back(s.turns.load(std::memory_order_relaxed));
        return v;
    }
    std::size_t players() const { return all_.size(); }
    std::atomic<bool> over{false};

private:
    struct alignas(64) score {
        std::atomic<std::uint64_t> turns{0};
    };
    std::vector<score> all_;
};

void let_yield(scores& s, rt0::wait_group& all) {
    for (std::size_t i = 0; i < s.players(); i++)
        all.go([&s, i] {
            while (!s.over.load(std::memory_order_relaxed)) {
                s.point(i);
                this_goroutine::yield();
            }
        });
}

// Each player is a pair with two unbuffered channels, its turns are exchanges.
void let_exchange(scores& s, rt0::wait_group& all) {
    for (std::size_t i = 0; i < s.players(); i++) {
        rt0::chan<int> there(0), back(0);
        all.go([&s, i, there, back] {
            while (!s.over.load(std::memory_order_relaxed)) {
                there.send(1);
                if (!back.recv()) break;
                s.point(i);
            }
            there.close();
        });
        all.go([there, back] {
            while (auto v = there.recv()) back.send(*v);
        });
    }
}

std::uint64_t sum(const std::vector<std::uint64_t>& v) {
    std::uint64_t n = 0;
    for (auto x : v) n += x;
    return n;
}

// Lets the players play until each has had `turns` on average since all of them had been at it for a while; most turns
// over fewest.
double spread(scores& s, std::uint64_t turns) {
    std::vector<std::uint64_t> from, to;
    do {
        this_goroutine::sleep_for(1ms);
        from = s.now();
    } while (*std::min_element(from.begin(), from.end()) < turns / 10);
    do {
        this_goroutine::sleep_for(10ms);
        to = s.now();
    } while (sum(to) - sum(from) < turns * to.size());
    for (std::size_t i = 0; i < to.size(); i++) to[i] -= from[i];
    auto [least, most] = std::minmax_element(to.begin(), to.end());
    return static_cast<double>(*most) / static_cast<double>(std::max<std::uint64_t>(*least, 1));
}

constexpr std::size_t crowd = 1000;
constexpr std::uint64_t rounds = test::sanitized ? 3000 : 10'000;
// Of a pair, which has some 30 in a turn: about a second's, or, where that takes a minute, half as many.
constexpr std::uint64_t exchanges = test::sanitized ? 10'000 : 20'000;
constexpr double alike = test::sanitized ? 2 : 1.5;
constexpr const char* takes_minutes = "ThreadSanitizer needs 10 us a switch for more than 255 fibers";

TEST_F(Fairness, AThousandThatYield) {
    if (test::tsan) GTEST_SKIP() << takes_minutes;
    for (int p : {1, 2}) {
        rt0::gomaxprocs(p);
        scores s(crowd);
        rt0::wait_group all;
        let_yield(s, all);
        // Of two threads the kernel may let one run less.
        EXPECT_LE(spread(s, rounds), p == 1 ? 1.5 : 3) << p << " Ps";
        s.over = true;
        all.wait();
    }
}

// Five hundred pairs.
TEST_F(Fairness, AThousandThatCommunicate) {
    if (test::tsan) GTEST_SKIP() << takes_minutes;
    for (int p : {1, 2}) {
        rt0::gomaxprocs(p);
        scores s(crowd / 2);
        rt0::wait_group all;
        let_exchange(s, all);
        EXPECT_LE(spread(s, exchanges), p == 1 ? alike : 3) << p << " Ps";
        s.over = true;
        all.wait();
    }
}

// Newest first as they are run, with each starting another: the six hundred that began it have their turn all the same.
TEST_F(Fairness, WhoWasStartedFirstIsNotForgotten) {
    constexpr int n = 600, most = 50'000;
    rt0::gomaxprocs(1);
    std::atomic<int> turns{0}, first{0};  // who loses the P in the middle of a turn goes on beside the next
    rt0::wait_group all;
    auto work = [&](auto& self, bool of_the_first) -> void {
        const auto end = std::chrono::steady_clock::now() + 50us;
        while (std::chrono::steady_clock::now() < end) {}
        first += of_the_first;
        if (++turns < most && first < n) all.go([&] { self(self, false); });
    };
    for (int i = 0; i < n; i++) all.go([&] { work(work, true); });
    all.wait();
    EXPECT_EQ(first, n);
    EXPECT_LT(turns, most);
}

// How many turns all others together have had between the message to a goroutine and when it runs: the median of 200.  Another one
// that gets a message after it takes its place as the next to run (runnext), so that it waits behind all.
std::uint64_t turns_until_it_runs(scores& s, rt0::wait_group& all) {
    rt0::chan<std::uint64_t> ask(0), answer(0);
    rt0::chan<int> another(0);
    all.go([&] {
        while (auto before = ask.recv()) answer.send(sum(s.now()) - *before);
    });
    all.go([&] {
        while (another.recv()) {}
    });
    std::vector<std::uint64_t> waited;
    for (int k = 0; k < 200; k++) {
        ask.send(sum(s.now()));
        another.send(0);
        waited.push_back(*answer.recv());
    }
    ask.close();
    another.close();
    s.over = true;
    all.wait();
    std::sort(waited.begin(), waited.end());
    return waited[waited.size() / 2];  // the thread may lose its processor meanwhile
}

// While N others take turns, one that is made ready runs after a few turns of each.
TEST_F(Fairness, WhoBecomesReadyWaitsForItsTurn) {
    constexpr std::size_t n = 100;
    for (int p : {1, 2}) {
        rt0::gomaxprocs(p);
        scores s(n);
        rt0::wait_group all;
        let_yield(s, all);
        EXPECT_LE(turns_until_it_runs(s, all), 4 * n) << p << " Ps";
    }
}

// While pairs pass the processor to and fro, too: at most so long as a pair may inherit the time slice (RQ6), each.
TEST_F(Fairness, WhoBecomesReadyWaitsForPairs) {
    constexpr std::size_t pairs = 100;
    constexpr std::size_t a_turns_exchanges = rt0::runtime::cfg::runnext_inherit_max / 2;  // two switches each
    for (int p : {1, 2}) {
        rt0::gomaxprocs(p);
        scores s(pairs);
        rt0::wait_group all;
        let_exchange(s, all);
        EXPECT_LE(turns_until_it_runs(s, all), 2 * pairs * a_turns_exchanges) << p << " Ps; 2: to spare";
    }
}

std::uint64_t wakeups() {
    std::uint64_t n = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream status(task.path() / "status");
        for (std::string word; status >> word;)
            if (word == "voluntary_ctxt_switches:") {
                std::uint64_t v = 0;
                status >> v;
                n += v;
            }
    }
    return n;
}

// While all are parked.
std::uint64_t wakeups_at_rest() {
    std::atomic<std::uint64_t> woken{0};
    rt0::chan<int> end(0);
    std::thread watcher([&] {
        std::this_thread::sleep_for(1s);  // sysmon sleeps deeply by then
        std::uint64_t before = wakeups();
        std::this_thread::sleep_for(500ms);
        woken = wakeups() - before;
        end.close();
    });
    end.recv();
    watcher.join();
    return woken;
}

// Once all are parked nobody polls: what the watcher itself does are its own sleeps.
TEST_F(Fairness, AnIdleProcessDoesNothing) {
    for (int p : {1, 2, 64}) {
        rt0::gomaxprocs(p);
        EXPECT_LE(wakeups_at_rest(), 10u) << p << " Ps; a thread that looked each 10 ms would make 50";
    }
}

// Nor where the kernel takes no memory back, which it does not if it is locked.
TEST_F(Fairness, AnIdleProcessWithLockedMemoryDoesNothing) {
    rt0::gomaxprocs(2);
    rt0::wait_group all;
    for (int i = 0; i < 1000; i++) all.go([] { rt0::this_goroutine::sleep_for(1ms); });
    all.wait();
    rt0::kernel::inject_fail(rt0::kernel::inject::madvise, 1, EINVAL, -1);
    std::uint64_t woken = wakeups_at_rest();
    EXPECT_GT(rt0::kernel::inject_hits(rt0::kernel::inject::madvise), 0u);
    rt0::kernel::inject_off();
    EXPECT_LE(woken, 10u) << "once more for each look makes 40 and more";
}

}  // namespace
