// go(): every kind of callable, errors that must leave nothing behind, stacks used to
// their end, ids, names, and how goroutines end.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rt0/rt0.h>

#include "base/config.h"
#include "mem/mem.h"
#include "tests/support/gate.h"

using testing_support::countdown;
namespace this_goroutine = rt0::this_goroutine;

namespace {

// Runs f on a goroutine to its end.
template <class F>
void run(F f, rt0::go_options o = {}) {
    countdown done(1);
    struct at_end {
        countdown& c;
        ~at_end() { c.one(); }
    };
    rt0::go(o, [&] {
        at_end e{done};
        f();
    });
    done.wait();
}

// The number of goroutines after those that are ending have ended.  While they do, what is counted may be
// one too many or too few: dead Gs move between lists.
void expect_at_rest(int n) {
    int now = rt0::num_goroutine();
    for (int i = 0; i < 1'000'000 && now != n; i++) {
        this_goroutine::yield();
        now = rt0::num_goroutine();
    }
    EXPECT_EQ(now, n);
}

struct Newproc : testing::Test {
    int at_rest = rt0::num_goroutine();
    void TearDown() override { expect_at_rest(at_rest); }
};

// Counts its copies alive, and says where it was called.
template <std::size_t Size, std::size_t Align>
struct alignas(Align) callable {
    static inline std::atomic<int> alive{0}, called{0}, misplaced{0};
    unsigned char fill[Size];
    callable() {
        std::memset(fill, 0x5A, Size);
        alive++;
    }
    callable(callable&& o) noexcept {
        std::memcpy(fill, o.fill, Size);
        alive++;
    }
    callable(const callable& o) {
        std::memcpy(fill, o.fill, Size);
        alive++;
    }
    ~callable() {
        if (reinterpret_cast<std::uintptr_t>(this) % Align) misplaced++;
        std::memset(fill, 0, Size);
        alive--;
    }
    void operator()() {
        if (reinterpret_cast<std::uintptr_t>(this) % Align) misplaced++;
        for (unsigned char c : fill)
            if (c != 0x5A) misplaced++;
        this_goroutine::yield();
        for (unsigned char c : fill)
            if (c != 0x5A) misplaced++;
        called++;
    }
};

template <std::size_t Size, std::size_t Align>
void expect_called_and_destroyed(int at_rest) {
    using C = callable<Size, Align>;
    {
        C kept;
        for (int i = 0; i < 50; i++) {
            rt0::go(C{});
            rt0::go(kept);
        }
    }
    expect_at_rest(at_rest);
    EXPECT_EQ(C::called.load(), 100) << Size << " " << Align;
    EXPECT_EQ(C::alive.load(), 0) << Size << " " << Align;
    EXPECT_EQ(C::misplaced.load(), 0) << Size << " " << Align;
}

TEST_F(Newproc, CallablesOfEverySizeAndAlignment) {
    expect_called_and_destroyed<1, 1>(at_rest);
    expect_called_and_destroyed<8, 8>(at_rest);
    expect_called_and_destroyed<16, 16>(at_rest);
    expect_called_and_destroyed<32, 32>(at_rest);
    expect_called_and_destroyed<64, 64>(at_rest);
    expect_called_and_destroyed<256, 64>(at_rest);
    expect_called_and_destroyed<255, 1>(at_rest);
    expect_called_and_destroyed<256, 16>(at_rest);
    expect_called_and_destroyed<257, 1>(at_rest);
    expect_called_and_destroyed<300, 4>(at_rest);
    expect_called_and_destroyed<10'000, 8>(at_rest);
    expect_called_and_destroyed<128, 128>(at_rest);
    expect_called_and_destroyed<4096, 4096>(at_rest);
}

std::atomic<int> free_function_calls{0};
void free_function() { free_function_calls++; }
struct with_member {
    std::atomic<int> n{0};  // nothing but its count says that a goroutine is done
    void add(int k) { n += k; }
};

TEST_F(Newproc, KindsOfCallables) {
    run([] { rt0::go(free_function); });
    expect_at_rest(at_rest);
    rt0::go(&free_function);
    expect_at_rest(at_rest);
    EXPECT_EQ(free_function_calls, 2);

    auto p = std::make_unique<int>(7);
    std::atomic<int> got{0};
    rt0::go([q = std::move(p), &got] { got = *q; });
    EXPECT_EQ(p, nullptr);
    expect_at_rest(at_rest);
    EXPECT_EQ(got.load(), 7);

    with_member w;
    rt0::go(&with_member::add, &w, 5);
    expect_at_rest(at_rest);
    EXPECT_EQ(w.n.load(), 5);

    std::string text(1000, 'x');
    std::atomic<std::size_t> len{0};
    rt0::go([&](std::string s, std::unique_ptr<int> i) { len = s.size() + static_cast<std::size_t>(*i); }, text,
            std::make_unique<int>(3));
    expect_at_rest(at_rest);
    EXPECT_EQ(len.load(), 1003u);
    EXPECT_EQ(text.size(), 1000u) << "an lvalue is copied";

    std::function<void()> f = [&] { got++; };  // who reads 9 comes after both
    rt0::go(f);
    rt0::go(std::ref(f));
    expect_at_rest(at_rest);
    EXPECT_EQ(got.load(), 9);
}

TEST_F(Newproc, EmptyCallablesThrow) {
    std::function<void()> empty;
    void (*null)() = nullptr;
    void (with_member::*no_member)(int) = nullptr;
    with_member w;
    EXPECT_THROW(rt0::go(empty), std::invalid_argument);
    EXPECT_THROW(rt0::go(std::move(empty)), std::invalid_argument);
    EXPECT_THROW(rt0::go(null), std::invalid_argument);
    EXPECT_THROW(rt0::go(no_member, &w, 1), std::invalid_argument);
    EXPECT_THROW(rt0::go({.stack_size = 1 << 20}, null), std::invalid_argument);
}

// Throws on its n-th copy or move; none must be left, and no goroutine started.
struct thrower {
    static inline int left = 0;
    static inline std::atomic<int> alive{0}, called{0};
    thrower() { alive++; }
    thrower(const thrower&) {
        step();
        alive++;
    }
    thrower(thrower&&) {
        step();
        alive++;
    }
    ~thrower() { alive--; }
    void operator()() const { called++; }
    static void step() {
        if (left-- == 0) throw std::runtime_error("move");
    }
};
struct big_thrower : thrower {
    char more[1000] = {};
};

template <class T>
void expect_all_throws_survived(int at_rest) {
    for (int n = 0;; n++) {
        ASSERT_LT(n, 20);
        T t;
        thrower::left = n;
        int called = thrower::called.load();
        try {
            rt0::go(t);
        } catch (const std::runtime_error&) {
            expect_at_rest(at_rest);
            EXPECT_EQ(thrower::called.load(), called);
            EXPECT_EQ(thrower::alive.load(), 1) << "only t itself";
            continue;
        }
        EXPECT_GT(n, 0) << "it is copied at least once";
        expect_at_rest(at_rest);
        EXPECT_EQ(thrower::called.load(), called + 1);
        break;
    }
    EXPECT_EQ(thrower::alive.load(), 0);
}

TEST_F(Newproc, ThrowingMovesLoseNothing) {
    expect_all_throws_survived<thrower>(at_rest);
    expect_all_throws_survived<big_thrower>(at_rest);
}

TEST_F(Newproc, StackSizes) {
    EXPECT_THROW(rt0::go({.stack_size = (std::size_t{1} << 30) + 1}, [] {}), std::length_error);
    EXPECT_THROW(rt0::go({.stack_size = SIZE_MAX}, [] {}), std::length_error);
    struct {
        std::size_t asked, at_least, at_most;
    } cases[] = {{0, 40 << 10, 64 << 10},       {1, 8 << 10, 32 << 10},         {32 << 10, 8 << 10, 32 << 10},
                 {(32 << 10) + 1, 40 << 10, 64 << 10}, {100'000, 100 << 10, 128 << 10}, {1 << 20, 1000 << 10, 1 << 20},
                 {64 << 20, 63 << 20, 64 << 20}};
    for (auto c : cases) {
        std::size_t have = 0;
        run([&] { have = this_goroutine::stack_remaining(); }, {.stack_size = c.asked});
        EXPECT_GE(have, c.at_least) << c.asked;
        EXPECT_LE(have, c.at_most) << c.asked;
    }
}

// Down to the last kilobytes of the stack, in small frames and in frames of 40 KiB.
[[gnu::noinline]] std::size_t down(std::size_t leave, std::size_t frames) {
    volatile char frame[256];
    frame[0] = static_cast<char>(frames);
    asm volatile("" : : "r"(frame) : "memory");  // or clang makes it smaller
    if (this_goroutine::stack_remaining() < leave) {
        this_goroutine::yield();
        return frames;
    }
    std::size_t n = down(leave, frames + 1);
    return n + (frame[0] == static_cast<char>(frames) ? 0 : 1'000'000);
}
[[gnu::noinline]] int down_40k(int n) {
    volatile char frame[40 << 10];
    frame[0] = static_cast<char>(n);
    frame[sizeof frame - 1] = static_cast<char>(n);
    if (n == 0) {
        this_goroutine::yield();
        return 0;
    }
    int below = down_40k(n - 1);
    return below + (frame[0] == static_cast<char>(n) && frame[sizeof frame - 1] == static_cast<char>(n) ? 1 : 1000);
}

TEST_F(Newproc, StacksAreUsableToTheirEnd) {
    for (std::size_t size : {32u << 10, 64u << 10, 1u << 20}) {
        std::size_t frames = 0;
        run([&] { frames = down(8 << 10, 0); }, {.stack_size = size});
        EXPECT_GT(frames, 10u);
        EXPECT_LT(frames, size / 256);
    }
    int n = 0;
    run([&] { n = down_40k(20); }, {.stack_size = 1 << 20});
    EXPECT_EQ(n, 20);
}

TEST_F(Newproc, IdsAreUniqueAndNeverZero) {
    constexpr int n = 2000;
    std::vector<std::uint64_t> ids(n);
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&, i] {
            ids[static_cast<std::size_t>(i)] = this_goroutine::id();
            done.one();
        });
    done.wait();
    std::set<std::uint64_t> all(ids.begin(), ids.end());
    EXPECT_EQ(all.size(), ids.size());
    EXPECT_FALSE(all.count(0));
    EXPECT_FALSE(all.count(this_goroutine::id()));
}

