// Limits for child programs: RT0_TEST_LIMIT=KIND:VALUE, several joined by ";", is put on by a static constructor, so before
// main and the boot, but after the loader, whose needs are not rt0's.  Included by the one file of a program.
//     as:KIB      RLIMIT_AS, beyond what is mapped now
//     data:KIB    RLIMIT_DATA, the same
//     nofile:N    RLIMIT_NOFILE
//     user:UID    becomes that user
//     nproc:N     RLIMIT_NPROC; root is exempt
//     close:FD    closes it; -1: all
//     maps:N      mappings of its own until N more are left of vm.max_map_count
//     cgroup:DIR  goes into that control group
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace testing_support {

inline void limit(__rlimit_resource what, rlim_t n) {
    rlimit r = {n, n};
    if (setrlimit(what, &r) != 0) std::_Exit(97);
}

// Address space in use, bytes.
inline rlim_t mapped() {
    FILE* f = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (!f || std::fscanf(f, "%lu", &pages) != 1) std::_Exit(97);
    std::fclose(f);
    return pages * 4096;
}

// Neighbours differ in what they permit, so that each is a mapping.
inline void use_up_mappings(long leave) {
    static void* last[4096];
    long n = 0;
    for (void* p;; last[n++ % 4096] = p)
        if ((p = mmap(nullptr, 4096, n % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED) break;
    for (long i = 1; i <= leave && i <= n && i <= 4096; i++) munmap(last[(n - i) % 4096], 4096);
}

inline void put_on(const char* kind, const char* value) {
    auto is = [&](const char* k) { return std::strcmp(kind, k) == 0; };
    const long n = std::atol(value);
    if (is("as")) limit(RLIMIT_AS, mapped() + static_cast<rlim_t>(n) * 1024);
    else if (is("data")) limit(RLIMIT_DATA, mapped() + static_cast<rlim_t>(n) * 1024);
    else if (is("nofile")) limit(RLIMIT_NOFILE, static_cast<rlim_t>(n));
    else if (is("nproc")) limit(RLIMIT_NPROC, static_cast<rlim_t>(n));
    else if (is("maps")) use_up_mappings(n);
    else if (is("user") && setuid(static_cast<uid_t>(n)) == 0) return;
    else if (is("close") && n < 0) for (int fd = 0; fd < 1024; fd++) close(fd);
    else if (is("close")) close(static_cast<int>(n));
    else if (is("cgroup")) {
        int fd = open((std::string(value) + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1) std::_Exit(97);
        close(fd);
    } else std::_Exit(97);
}

inline const struct limited {
    limited() {
        std::string all = std::getenv("RT0_TEST_LIMIT") ?: "";
        for (char* one = std::strtok(all.data(), ";"); one; one = std::strtok(nullptr, ";"))
            if (char* colon = std::strchr(one, ':')) {
                *colon = 0;
                put_on(one, colon + 1);
            }
    }
} limited_before_main;

}  // namespace testing_support
