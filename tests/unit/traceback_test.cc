// stack_dump: who is shown, how, and that it may be taken at any time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/sync.h>

#include "debug/traceback.h"
#include "sched/upcross.h"
#include "tests/support/kthreads.h"
#include "tests/support/on_thread.h"
#include "tests/support/report.h"

using testing_support::parse_dump;
using testing_support::report;

#if !defined(RT0_ASAN) && !defined(RT0_TSAN)
namespace {

thread_local std::size_t refused_from = ~std::size_t{0};  // bytes: what operator new does not have on this thread
std::atomic<int> on_system_stacks{0};                     // calls of it that stand there, where it could not use rt0

void count_if_on_system_stack() {
    using namespace rt0::runtime;
    if (const g* gp = getg(); gp && gp->mp && gp == gp->mp->g0) on_system_stacks++;
}

}  // namespace

void* operator new(std::size_t n) {
    count_if_on_system_stack();
    void* p = n < refused_from ? std::malloc(n) : nullptr;
    if (!p) throw std::bad_alloc();
    return p;
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace dumped {

[[gnu::noinline]] void receive(rt0::chan<int> c) {
    c.recv();
    asm volatile("");
}
[[gnu::noinline]] void lock_and_unlock(rt0::mutex& m) {
    m.lock();
    m.unlock();
}
[[gnu::noinline]] void go_deeper(int depth, rt0::chan<int>& c) {
    if (depth > 0) go_deeper(depth - 1, c);
    else c.recv();
    asm volatile("");
}
[[gnu::noinline]] std::string dump_here() {
    std::string s = rt0::stack_dump();
    asm volatile("");
    return s;
}

}  // namespace dumped

namespace {

const std::string me = "tests/unit/traceback_test.cc";
namespace rt = rt0::runtime;

constexpr std::int64_t a_minute = 60'000'000'000;  // ns

// Until n goroutines stand with this header end.
report dump_when(const std::string& header_end, int n) {
    for (;;) {
        report r = parse_dump(rt0::stack_dump());
        if (!r.error.empty() || r.count(header_end) >= n) return r;
        rt0::this_goroutine::yield();
    }
}

TEST(StackDump, TheCallerComesFirst) {
    std::string text = dumped::dump_here();
    report r = parse_dump(text);
    ASSERT_EQ(r.error, "") << text;
    ASSERT_FALSE(r.blocks.empty());
    EXPECT_EQ(r.blocks[0].header, "goroutine " + std::to_string(rt0::this_goroutine::id()) + " [running]:") << text;
    EXPECT_NE(r.blocks[0].frames.at(0).function.find("dumped::dump_here()"), std::string::npos) << text;
    EXPECT_TRUE(r.blocks[0].frames[0].file.ends_with(me)) << text;
    EXPECT_EQ(r.blocks[0].frames.back().function, "main_main()") << text;
}

TEST(StackDump, WaitReasonsNamesAndCreators) {
    rt0::chan<int> c(0);
    rt0::mutex m;
    rt0::wait_group wg;
    wg.add(1);
    m.lock();
    rt0::go({.name = "receiver", .stack_size = 0}, [c] { dumped::receive(c); });
    rt0::go([&] {
        dumped::lock_and_unlock(m);
        wg.done();
    });
    dump_when("[chan receive, \"receiver\"]:", 1);
    std::string text;
    report r;
    do {
        text = rt0::stack_dump();
        r = parse_dump(text);
    } while (r.error.empty() && !r.find("[sync.Mutex.Lock]:"));
    ASSERT_EQ(r.error, "") << text;
    const auto* receiver = r.find("[chan receive, \"receiver\"]:");
    ASSERT_NE(receiver, nullptr) << text;
    EXPECT_TRUE(receiver->has("dumped::receive", me)) << text;
    EXPECT_NE(receiver->created_by.find("WaitReasonsNamesAndCreators"), std::string::npos) << text;
    EXPECT_EQ(receiver->created_in, std::to_string(rt0::this_goroutine::id()));
    EXPECT_TRUE(r.find("[sync.Mutex.Lock]:")->has("dumped::lock_and_unlock", me)) << text;
    m.unlock();
    c.send(1);
    wg.wait();
}

TEST(StackDump, MinutesWaited) {
    rt0::chan<int> c(0);
    std::uint64_t id = 0;
    rt0::wait_group wg;
    wg.go([&, c]() mutable {
        id = rt0::this_goroutine::id();
        c.recv();
    });
    dump_when("[chan receive]:", 1);
    {
        rt0::runtime::runtime_call rc;
        rt0::runtime::rcu_reader r;
        for (auto* gp : rt0::runtime::allgs())
            if (gp->goid == id) gp->waitsince += -(3 * a_minute + 1);
    }
    report r = parse_dump(rt0::stack_dump());
    EXPECT_NE(r.find("[chan receive, 3 minutes]:"), nullptr);
    c.send(1);
    wg.wait();
}

// The words for those that stand in no queue and yet have no P: in a declared call, and taken from while they block or loop
// without a word.  With one P the dumps can be taken only once that has happened.
TEST(StackDump, ThoseWithoutAP) {
    const int procs = rt0::gomaxprocs(1);
    rt0::wait_group wg;
    std::atomic<bool> end{false};
    int fd[2];
    ASSERT_EQ(pipe(fd), 0);
    auto start = [&](const char* name, auto f) {
        wg.add();
        rt0::go({.name = name, .stack_size = 0}, [&wg, f] {
            rt0::runtime::getg()->waitsince = 0;  // another goroutine's, who had this g before
            f();
            wg.done();
        });
    };
    auto read_byte = [&fd] {
        char c;
        EXPECT_EQ(read(fd[0], &c, 1), 1);
    };
    start("declared", [&] { rt0::blocking(read_byte); });
    start("blocks", read_byte);
    start("loops", [&] { while (!end.load(std::memory_order_relaxed)) {} });
    start("locked", [&] {
        rt0::this_goroutine::lock_os_thread();
        read_byte();
    });
    for (const char* header : {"[syscall, \"declared\"]:", "[running, detached, \"blocks\"]:",
                               "[running, detached, \"loops\"]:", "[running, detached, locked to thread, \"locked\"]:"}) {
        report r = dump_when(header, 1);
        ASSERT_EQ(r.error, "");
        EXPECT_TRUE(r.find(header)->unavailable && r.find(header)->frames.empty()) << header;
        EXPECT_NE(r.find(header)->created_by.find("ThoseWithoutAP"), std::string::npos) << r.find(header)->created_by;
    }
    {
        rt0::runtime::runtime_call rc;
        rt0::runtime::rcu_reader reading;
        for (auto* gp : rt0::runtime::allgs())
            if (std::string_view name = gp->name; name == "declared" || name == "loops") gp->waitsince += -(2 * a_minute + 1);
    }
    report later = parse_dump(rt0::stack_dump());
    EXPECT_TRUE(later.find("[syscall, 2 minutes, \"declared\"]:"));
    EXPECT_TRUE(later.find("[running, detached, 2 minutes, \"loops\"]:"));
    EXPECT_TRUE(later.find("[running, detached, \"blocks\"]:"));
    end = true;
    EXPECT_EQ(write(fd[1], "abc", 3), 3);
    wg.wait();
    close(fd[0]);
    close(fd[1]);
    rt0::gomaxprocs(procs);
}

[[gnu::noinline]] void started_later() { asm volatile(""); }

TEST(StackDump, AGoroutineThatHasNotRunYet) {
    // The new goroutines stand in the queue behind this one; another P may take some of them.
    for (int seen = 0; !seen;) {
        for (int i = 0; i < 20; i++) rt0::go(started_later);
        std::string text = rt0::stack_dump();
        report r = parse_dump(text);
        ASSERT_EQ(r.error, "") << text;
        for (auto& b : r.blocks) {
            if (!b.header.ends_with("[runnable]:") || b.created_by.find("NotRunYet") == std::string::npos) continue;
            EXPECT_TRUE(b.frames.empty() || b.has("started_later", me)) << text;
            seen++;
        }
    }
}

TEST(StackDump, SystemGoroutinesAndPlumbingAreHidden) {
    std::string text = rt0::stack_dump();
    EXPECT_EQ(text.find("rt0::runtime::"), std::string::npos) << text;
    EXPECT_EQ(text.find("rt0_goentry"), std::string::npos) << text;
    EXPECT_EQ(text.find("scavenge"), std::string::npos) << text;
}

TEST(StackDump, EveryGoroutineOnce) {
    constexpr int n = 500;  // several batches
    rt0::chan<int> c(0);
    rt0::wait_group wg;
    wg.add(n);
    for (int i = 0; i < n; i++)
        rt0::go([&wg, c] {
            dumped::receive(c);
            wg.done();
        });
    report r = dump_when("[chan receive]:", n);
    EXPECT_EQ(r.error, "");
    std::set<std::string> seen;
    for (auto& b : r.blocks) {
        EXPECT_TRUE(seen.insert(b.header.substr(0, b.header.find(" ["))).second) << b.header;
        EXPECT_TRUE(!b.header.ends_with("[chan receive]:") || b.has("dumped::receive", me)) << b.header;
    }
    for (int i = 0; i < n; i++) c.send(i);
    wg.wait();
}

TEST(StackDump, OnASmallStack) {
    rt0::chan<std::string> result(1);
    rt0::go({.name = {}, .stack_size = 1}, [result]() mutable { result.send(dumped::dump_here()); });
    report r = parse_dump(*result.recv());
    EXPECT_EQ(r.error, "");
    EXPECT_TRUE(r.blocks.at(0).has("dumped::dump_here", me));
}

TEST(StackDump, DeepStacksAreCut) {
    rt0::chan<int> c(0);
    rt0::wait_group wg;
    wg.add(1);
    rt0::go({.name = "deep", .stack_size = 1 << 20}, [&] {
        dumped::go_deeper(1000, c);
        wg.done();
    });
    report r = dump_when("[chan receive, \"deep\"]:", 1);
    const auto* b = r.find("[chan receive, \"deep\"]:");
    ASSERT_NE(b, nullptr);
    EXPECT_TRUE(b->elided);
    EXPECT_LE(b->frames.size(), 110u);
    EXPECT_GE(b->frames.size(), 90u);
    c.send(1);
    wg.wait();
}

TEST(StackDump, FromAForeignThread) {
    rt0::chan<int> c(0), done(0);
    rt0::go({.name = "seen from outside", .stack_size = 0}, [c] { dumped::receive(c); });
    dump_when("[chan receive, \"seen from outside\"]:", 1);
    std::string text;
    std::thread t([&] {
        text = dumped::dump_here();
        done.send(1);
    });
    done.recv();
    t.join();
    report r = parse_dump(text);
    EXPECT_EQ(r.error, "") << text;
    ASSERT_FALSE(r.blocks.empty());
    EXPECT_TRUE(r.blocks[0].header.starts_with("thread ")) << text;
    EXPECT_TRUE(r.blocks[0].has("dumped::dump_here", me)) << text;
    EXPECT_EQ(r.count("[chan receive, \"seen from outside\"]:"), 1) << text;
    c.send(1);
}

// A thread of the program's own that is parked is shown as what it waits in, and not at all between its calls.
TEST(StackDump, ShowsAForeignThreadThatIsParked) {
    rt0::chan<int> c(0);
    std::atomic<bool> idle{false}, end{false};
    std::thread t([&] {
        dumped::receive(c);
        idle = true;
        while (!end) usleep(1000);
    });
    report r = dump_when("[chan receive, locked to thread]:", 1);
    EXPECT_EQ(r.error, "");
    const auto* b = r.find("[chan receive, locked to thread]:");
    ASSERT_NE(b, nullptr);
    EXPECT_TRUE(b->has("dumped::receive", me)) << b->header;
    EXPECT_EQ(b->created_by, "");
    std::string goroutine = b->header.substr(0, b->header.find(" ["));
    c.send(1);
    while (!idle) rt0::this_goroutine::yield();
    for (auto& other : parse_dump(rt0::stack_dump()).blocks)
        EXPECT_FALSE(other.header.starts_with(goroutine + " [")) << other.header;
    end = true;
    rt0::blocking([&] { t.join(); });
}

// Goroutines that park, run, end and start anew all the time, and several dumps at once:
// each goroutine is held only while it stands still, and none is lost.
TEST(StackDump, WhileEverythingMoves) {
    constexpr int pairs = 20, rounds = 400, dumpers = 3;
    std::atomic<bool> stop{false};
    std::atomic<long> received{0};
    rt0::wait_group workers, dumps;
    workers.add(pairs);
    for (int i = 0; i < pairs; i++)
        rt0::go([&] {
            for (int k = 0; k < rounds; k++) {
                rt0::chan<int> c(k % 2);
                rt0::go([c]() mutable { c.send(7); });
                if (c.recv() == 7) received++;
                if (k % 16 == 0) rt0::this_goroutine::yield();
            }
            workers.done();
        });
    dumps.add(dumpers);
    for (int i = 0; i < dumpers; i++)
        rt0::go([&] {
            do {
                report r = parse_dump(rt0::stack_dump());
                EXPECT_EQ(r.error, "");
                EXPECT_GE(r.blocks.size(), 2u);
            } while (!stop);
            dumps.done();
        });
    workers.wait();
    stop = true;
    dumps.wait();
    EXPECT_EQ(received, long{pairs} * rounds);
}

struct level {
    explicit level(rt::traceback_level l) : before(rt::traceback) { rt::traceback = l; }
    ~level() { rt::traceback = before; }
    rt::traceback_level before;
};

TEST(StackDump, LevelSystemShowsTheRuntimesOwn) {
    auto system_goroutines = [](const report& r) {
        int n = 0;
        for (auto& b : r.blocks) n += b.header.find(", \"bg") != std::string::npos || b.created_by.starts_with("rt0::runtime::");
        return n;
    };
    report plain = parse_dump(dumped::dump_here());
    level all(rt::traceback_level::system);
    report r = parse_dump(dumped::dump_here());
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(system_goroutines(plain), 0);
    EXPECT_GT(system_goroutines(r), 0);
    EXPECT_GT(r.blocks.size(), plain.blocks.size());
    bool plumbing = false;
    for (auto& f : r.blocks.at(0).frames) plumbing |= f.function.starts_with("rt0::runtime::");
    EXPECT_TRUE(plumbing);
}

#if !defined(RT0_ASAN) && !defined(RT0_TSAN)
// The text cannot grow: no half of it is handed out for the whole.
TEST(StackDump, WithoutMemoryItThrows) {
    constexpr int n = 200;
    rt0::chan<int> c(0);
    rt0::wait_group wg;
    for (int i = 0; i < n; i++) wg.go([c] { dumped::receive(c); });
    dump_when("[chan receive]:", n);
    bool thrown = false;
    rt0::this_goroutine::lock_os_thread();  // it is the thread's
    refused_from = 40'000;
    try {
        dumped::dump_here();
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    refused_from = ~std::size_t{0};
    rt0::this_goroutine::unlock_os_thread();
    EXPECT_TRUE(thrown);
    EXPECT_EQ(parse_dump(dumped::dump_here()).count("[chan receive]:"), n);
    EXPECT_EQ(on_system_stacks, 0);
    for (int i = 0; i < n; i++) c.send(i);
    wg.wait();
}
#endif

// From code that is not inlined a goroutine is started by rt0 itself, which is no news: who called that is not known.
TEST(StackDump, AGoroutineStartedThroughAPointer) {
    rt0::chan<int> c(0);
    auto f = [c] { dumped::receive(c); };
    void (*volatile start)(decltype(f)&) = &rt0::go<decltype(f)&>;
    start(f);
    report r = dump_when("[chan receive]:", 1);
    ASSERT_NE(r.find("[chan receive]:"), nullptr);
    EXPECT_TRUE(r.find("[chan receive]:")->has("dumped::receive", me));
    EXPECT_EQ(r.find("[chan receive]:")->created_by, "");
    {
        level all(rt::traceback_level::system);
        report s = parse_dump(dumped::dump_here());
        ASSERT_NE(s.find("[chan receive]:"), nullptr);
        EXPECT_NE(s.find("[chan receive]:")->created_by.find("rt0::go<"), std::string::npos)
            << s.find("[chan receive]:")->created_by;
    }
    c.send(1);
}

// A thread of the program's own that called rt0 before is no goroutine in its own dump.
TEST(StackDump, FromAKnownThread) {
    std::string text;
    testing_support::on_known_thread([&] { text = dumped::dump_here(); });
    report r = parse_dump(text);
    EXPECT_EQ(r.error, "") << text;
    ASSERT_FALSE(r.blocks.empty());
    EXPECT_TRUE(r.blocks[0].header.starts_with("thread ")) << text;
    EXPECT_TRUE(r.blocks[0].has("dumped::dump_here", me)) << text;
}

[[gnu::noinline]] int go_down(int depth, rt0::chan<int>& c) {
    int r = depth > 0 ? go_down(depth - 1, c) : *c.recv();
    asm volatile("");
    return r;
}
// A walk ends after a million frames: it might be going in circles.
TEST(StackDump, AWalkIsNotEndless) {
    if (test::sanitized) GTEST_SKIP() << "frames of another size";
    rt0::chan<int> c(0);
    rt0::wait_group wg;
    wg.add(1);
    rt0::go({.name = "abyss", .stack_size = 256 << 20}, [&] {
        go_down(1'100'000, c);
        wg.done();
    });
    std::string text;
    do {
        rt0::this_goroutine::yield();
        text = rt0::stack_dump();
    } while (text.find("[chan receive, \"abyss\"]:") == std::string::npos);
    const std::size_t at = text.find(" frames elided...");
    ASSERT_NE(at, std::string::npos);
    const long elided = std::atol(text.c_str() + text.rfind("...", at) + 3);  // and a hundred shown
    EXPECT_TRUE(elided > 999'000 && elided < 1'000'000) << elided;
    c.send(1);
    wg.wait();
}

}  // namespace