TEST_F(Newproc, NamesAreKeptAndCut) {
    for (std::string name :
         {std::string(), std::string("worker"), std::string(31, 'a'), std::string(32, 'b'), std::string(5000, 'c')}) {
        std::string seen = "?";
        run([&] { seen = this_goroutine::name(); }, {.name = name});
        EXPECT_EQ(seen, name.substr(0, 31));
    }
    std::string later = "?";
    run([&] { later = this_goroutine::name(); });
    EXPECT_EQ(later, "") << "the name of the dead goroutine whose g this was";
}

TEST_F(Newproc, StacksAndGsAreReused) {
    std::size_t before;
    auto count = [] {
        rt0::runtime::rcu_reader r;
        return rt0::runtime::allgs().n;
    };
    for (std::size_t size : {std::size_t{0}, std::size_t{1} << 17, std::size_t{32} << 10}) {
        for (int i = 0; i < 200; i++) run([] {}, {.stack_size = size});
        expect_at_rest(at_rest);
        before = count();
        for (int i = 0; i < 3000; i++) run([] {}, {.stack_size = size});
        EXPECT_LT(count(), before + 500) << size;
    }
}

// ---- how goroutines end

struct tell {
    std::vector<std::string>& log;
    const char* what;
    ~tell() { log.push_back(what); }
};

