// Other threads' activity; activity.h has the contracts.
#include "kernel_if/activity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <atomic>
#include <charconv>
#include <cstring>
#include <string_view>

#include "kernel_if/sys.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

std::int64_t thread_cputime(std::int32_t tid) {
    // The kernel's clock id of a thread: ~tid << 3, per-thread bit 4, scheduler clock 2.
    const auto id = static_cast<std::uint32_t>(~tid) << 3 | 4 | 2;
    timespec ts;
    long r = sysc(inject::cputime, SYS_clock_gettime, static_cast<std::int32_t>(id), &ts);
    if (r < 0) return r;
    return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

namespace {

int open_of_thread(std::int32_t tid, const char* name) {
    char path[48] = "/proc/self/task/";
    char* at = path + std::strlen(path);
    at = std::to_chars(at, path + 32, tid).ptr;
    *at++ = '/';
    std::memcpy(at, name, std::strlen(name) + 1);
    return static_cast<int>(sysc(inject::activity, SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
}

// 0 or -errno.  -EBADF: it is not ours any more; some other thread closes what it finds, and may have opened something else.
int identify(activity_file* f) {
    struct stat st;
    const long r = sysc(inject::activity, SYS_fstat, f->fd, &st);
    if (r < 0) return static_cast<int>(r);
    if (!S_ISREG(st.st_mode)) return -EBADF;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    return 0;
}

}  // namespace

activity_file activity_open(std::int32_t tid) {
    int fd = open_of_thread(tid, "syscall");
    // The file is root's where the process has dropped root (PR_SET_DUMPABLE in proc(5)); the other is for everybody.
    if (fd == -EACCES || fd == -EPERM) fd = open_of_thread(tid, "stat");
    activity_file f{.fd = fd};
    if (fd < 0) return f;
    const int error = identify(&f);
    if (error == 0) return f;
    if (error != -EBADF) close_file(fd);
    return {.fd = error};
}

activity activity_read(const activity_file& f) {
    char text[64];
    long n;
    do
        n = sysc(inject::activity, SYS_pread64, f.fd, text, sizeof text, 0);
    while (n == -EINTR);
    if (n <= 0) return activity::unknown;
    // syscall: "running", or a system call's number and arguments, or -1 for a thread that waits for a page.
    // stat: "TID (NAME) STATE ...", the name of 15 bytes at most.
    std::string_view what(text, static_cast<std::size_t>(n));
    const std::size_t name_end = what.rfind(") ");
    const bool running = name_end == what.npos ? what[0] == 'r' : what.substr(name_end + 2).starts_with('R');
    return running ? activity::running : activity::blocked;
}

void activity_close(const activity_file& f) {
    activity_file now{.fd = f.fd};
    if (identify(&now) == 0 && now.device == f.device && now.inode == f.inode) close_file(f.fd);
}

activity activity_now(std::int32_t tid) {
    const activity_file f = activity_open(tid);
    if (f.fd < 0) return activity::unknown;
    activity a = activity_read(f);
    activity_close(f);
    return a;
}

namespace {

int set_class(inject call, std::int32_t tid, int policy, int priority = 0) {
    sched_param param = {};
    param.sched_priority = priority;
    return static_cast<int>(sysc(call, SYS_sched_setscheduler, tid, policy, &param));
}

int change_class(std::int32_t tid, int from, int to) {
    long now = sysc(inject::idle_class, SYS_sched_getscheduler, tid);
    if (now < 0) return static_cast<int>(now);
    if ((now & ~SCHED_RESET_ON_FORK) != from) return -EINVAL;
    return set_class(inject::idle_class, tid, to | static_cast<int>(now & SCHED_RESET_ON_FORK));
}

bool has_class(std::int32_t tid, int policy) {
    long now = sysc(inject::idle_class, SYS_sched_getscheduler, tid);
    return now >= 0 && (now & ~SCHED_RESET_ON_FORK) == policy;
}

}  // namespace

int realtime_enter() {
    long now = sysc(inject::realtime, SYS_sched_getscheduler, 0);
    if (now < 0) return static_cast<int>(now);
    if ((now & ~SCHED_RESET_ON_FORK) != SCHED_OTHER) return -EINVAL;
    return set_class(inject::realtime, 0, SCHED_FIFO | SCHED_RESET_ON_FORK, 1);
}
// The flag stays: clearing it takes CAP_SYS_NICE.
int realtime_leave() { return set_class(inject::realtime, 0, SCHED_OTHER | SCHED_RESET_ON_FORK); }

int idle_class_enter(std::int32_t tid) { return change_class(tid, SCHED_OTHER, SCHED_IDLE); }
int idle_class_leave(std::int32_t tid) { return change_class(tid, SCHED_IDLE, SCHED_OTHER); }

bool idle_class_now() { return has_class(0, SCHED_IDLE); }
bool idle_class_may_enter(std::int32_t tid) { return has_class(tid, SCHED_OTHER); }

namespace {

std::atomic<bool> permitted{false};  // [const] after boot
bool by_right = false;               // what grants it can be looked up [const] after boot

// An error (the thread is gone): it has none.
bool has_right(std::int32_t tid) {
    __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, tid};
    __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {};
    if (sysc(inject::idle_class, SYS_capget, &head, caps) == 0 && (caps[0].effective >> CAP_SYS_NICE & 1) != 0) return true;
    rlimit64 nice = {};
    return sysc(inject::idle_class, SYS_prlimit64, 0, RLIMIT_NICE, nullptr, &nice) == 0 && nice.rlim_cur >= 20;
}

}  // namespace

void idle_class_probe() {
    // relaxed, here and below: a fact of its own.
    permitted.store(idle_class_enter(0) == 0 && idle_class_leave(0) == 0, std::memory_order_relaxed);
    by_right = has_right(0);
}
bool idle_class_permitted() { return permitted.load(std::memory_order_relaxed); }  // relaxed: as above
bool idle_class_permitted_to(std::int32_t tid) { return idle_class_permitted() && (!by_right || has_right(tid)); }

}  // namespace rt0::kernel
