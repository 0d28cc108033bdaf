// Real refusals by the kernel, each in a child of its own: little address space
// (RLIMIT_AS) from before the first allocation on.  Smaller arenas are taken, then
// null is the answer, and what is freed can be had again.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "mem/heap.h"
#include "mem/mem.h"

namespace rt0::runtime {
namespace {

std::size_t address_space() {
    FILE* f = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (std::fscanf(f, "%lu", &pages) != 1) pages = 0;
    std::fclose(f);
    return pages * 4096;
}

void leave_only(std::size_t bytes) {
    rlimit r;
    r.rlim_cur = r.rlim_max = address_space() + bytes;
    if (setrlimit(RLIMIT_AS, &r) != 0) _exit(90);
}

template <class T, class Alloc, class Free>
std::size_t fill_twice(Alloc&& alloc, Free&& give, T* v, std::size_t cap) {
    std::size_t n = 0;
    for (T x; n < cap && alloc(&x); n++) v[n] = x;
    for (std::size_t i = 0; i < n; i++) give(v[i]);
    for (std::size_t i = 0; i < n; i++)
        if (!alloc(&v[i])) _exit(91);
    for (std::size_t i = 0; i < n; i++) give(v[i]);
    return n;
}

stack stacks[4096];
void* objects[4096];

[[noreturn, maybe_unused]] void in_little_space(std::size_t bytes, std::size_t least_stacks) {
    if (heap.stacks.reserved() + heap.objects.reserved() != 0) _exit(94);
    leave_only(bytes);
    mallocinit();
    mcache* c = allocmcache();
    auto get_stack = [&](stack* s) { return (*s = stackalloc(c, cfg::stack_default)).slot != 0; };
    auto put_stack = [&](stack s) { stackfree(c, s); };
    std::size_t n = fill_twice(get_stack, put_stack, stacks, 4096);
    if (n < least_stacks || n == 4096) _exit(92);
    auto get_object = [&](void** p) { return (*p = mallocrt(c, 20000)) != nullptr; };
    auto put_object = [&](void* p) { freert(c, p); };
    fill_twice(get_object, put_object, objects, 4096);
    freemcache(c);
    guard g(heap.lock);
    _exit(heap.stacks.is_valid() && heap.objects.is_valid() ? 0 : 93);
}

#if defined(RT0_ASAN) || defined(RT0_TSAN)
TEST(Limit, None) { GTEST_SKIP() << "the sanitizer's shadow takes all address space there is"; }
#else
TEST(Limit, SixteenMegabytesOfAddressSpace) {
    EXPECT_EXIT(in_little_space(16 << 20, 150), testing::ExitedWithCode(0), "");
}

TEST(Limit, AFewHundredKilobytes) { EXPECT_EXIT(in_little_space(1 << 20, 1), testing::ExitedWithCode(0), ""); }

TEST(Limit, NothingAtAll) {
    EXPECT_EXIT(
        {
            leave_only(0);
            mallocinit();
            bool none = allocmcache() == nullptr && mallocrt(nullptr, 8) == nullptr &&
                        mallocrt(nullptr, 1 << 20) == nullptr && stackalloc(nullptr, 0).slot == 0 &&
                        stackalloc(nullptr, cfg::main_stack).slot == 0 && scavenge(~std::size_t{0}) == 0;
            _exit(none ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace rt0::runtime
