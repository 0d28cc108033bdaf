// textbuf and sink: numbers at their limits, truncation, flushing.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "base/throw.h"
#include "debug/sink.h"

namespace rt0::runtime {
namespace {

template <class T>
std::string text(T v) {
    return std::string((textbuf() << v).view());
}

TEST(Textbuf, NumbersAtTheirLimits) {
    EXPECT_EQ(text(0), "0");
    EXPECT_EQ(text(-1), "-1");
    EXPECT_EQ(text(7u), "7");
    EXPECT_EQ(text(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
    EXPECT_EQ(text(std::numeric_limits<std::int64_t>::max()), "9223372036854775807");
    EXPECT_EQ(text(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
}

TEST(Textbuf, PointersAreHexadecimal) {
    EXPECT_EQ(text(static_cast<const void*>(nullptr)), "0x0");
    EXPECT_EQ(text(reinterpret_cast<const void*>(std::uintptr_t{0xdeadBEEF})), "0xdeadbeef");
    EXPECT_EQ(text(reinterpret_cast<const void*>(~std::uintptr_t{0})), "0xffffffffffffffff");
}

TEST(Textbuf, TruncatesAndStaysTerminated) {
    textbuf t;
    std::string part(100, 'x');
    for (int i = 0; i < 20; i++) t << part;
    t << 12345;
    EXPECT_EQ(t.view(), std::string(textbuf::capacity, 'x'));
    EXPECT_EQ(std::string(t.c_str()).size(), textbuf::capacity);
}

TEST(Textbuf, EmptyAndMixed) {
    textbuf t;
    EXPECT_EQ(t.view(), "");
    EXPECT_STREQ(t.c_str(), "");
    t << "a" << 'b' << std::string_view() << -2 << std::string_view("c\0d", 3);
    EXPECT_EQ(t.view(), std::string_view("ab-2c\0d", 7));
}

TEST(Sink, PassesEverythingOnInOrder) {
    std::string got, want;
    sink out([](void* to, std::string_view s) { static_cast<std::string*>(to)->append(s); }, &got);
    for (int i = 0; i < 5000; i++) {
        out << i << ' ' << "line" << '\n';
        want += std::to_string(i) + " line\n";
    }
    out.flush();
    EXPECT_EQ(got, want);
    out.flush();
    EXPECT_EQ(got, want);
}

TEST(Sink, EndLineEndsALineOnce) {
    std::string got;
    sink out([](void* to, std::string_view s) { static_cast<std::string*>(to)->append(s); }, &got);
    out.end_line();
    EXPECT_EQ(got, "");
    out << "a";
    out.flush();
    out.end_line();
    out.end_line();
    out << "b\n";
    out.end_line();
    EXPECT_EQ(got, "a\nb\n");
}

}  // namespace
}  // namespace rt0::runtime
