// Faults for child programs: RT0_TEST_INJECT=call:nth:err:count, several joined by ";",
// is armed by a static constructor, so before main and the boot.  Included by the one
// file of a program.  RT0_TEST_HITS: a file whose first four bytes count the faults met, also of a program that does not live to
// say so.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel_if/inject.h"

namespace testing_support {

inline const struct armed {
    armed() {
        if (const char* file = std::getenv("RT0_TEST_HITS")) {
            const int fd = open(file, O_RDWR | O_CLOEXEC);
            void* p = mmap(nullptr, sizeof(std::uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (p == MAP_FAILED) {
                std::perror(file);
                std::_Exit(98);
            }
            close(fd);
            rt0::kernel::inject_count_in(static_cast<std::atomic<std::uint32_t>*>(p));
        }
        for (const char* s = std::getenv("RT0_TEST_INJECT"); s && *s;) {
            unsigned call, nth;
            int err, count;
            if (std::sscanf(s, "%u:%u:%d:%d", &call, &nth, &err, &count) != 4 ||
                call >= static_cast<unsigned>(rt0::kernel::inject::calls)) {
                std::fprintf(stderr, "RT0_TEST_INJECT: cannot read '%s'\n", s);
                std::_Exit(98);
            }
            rt0::kernel::inject_fail(static_cast<rt0::kernel::inject>(call), nth, err, count);
            s = std::strchr(s, ';');
            if (s) s++;
        }
    }
} armed_before_main;

}  // namespace testing_support