TEST_F(Newproc, ExitRunsDestructorsAndPassesCatchAll) {
    std::vector<std::string> log;
    run([&] {
        tell outer{log, "outer"};
        try {
            tell inner{log, "inner"};
            try {
                tell innermost{log, "innermost"};
                this_goroutine::exit();
                log.push_back("not reached");
            } catch (...) {
                log.push_back("passing");
                throw;
            }
        } catch (const std::exception&) {
            log.push_back("not an exception");
        }
        log.push_back("not reached");
    });
    EXPECT_EQ(log, (std::vector<std::string>{"innermost", "passing", "inner", "outer"}));
}

TEST_F(Newproc, ExitInsideAHandlerAndWhileUnwinding) {
    std::vector<std::string> log;
    run([&] {
        tell outer{log, "outer"};
        try {
            throw std::runtime_error("first");
        } catch (const std::runtime_error&) {
            tell inner{log, "inner"};
            this_goroutine::yield();
            this_goroutine::exit();
        }
    });
    EXPECT_EQ(log, (std::vector<std::string>{"inner", "outer"}));
    // The next goroutines on the same threads start with no exception about.
    for (int i = 0; i < 100; i++)
        run([&] {
            if (std::uncaught_exceptions() != 0 || std::current_exception()) log.push_back("left over");
        });
    EXPECT_EQ(log.size(), 2u);
}

