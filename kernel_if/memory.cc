// Address space.
//
//   KM1  a reservation is one MAP_NORESERVE read-write mapping: untouched pages cost
//        nothing and are not charged against overcommit (PROT_NONE + mprotect would be).
//   KM2  a guard faults on any access, by the program or by the kernel on its behalf
//        (EFAULT), and survives sys_unused.  The probe asserts both.
//   KM3  guard regions (MADV_GUARD_INSTALL, Linux 6.13) need no VMA; mprotect guards take
//        two each and end at vm.max_map_count.  A mapping that refuses the first kind
//        (locked memory: mlockall) gets the second, whatever guard_mode() says.
#include "kernel_if/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <time.h>

#include <atomic>

#include "kernel_if/cpu.h"
#include "kernel_if/syscall.h"
#include "kernel_if/valgrind.h"

namespace rt0::kernel {

namespace {

// Linux 6.13 and 4.14; older headers lack the names.
constexpr int madv_guard_install = 102;
constexpr int madv_guard_remove = 103;
constexpr int madv_wipeonfork = 18;
constexpr int pr_set_vma = 0x53564d41;
constexpr int pr_set_vma_anon_name = 0;

// What the probe found; 0 before it.  Racing probes find the same.
std::atomic<int> probed{0};
// Set once a guard had to be made by mprotect although guard regions work (KM3).
std::atomic<bool> mixed{false};

std::size_t page() { return read_auxv(nullptr).page_size; }

long mmap_anon(std::size_t n) {
    return sysc(inject::mmap, SYS_mmap, nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool failed(long addr) { return addr < 0 && addr > -4096; }

// EAGAIN is what madvise says, for as long as that lasts, where a mapping cannot be split for vm.max_map_count.
int madvise_retry(inject call, void* p, std::size_t n, int advice) {
    long r;
    int tries = 0;
    do
        r = sysc(call, SYS_madvise, p, n, advice);
    while (r == -EINTR || (r == -EAGAIN && ++tries < 10));
    return static_cast<int>(r);
}

// Does the kernel, told to write to p, refuse?
bool faults(void* p) { return sysc(inject::guard_probe, SYS_clock_gettime, CLOCK_MONOTONIC, p) == -EFAULT; }

bool probe_guards() {
    // valgrind takes a new thread's stack to begin where its mapping does: guards must be borders of mappings.
    if (injected(inject::guard_probe) || under_valgrind()) return false;
    std::size_t n = page();
    long a = mmap_anon(n);
    if (failed(a)) return false;
    void* p = reinterpret_cast<void*>(a);
    auto advise = [&](int advice) { return madvise_retry(inject::guard_probe, p, n, advice) == 0; };
    bool ok = !faults(p) && advise(madv_guard_install) && faults(p) && advise(MADV_DONTNEED) && faults(p) &&
              advise(madv_guard_remove) && !faults(p);
    sys_free(p, n);
    return ok;
}

int mprotect_guard(void* p, std::size_t n, int prot) {
    return static_cast<int>(sysc(prot == PROT_NONE ? inject::mprotect : inject::guard_remove, SYS_mprotect, p, n, prot));
}

}  // namespace

void* sys_reserve(std::size_t n, std::size_t align) {
    long a = mmap_anon(n);
    if (failed(a)) return nullptr;
    auto at = static_cast<std::uintptr_t>(a);
    if ((at & (align - 1)) == 0) return reinterpret_cast<void*>(at);
    sys_free(reinterpret_cast<void*>(at), n);
    std::size_t slack = align - page();
    if (n + slack < n) return nullptr;
    a = mmap_anon(n + slack);
    if (failed(a)) return nullptr;
    at = static_cast<std::uintptr_t>(a);
    std::uintptr_t lo = (at + align - 1) & ~(align - 1);
    if (lo != at) sys_free(reinterpret_cast<void*>(at), lo - at);
    if (at + slack != lo) sys_free(reinterpret_cast<void*>(lo + n), at + slack - lo);
    return reinterpret_cast<void*>(lo);
}

void sys_free(void* p, std::size_t n) { sysc(inject::munmap, SYS_munmap, p, n); }

std::size_t sys_memory() {
    struct sysinfo i = {};
    if (sysc(inject::sysinfo, SYS_sysinfo, &i) != 0) return ~std::size_t{0};
    return (std::size_t{i.totalram} + i.totalswap) * (i.mem_unit ? i.mem_unit : 1);
}

int sys_unused(void* p, std::size_t n) {
    return madvise_retry(inject::madvise, p, n, MADV_DONTNEED);
}

int sys_hugepage(void* p, std::size_t n) {
    return madvise_retry(inject::madvise, p, n, MADV_HUGEPAGE);
}

int sys_nohugepage(void* p, std::size_t n) {
    return madvise_retry(inject::madvise, p, n, MADV_NOHUGEPAGE);
}

int sys_wipeonfork(void* p, std::size_t n) {
    return madvise_retry(inject::madvise, p, n, madv_wipeonfork);
}

int sys_own_pages(void* p, std::size_t n) {
    void* copy = sys_reserve(n, page());
    if (!copy) return -ENOMEM;
    __builtin_memcpy(copy, p, n);
    long to = sysc(inject::mremap, SYS_mremap, copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, p);
    if (!failed(to)) return 0;
    sys_free(copy, n);
    return sysc_sure(SYS_madvise, p, n, MADV_NORMAL) == -ENOMEM ? -EFAULT : static_cast<int>(to);
}

void sys_name(void* p, std::size_t n, const char* name) {
    sysc(inject::prctl, SYS_prctl, pr_set_vma, pr_set_vma_anon_name, p, n, name);
}

guard_kind guard_mode() {
    int v = probed.load(std::memory_order_relaxed);  // relaxed: the value is the whole message
    if (v == 0) {
        v = probe_guards() ? 1 : 2;
        probed.store(v, std::memory_order_relaxed);  // relaxed: as above
    }
    return v == 1 ? guard_kind::madvise : guard_kind::mprotect;
}

int guard_install(void* p, std::size_t n, bool may_map, bool* maps) {
    if (maps) *maps = false;
    if (guard_mode() == guard_kind::madvise) {
        int r = madvise_retry(inject::guard, p, n, madv_guard_install);
        if (r != -EINVAL) return r;
        mixed.store(true, std::memory_order_relaxed);  // relaxed: whoever removes this guard was handed it by us
    }
    if (maps) *maps = true;
    return may_map ? mprotect_guard(p, n, PROT_NONE) : -ENOSPC;
}

int guard_remove(void* p, std::size_t n) {
    bool regions = guard_mode() == guard_kind::madvise;
    if (regions) {
        int r = madvise_retry(inject::guard_remove, p, n, madv_guard_remove);
        if (r != 0) return r;
    }
    // relaxed: guard_install of this range happened before, in program order or by a lock.
    if (!regions || mixed.load(std::memory_order_relaxed)) return mprotect_guard(p, n, PROT_READ | PROT_WRITE);
    return 0;
}

}  // namespace rt0::kernel
