// The parser that judges reports must refuse what is not in Go's format.
#include <gtest/gtest.h>

#include "tests/support/report.h"

namespace testing_support {
namespace {

const std::string good =
    "panic: x\n\ngoroutine 1 [running, \"n\"]:\nf(int)\n\ta.cc:3 +0x1d\n...7 frames elided...\ng() const\n\t/b.cc:0\n"
    "created by h() in goroutine 12\n\tb.cc:4 +0x2\n\ngoroutine 2 [chan receive]:\n"
    "\tgoroutine running on other thread; stack unavailable\n";

TEST(Report, Parts) {
    report r = parse_report(good);
    EXPECT_EQ(r.error, "");
    EXPECT_EQ(r.head, "panic: x");
    ASSERT_EQ(r.blocks.size(), 2u);
    const report_block& b = r.blocks[0];
    ASSERT_EQ(b.frames.size(), 2u);
    EXPECT_EQ(b.frames[0].function, "f(int)");
    EXPECT_EQ(b.frames[0].file, "a.cc");
    EXPECT_EQ(b.frames[0].line, 3);
    EXPECT_TRUE(b.elided);
    EXPECT_EQ(b.created_by, "h()");
    EXPECT_EQ(b.created_in, "12");
    EXPECT_TRUE(b.has("f", "a.cc"));
    EXPECT_FALSE(b.has("f", "b.cc"));
    EXPECT_FALSE(b.has("fo", "a.cc"));
    EXPECT_TRUE(r.blocks[1].unavailable);
    EXPECT_EQ(r.count("[chan receive]:"), 1);
    EXPECT_EQ(r.find("[select]:"), nullptr);
}

TEST(Report, RefusesWhatIsOutOfFormat) {
    for (const char* bad : {"p\n\ngoroutine x [running]:\n", "p\n\ngoroutine 1 [running]\n", "p\n\ngoroutine 1 []:\n",
                            "p\n\ngoroutine 1 [running]:\nf()\n", "p\n\ngoroutine 1 [running]:\nf()\na.cc:1\n",
                            "p\n\ngoroutine 1 [running]:\nf\n\ta.cc:1\n", "p\n\ngoroutine 1 [running]:\nf()\n\ta.cc\n",
                            "p\n\ngoroutine 1 [running]:\nf()\n\ta.cc:1 +0xg\n",
                            "p\n\ngoroutine 1 [running]:\ncreated by f() in goroutine 1\n\ta.cc:1\ng()\n\ta.cc:1\n",
                            "p\n\ngoroutine 1 [running]:\n\n", "p\n\nmore text\n", "p"})
        EXPECT_NE(parse_report(bad).error, "") << bad;
}

}  // namespace
}  // namespace testing_support