TEST_F(Newproc, ExitWithParkedDestructors) {
    constexpr int n = 300;
    std::atomic<int> destroyed{0};
    countdown done(n);
    for (int i = 0; i < n; i++)
        rt0::go([&] {
            struct slow {
                std::atomic<int>& d;
                countdown& c;
                ~slow() {
                    this_goroutine::yield();
                    d++;
                    c.one();
                }
            } s{destroyed, done};
            this_goroutine::yield();
            this_goroutine::exit();
        });
    done.wait();
    EXPECT_EQ(destroyed.load(), n);
}

TEST_F(Newproc, ExitFromInsideBlocking) {
    std::vector<std::string> log;
    run([&] {
        tell outer{log, "outer"};
        rt0::blocking([&] {
            tell inner{log, "inner"};
            this_goroutine::exit();
        });
    });
    EXPECT_EQ(log, (std::vector<std::string>{"inner", "outer"}));
}

TEST_F(Newproc, TheClosureOutlivesItsCallAndDiesBeforeItsGoroutine) {
    std::weak_ptr<int> watch;
    {
        auto p = std::make_shared<int>(1);
        watch = p;
        countdown done(1);
        rt0::go([p, &done] {
            this_goroutine::yield();
            if (*p == 1) done.one();
        });
        p.reset();
        done.wait();
    }
    expect_at_rest(at_rest);
    EXPECT_TRUE(watch.expired());
}

// When a crowd has gone and nothing runs, its stacks go back to the kernel: bgscavenge.
TEST_F(Newproc, ACrowdsStacksAreGivenBackWhenAllIsQuiet) {
    namespace rt = rt0::runtime;
    constexpr int crowd = 2000;
    auto kept = [] {
        rt::memstats m = rt::read_memstats();
        return m.stack_inuse + m.stack_idle + m.heap_inuse + m.heap_idle - m.released;
    };
    rt0::wait_group all;
    rt0::chan<int> go_on(0);
    for (int i = 0; i < crowd; i++) all.go([go_on] { go_on.recv(); });
    std::size_t full = kept();
    go_on.close();
    all.wait();
    // All but what Ps keep in their caches.
    while (kept() + crowd / 2 * rt::cfg::stack_default > full) this_goroutine::sleep_for(std::chrono::milliseconds(10));
}

TEST_F(Newproc, GoroutinesStartedFromThreadsAndDestructors) {
    std::atomic<int> ran{0};
    struct starts_another {
        std::atomic<int>& ran;
        ~starts_another() {
            rt0::go([r = &ran] { (*r)++; });
        }
    };
    run([&] { starts_another s{ran}; });
    std::thread t([&] { starts_another s{ran}; });
    rt0::blocking([&] { t.join(); });
    while (ran.load() < 2) this_goroutine::yield();
    EXPECT_EQ(ran.load(), 2);
}

}  // namespace
