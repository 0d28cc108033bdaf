// Small system calls that fit nowhere else.
#include "kernel_if/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <poll.h>

#include "kernel_if/fork.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

long write_all(int fd, const void* p, std::size_t n, bool waits) {
    auto* s = static_cast<const char*>(p);
    std::size_t done = 0;
    while (done < n) {
        long r = sysc(inject::write, SYS_write, fd, s + done, n - done);
        if (r == -EINTR) continue;
        if (r == -EAGAIN && waits) {
            pollfd room{fd, POLLOUT, 0};
            r = sysc(inject::write, SYS_ppoll, &room, 1, nullptr, nullptr, 0);
            if (r >= 0 || r == -EINTR) continue;
        }
        if (r < 0) return r;
        if (r == 0) return -EIO;  // no progress and no error: do not try for ever
        done += static_cast<std::size_t>(r);
    }
    return static_cast<long>(done);
}

bool has_room(int fd) {
    pollfd room{fd, POLLOUT, 0};
    const timespec now{};
    return sysc(inject::write, SYS_ppoll, &room, 1, &now, nullptr, 0) != 0;
}

long open_file(const char* path) {
    long fd;
    do
        fd = sysc(inject::file, SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    while (fd == -EINTR);
    return fd;
}

// Whatever the kernel answers, the descriptor is free.
void close_file(long fd) { sysc_sure(SYS_close, fd); }

long read_small_file(const char* path, char* buf, std::size_t cap) {
    if (cap == 0) return -EINVAL;
    buf[0] = 0;
    long fd = open_file(path);
    if (fd < 0) return fd;
    std::size_t n = 0;
    long r = 0;
    while (n < cap - 1) {
        r = sysc(inject::file, SYS_read, fd, buf + n, cap - 1 - n);
        if (r == -EINTR) continue;
        if (r <= 0) break;
        n += static_cast<std::size_t>(r);
    }
    close_file(fd);
    if (r < 0) n = 0;
    buf[n] = 0;
    return r < 0 ? r : static_cast<long>(n);
}

bool is_init() { return sysc_sure(SYS_getpid) == 1; }

#ifdef RT0_COVERAGE
extern "C" void __gcov_dump();
void dump_coverage() {
    if (!borrowed_memory()) __gcov_dump();
}
#endif

void exit_group(int status) {
    dump_coverage();
    for (;;) sysc_sure(SYS_exit_group, status);
}

void set_timer_slack(unsigned long ns) { sysc(inject::prctl, SYS_prctl, PR_SET_TIMERSLACK, ns); }

void set_thread_name(const char* name) { sysc(inject::prctl, SYS_prctl, PR_SET_NAME, name); }

}  // namespace rt0::kernel
