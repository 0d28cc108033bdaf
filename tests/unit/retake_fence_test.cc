// retake_test on a kernel without membarrier: every crossing has a fence of its own.
#include <cerrno>

#include "kernel_if/inject.h"

namespace {
// Before main boots the runtime.
const bool refused = (rt0::kernel::inject_fail(rt0::kernel::inject::membarrier, 1, ENOSYS, -1), true);
}  // namespace

#include "tests/unit/retake_test.cc"  // NOLINT: the same tests

TEST(WithoutMembarrier, WasRefused) {
#ifdef RT0_TSAN
    GTEST_SKIP() << "TSan cannot see membarrier, so it is not asked for in the first place";
#endif
    EXPECT_TRUE(refused);
    EXPECT_EQ(rt0::kernel::inject_hits(rt0::kernel::inject::membarrier), 1u);
}
