// pelt.h for a test program on the runtime: after the last test, were there signals enough?  Included by the one file of it.
#pragma once
#include <gtest/gtest.h>

#include "tests/support/pelt.h"

namespace testing_support {

struct pelted_tests : testing::Environment {
    void TearDown() override { EXPECT_TRUE(pelted_enough()); }
};
inline const testing::Environment* const pelted_tests_ = testing::AddGlobalTestEnvironment(new pelted_tests);

}  // namespace testing_support
