// Three kinds of error: user misuse is a panic or an exception, exhausted
// resources a status, and what stands here is for the rest: a fatal line for a limit
// that must be raised, and runtime_throw for a runtime that found itself broken.
// Nothing here allocates; all of it may be called with any lock held.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/atomic.h"

namespace rt0::runtime {

// "fatal error: <what>", the trace of the current goroutine or thread, status 2.
[[noreturn]] void runtime_throw(const char* what);
// The same with lines of facts before it, "runtime: ..." in Go's words; part of the report (RP1).
[[noreturn]] void runtime_throw(std::string_view facts, const char* what);

// "fatal error: <what>" with all goroutines' traces (user deadlock, misuse of a lock), status 2.
[[noreturn]] void fatal(std::string_view what);

// "rt0: <text>" on stderr, one write; for warnings and the one clear line before exit(2).  Nothing while
// another thread reports (RP4).
void warn(std::string_view text);
[[noreturn]] void die(std::string_view text);
// "rt0: out of memory for <what> (see <memory_limits>)".
[[noreturn]] void out_of_memory(std::string_view what);
inline constexpr std::string_view memory_limits = "ulimit -v, ulimit -d, vm.overcommit_memory, vm.max_map_count";

// ---- the report that ends the process (throw.cc: RP1-RP6); panics use it too.
// To standard error, a warning's or a report's words.  Async-signal-safe.
void report_write(std::string_view text);
// Returns to one thread only, which must go on to report_end().
void report_begin();
[[noreturn]] void report_end();  // status 2
void report_take();              // the report is stuck: it is the caller's from here on (RP6)
void report_stay_if_taken();     // does not return to the thread that it was taken from
std::int32_t report_thread();    // whose it is
bool report_bar();               // the process ends otherwise, now (RP5); false: a report has begun
void report_forked();            // in a forked child: a report of the parent's is none of ours
void report_seed();              // "schedseed=N" or "chaos=N" on stderr, if the scheduler decides by a seed: after the line
                                 // that says what is wrong
bool reporting();                // the calling thread is between the two
extern atomic<std::uint32_t> panicking;  // 1 from report_begin on: exit paths let the report finish

// A line built in place, for messages with numbers; truncates at its capacity.
class textbuf {
public:
    static constexpr std::size_t capacity = 511;  // bytes, without the NUL of c_str

    textbuf& operator<<(std::string_view s);
    textbuf& operator<<(const char* s) { return *this << std::string_view(s); }
    textbuf& operator<<(char c) { return *this << std::string_view(&c, 1); }
    textbuf& operator<<(std::int64_t v);
    textbuf& operator<<(std::uint64_t v);
    textbuf& operator<<(int v) { return *this << static_cast<std::int64_t>(v); }
    textbuf& operator<<(unsigned v) { return *this << static_cast<std::uint64_t>(v); }
    textbuf& operator<<(const void* p);  // as 0x…
    std::string_view view() const { return {buf_, n_}; }
    operator std::string_view() const { return view(); }
    const char* c_str() { buf_[n_] = 0; return buf_; }

private:
    char buf_[capacity + 1];
    std::size_t n_ = 0;
};

}  // namespace rt0::runtime
