// From program counters to functions, files and lines.
//
//   SB1  symbolise() and put_function() may be called on any thread, in any state in
//        which malloc may be: libbacktrace maps its own memory, the demangler mallocs (not
//        in static programs, whose C++ runtime shows a form of it that does not; nor while
//        `naming` is below full).
//        Neither is called with a runtime lock or a scan bit held.
//   SB2  Both need up to 160 KiB of stack: call them on a system stack or a thread's.
//   SB3  The strings of a source_frame live as long as the process.
#pragma once
#include <cstdint>

#include "base/atomic.h"
#include "debug/sink.h"

namespace rt0::runtime {

struct source_frame {
    const char* function = nullptr;  // as the linker knows it, or null
    const char* file = nullptr;      // or null
    int line = 0;
    std::uintptr_t offset = 0;     // of the return address in the function that holds the code, inlined or not;
                                   // in the module's mapping where the function is not known
    const char* module = nullptr;  // path of the program or shared library, where the file is not known; or null
};

// How names are found; a report in a signal handler turns it down.
enum class naming_mode : std::uint8_t {
    full,   // demangled
    plain,  // nothing mallocs: nested names are taken apart by hand, others stay mangled
    none,   // modules and offsets alone: no lock, no system call
};
extern atomic<naming_mode> naming;

inline constexpr int max_inlined = 24;  // frames kept for one pc

// The frames at a return address, the innermost inlined one first; at least one.
// out has room for max_inlined.
int symbolise(std::uintptr_t return_address, source_frame* out);

// Plumbing that a user's trace leaves out: the runtime's own functions, its assembler
// entries, the unwinder, std::terminate and std::invoke.
bool is_plumbing(const source_frame& f);
// Anything in namespace rt0, public functions too.
bool is_rt0(const source_frame& f);

// The function's name as written in C++, "name()" for C functions.
void put_function(sink& out, const char* linkage_name);
// A type's name as written in C++; `name` as type_info::name() gives it.
void put_type(sink& out, const char* name);

}  // namespace rt0::runtime
