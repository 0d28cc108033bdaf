// Legal programs that are not common (odd_prog.cc).
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/support/child.h"
#include "tests/support/kthreads.h"

using namespace testing_support;

namespace {

child_result run(const std::string& scene, const std::string& prog = "odd_prog") {
    return run_child({built_program("tests/crash/" + prog), scene}, {});
}

TEST(Odd, MoreThreadLocalsThanAnMsStackHasRoomFor) {
    for (const char* prog : {"odd_prog", "odd_own_main_prog"}) {
        child_result r = run("runs", prog);
        EXPECT_EQ(r.status, 0) << r.summary();
        EXPECT_EQ(r.out, "8 threads\n");
        EXPECT_EQ(r.err, "");
    }
}

// sysmon keeps descriptors of what threads do; after this they are the program's.
TEST(Odd, DescriptorsThatTheProgramClosed) {
    child_result r = run("closes_all");
    EXPECT_EQ(r.status, 0) << r.summary();
    EXPECT_EQ(r.out, "done\n") << r.summary();
    EXPECT_EQ(r.err, "");
}

TEST(Odd, AContextOfStaticStorageWhoseParentIsInUse) {
    for (int i = 0; i < 50; i++) {
        child_result r = run("static_context");
        ASSERT_EQ(r.status, 0) << i << r.summary();
        ASSERT_EQ(r.out, "done\n");
    }
}

// A container's first process gets no signal that it has no handler for, however often it is sent again; its own faults end it.
TEST(Odd, TheFirstProcessOfANamespaceEndsAfterItsReport) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's handler of faults came first";
    auto first = [](const std::string& prog, const std::string& scene = "") {
        return run_child({"/usr/bin/unshare", "-pf", "--kill-child", "--mount-proc", prog, scene}, {});
    };
    if (first("/bin/true").status != 0) GTEST_SKIP() << "no namespaces to be had";
    const std::string prog = built_program("tests/crash/signal_prog");
    child_result r = first(prog, "raise_segv");
    EXPECT_EQ(r.status, 128 + SIGSEGV) << r.summary();
    EXPECT_EQ(r.err.find("fatal error: unexpected signal\n"), 0u) << r.summary();
    r = first(prog, "read_null");
    EXPECT_EQ(r.signal, SIGSEGV) << r.summary();  // unshare ends as its child did
    EXPECT_EQ(r.err.find("unexpected fault address 0x0\nfatal error: fault\n"), 0u) << r.summary();
}

}  // namespace
