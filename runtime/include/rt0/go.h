// Goroutines: starting, joining, the process around them.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rt0/detail/now.h>
#include <rt0/detail/spawn.h>

namespace rt0 {

/// Options of one goroutine.
struct go_options {
    std::string_view name{};     ///< shown in dumps; the first 31 bytes are kept
    std::size_t stack_size = 0;  ///< bytes including the guard, rounded up to a power of two, at least 32 KiB; 0: 64 KiB
};

/// Starts f(a...) on a new goroutine.  Arguments are moved or copied in; move-only ones
/// are fine.  Does not block.  Callables of up to 256 bytes live on the new stack.
/// Throws std::invalid_argument for an empty std::function or a null function pointer,
/// std::length_error for a stack over 1 GiB, std::bad_alloc when there is no memory for
/// a stack, and whatever moving f and a throws; in each case no goroutine starts.
/// Source: the go statement, Go's newproc.
template <class F, class... A>
    requires(!std::same_as<std::remove_cvref_t<F>, go_options>)
[[gnu::always_inline]] inline void go(F&& f, A&&... a) {
    detail::spawn(go_options{}, detail::bind_call(std::forward<F>(f), std::forward<A>(a)...));
}
template <class F, class... A>
[[gnu::always_inline]] inline void go(go_options o, F&& f, A&&... a) {
    detail::spawn(o, detail::bind_call(std::forward<F>(f), std::forward<A>(a)...));
}

/// Number of processors goroutines run on; n > 0 sets it, more than 1,024 to that.  Returns the former value.  Under
/// RT0DEBUG=schedseed=N it stays 1.
int gomaxprocs(int n = 0);
int num_cpu();        ///< processors this process may use: affinity and cgroup quota
int num_goroutine();  ///< goroutines that exist, the runtime's own not counted
int num_thread();     ///< threads of the operating system that the runtime holds
/// Limit on threads, 10,000 at start, not counting those that the program made itself; returns the former value.  More than n
/// now is fatal; later on goroutines wait, unless every thread is locked (README, Limits).  n < 1 is a panic.
int set_max_threads(int n);

/// "panic: <what>", the goroutine's trace, exit status 2.
[[noreturn]] void panic(std::string_view what);
/// Flushes stdio, runs atexit handlers and static destructors, ends the process; in one of them once more: the others run, and
/// this code counts.  They run when nobody else goes on: README says what they may do.
[[noreturn]] void exit(int code);
/// All goroutines with their stacks, in Go's format, while they run on.  Throws std::bad_alloc.
std::string stack_dump();
/// The command line; in static constructors, too.
std::span<char* const> args();

/// Runs f() as a system call: while it blocks, the P serves other goroutines.  f may call rt0.  Where others, back from
/// such calls, wait for a P, and the goroutine's last one blocked, they have a turn each before f begins.  Under
/// RT0DEBUG=schedseed=N f() keeps the P.
template <class F>
auto blocking(F&& f) {
    detail::syscall_scope in_kernel;
    return std::forward<F>(f)();
}

/// One line on stdout, blanks between the values; lines of several goroutines and threads do not mix. In one write(2), where
/// that takes all of it; blocks as that does.  Throws std::bad_alloc.
template <class... T>
void println(const T&... v) {
    detail::line out;
    (out.add(v), ...);
    out.write();
}

namespace this_goroutine {
std::uint64_t id();                             ///< never used again for another goroutine
std::string_view name();                        ///< go_options::name; empty if none was given
void yield();                                   ///< to the back of the run queue
/// d <= 0: yields.  By rt0::now().  As late as a thread that sleeps so long; and if all processors idle, where timers come thick,
/// up to 500 us later: they are run in groups then, 30 us apart for each that the last group had.
void sleep_for(std::chrono::nanoseconds d);
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
    sleep_for(detail::at_most(d));
}
template <class C, class D>
void sleep_until(std::chrono::time_point<C, D> t) {
    for (auto left = detail::left_until(t); left.count() > 0; left = detail::left_until(t)) sleep_for(left);
}
void lock_os_thread();    ///< stay on this thread, alone, until unlocked as often; a locked goroutine's end ends its thread
void unlock_os_thread();
/// Ends the goroutine by forced unwinding, as pthread_exit ends a thread.  Panics on a thread that is no goroutine.
[[noreturn]] void exit();
std::size_t stack_remaining();  ///< bytes between here and the guard
}  // namespace this_goroutine

}  // namespace rt0

#include <rt0/detail/task.h>
