// Address space: reserving, returning, guarding.  Sizes and addresses are multiples
// of the page size (cpu.h) unless said otherwise.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::kernel {

// Reserves read-write memory that costs nothing until touched (MAP_NORESERVE), aligned
// to `align` (a power of two >= page).  Null when the kernel refuses (RLIMIT_AS,
// overcommit_memory=2, address space); the caller asks for less.
void* sys_reserve(std::size_t n, std::size_t align);
void sys_free(void* p, std::size_t n);
// Bytes of memory and swap that this machine has; the largest number when the kernel does not say.
std::size_t sys_memory();

// Gives the pages back; the range stays mapped and reads as zero (MADV_DONTNEED). -errno.
int sys_unused(void* p, std::size_t n);

int sys_hugepage(void* p, std::size_t n);    // MADV_HUGEPAGE; -errno
int sys_nohugepage(void* p, std::size_t n);  // MADV_NOHUGEPAGE; -errno
int sys_wipeonfork(void* p, std::size_t n);  // MADV_WIPEONFORK: a forked child reads zeroes there; -errno
// Gives the pages of a static object, n bytes at p, a mapping of their own with the same contents: for advice that the
// kernel takes for anonymous memory only.  Nobody else may use them meanwhile.  -errno: they are as they were;
// -EFAULT: the kernel could not, and has unmapped them.
int sys_own_pages(void* p, std::size_t n);
void sys_name(void* p, std::size_t n, const char* name);  // PR_SET_VMA_ANON_NAME; refused on some kernels, ignored

enum class guard_kind { madvise, mprotect };
guard_kind guard_mode();  // probed on first use: a system call on an installed guard must give EFAULT

// Makes [p, p+n) fault on any access.  Survives sys_unused.  0 or -errno (mprotect
// guards: -ENOMEM at vm.max_map_count, about 32,700 guards).  Without may_map -ENOSPC where it would cost two mappings.
// *maps: whether it does, or would.
int guard_install(void* p, std::size_t n, bool may_map = true, bool* maps = nullptr);
int guard_remove(void* p, std::size_t n);

}  // namespace rt0::kernel
