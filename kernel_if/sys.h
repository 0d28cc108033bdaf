// Small system calls that fit nowhere else.
#pragma once
#include <cstddef>

namespace rt0::kernel {

// write(2), restarted after EINTR and short writes.  waits: for room, also where somebody has made fd non-blocking; a report
// that nobody reads must end.  Bytes written, or -errno.
long write_all(int fd, const void* p, std::size_t n, bool waits = false);
// Whether a short write would not block; yes where the kernel does not say.
bool has_room(int fd);
// Opened for reading, close-on-exec; the descriptor or -errno.
long open_file(const char* path);
void close_file(long fd);
// The whole of a small file (procfs, sysfs) into buf, NUL-terminated; length or -errno.
long read_small_file(const char* path, char* buf, std::size_t cap);
// Is this process 1 of its pid namespace, as a container's first is?  It gets no signal that it has no handler for, but for faults
// of its own (signal(7)).
bool is_init();
// Ends the process at once: no atexit handlers.
[[noreturn]] void exit_group(int status);
// MODE=coverage: writes gcov's counters out, which else only exit() does; for ends without it.  Not in a child
// that has the counters on loan.
#ifdef RT0_COVERAGE
void dump_coverage();
#else
inline void dump_coverage() {}
#endif
// Timer slack of the calling thread, ns (PR_SET_TIMERSLACK); timed futex waits overshoot by it.
void set_timer_slack(unsigned long ns);
// Name of the calling thread as shown by ps, top and perf; 15 bytes are kept.
void set_thread_name(const char* name);

}  // namespace rt0::kernel
