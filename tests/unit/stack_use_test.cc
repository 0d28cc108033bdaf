// How much of a stack common library calls take: they fit the default one, and README's figures are not too low.
#include <gtest/gtest.h>
#include <netdb.h>

#include <cstdio>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include <rt0/go.h>
#include <rt0/sync.h>

#include "base/config.h"
#include "sched/sched.h"
#include "tests/support/kthreads.h"

namespace {

constexpr unsigned char paint = 0xa5;

// Bytes below here that f wrote on, on a stack of 1 MiB of its own.
template <class F>
std::size_t stack_use(F f) {
    std::size_t used = 0;
    auto measure = [&] {
        auto* low = reinterpret_cast<volatile unsigned char*>(rt0::runtime::getg()->stk.lo);
        auto* here = static_cast<volatile unsigned char*>(__builtin_frame_address(0)) - 512;  // this frame
        for (auto* p = low; p < here; p++) *p = paint;
        f();  // its first time, which binds symbols and reads tables
        while (low < here && *low == paint) low++;
        used = static_cast<std::size_t>(here - low);
    };
    rt0::wait_group end;
    end.add();
    rt0::go({.name = "measured", .stack_size = 1 << 20}, [&] {
        measure();
        end.done();
    });
    end.wait();
    return used;
}

constexpr std::size_t usable = rt0::runtime::cfg::stack_default - rt0::runtime::cfg::stack_guard;

// readme: what "Rules" says, in bytes.
void expect_near(const char* what, std::size_t used, std::size_t readme) {
    std::printf("    %s: %zu bytes\n", what, used);
    EXPECT_LT(used, usable * 3 / 4) << what;
    EXPECT_LT(used, readme * 4 / 3) << what;  // the loader saves more registers on some processors
}

TEST(StackUse, OfCommonCalls) {
    if (test::sanitized) GTEST_SKIP() << "instrumented frames are larger";
    char line[8192];
    expect_near("printf", stack_use([&] { std::snprintf(line, sizeof line, "%d %s %f", 42, "text", 1.5); }), 2100);
    expect_near("printf %.40Lf", stack_use([&] { std::snprintf(line, sizeof line, "%.40Lf", 1e4000L / 3); }), 27'300);
    expect_near("ostringstream", stack_use([] { std::ostringstream() << 42 << " text " << 1.5; }), 3700);
    expect_near("throw and catch", stack_use([] {
                    try {
                        throw std::runtime_error("x");
                    } catch (const std::exception&) {
                    }
                }), 4400);
    expect_near("getaddrinfo", stack_use([] {
                    addrinfo* a = nullptr;
                    if (getaddrinfo("localhost", "80", nullptr, &a) == 0) freeaddrinfo(a);
                }), 6700);
}

}  // namespace
