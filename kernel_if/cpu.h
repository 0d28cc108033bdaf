// What the process was started with and on: auxiliary vector, processors, page sizes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::kernel {

// Processors this process may use: the affinity mask, then the cgroup CPU quota (v1
// and v2, the tightest of all ancestors, rounded up) as an upper bound.  At least 1.
// `root` is put before /proc and /sys paths, for tests.
int getproccount(const char* root = "");

// The CPU quota of this process's control groups alone, in processors, rounded up; 0
// when there is none.
int getcpuquota(const char* root = "");

// Transparent huge page size in bytes; 0 when the kernel has none or the value is no
// power of two.
std::size_t getHugePageSize(const char* root = "");

struct auxv {
    std::size_t page_size = 4096;
    std::uint64_t hwcap = 0, hwcap2 = 0;
    const std::uint8_t* random = nullptr;  // AT_RANDOM: 16 bytes
    const void* vdso = nullptr;            // AT_SYSINFO_EHDR
    std::size_t minsigstksz = 2048;        // AT_MINSIGSTKSZ
};

// Walks the vector behind envp; with envp null reads getauxval (on amd64 glibc then gives
// hwcap bits of its own).
auxv read_auxv(char* const* envp);

}  // namespace rt0::kernel
