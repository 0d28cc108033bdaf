// What happens often allocates nothing: parking, waking, channel operations, select, locks,
// yields, sleeps, and starting a goroutine where one has ended.
//
// malloc is counted in the whole process, and rt0's own heap must not grow with the operations.  Ps that
// take part for the first time fill their caches, and threads may be made; what allocated
// per operation would do it a hundred thousand times, 16 bytes or one stack each.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <rt0/rt0.h>

#include "mem/mem.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {
std::atomic<long> mallocs{0};
}

#if !defined(RT0_ASAN) && !defined(RT0_TSAN)
constexpr bool counted = true;

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);

void* malloc(std::size_t n) {
    mallocs.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
    mallocs.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
    mallocs.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(p, n);
}
}
#else
constexpr bool counted = false;  // malloc is the sanitizer's
#endif

namespace {

constexpr int rounds = 100'000;

// f(n) does something n times; a first, shorter call fills what is kept.
template <class F>
void expect_no_allocation(F f) {
    if (!counted) GTEST_SKIP() << "malloc is the sanitizer's";
    f(rounds / 10);
    long before = mallocs;
    auto heap = rt0::runtime::read_memstats();
    f(rounds);
    auto now = rt0::runtime::read_memstats();
    EXPECT_LT(mallocs - before, rounds / 100);
    EXPECT_LT(now.heap_inuse, heap.heap_inuse + 16 * rounds);
    EXPECT_LT(now.stack_inuse, heap.stack_inuse + 1024 * rounds);
}

// A goroutine that does f(i) n times beside the caller, who does g(i).
template <class F, class G>
void in_step(int n, F f, G g) {
    rt0::wait_group wg;
    wg.go([&] {
        for (int i = 0; i < n; i++) f(i);
    });
    for (int i = 0; i < n; i++) g(i);
    wg.wait();
}

TEST(NoAllocation, UnbufferedChannel) {
    rt0::chan<int> c(0);
    expect_no_allocation([&](int n) {
        in_step(n, [&](int i) { c.send(i); }, [&](int i) { EXPECT_EQ(c.recv(), i); });
    });
}

TEST(NoAllocation, BufferedChannel) {
    rt0::chan<int> c(3);
    expect_no_allocation([&](int n) {
        in_step(n, [&](int i) { c.send(i); }, [&](int i) { EXPECT_EQ(c.recv(), i); });
    });
}

TEST(NoAllocation, Select) {
    rt0::chan<int> a(0), b(0);
    expect_no_allocation([&](int n) {
        int sum = 0;
        auto add = [&](std::optional<int> v) { sum += *v; };
        in_step(n, [&](int i) { (i % 2 ? a : b).send(1); }, [&](int) { rt0::select(rt0::recv(a, add), rt0::recv(b, add)); });
        EXPECT_EQ(sum, n);
    });
}

TEST(NoAllocation, Mutex) {
    rt0::mutex m;
    long n = 0;
    auto once = [&](int) {
        std::lock_guard l(m);
        n++;
        if (n % 8 == 0) this_goroutine::yield();  // so that the other waits
    };
    expect_no_allocation([&](int k) { in_step(k, once, once); });
    EXPECT_EQ(n, counted ? 2 * (rounds + rounds / 10) : 0);
}

TEST(NoAllocation, Yield) {
    auto once = [](int) { this_goroutine::yield(); };
    expect_no_allocation([&](int n) { in_step(n, once, once); });
}

TEST(NoAllocation, Sleep) {
    auto once = [](int) { this_goroutine::sleep_for(1ns); };
    expect_no_allocation([&](int n) { in_step(n, once, once); });
}

TEST(NoAllocation, GoroutinesInTurn) {
    expect_no_allocation([](int n) {
        rt0::wait_group wg;
        for (int i = 0; i < n; i++) {
            wg.go([] {});
            if (i % 100 == 0) wg.wait();
        }
        wg.wait();
    });
}

}  // namespace
