// libbacktrace for files, lines and inlined frames, the ELF symbol for the function
// that holds the code (DWARF gives local functions without their parameters), the
// C++ runtime's demangler for the names.
//
// Stripped shared libraries name only what they export; the frames between are known by
// their module (_dl_find_object: no lock, no allocation).
//
// Rejected: dladdr and backtrace_symbols (exported names only, loader's lock, malloc);
// addr2line as a child process (a fork in a dying process).
#include "debug/symbolise.h"

#include <backtrace.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/atomic.h"
#include "base/throw.h"

// libstdc++'s demangler without malloc; its shared library does not export it.
extern "C" __attribute__((weak)) int __gcclibcxx_demangle_callback(const char*, void (*)(const char*, std::size_t, void*),
                                                                   void*);

namespace rt0::runtime {

constinit atomic<naming_mode> naming{naming_mode::full};

#ifdef RT0_TSAN
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace {

// While libbacktrace runs: it is not instrumented, so that ThreadSanitizer sees its memcpy and mmap, but not the
// locks and atomics that order them.
struct unseen {
#ifdef RT0_TSAN
    unseen() {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    ~unseen() {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
    unseen(const unseen&) = delete;
    unseen& operator=(const unseen&) = delete;
#else
    unseen() {}  // not trivial: its object is used
#endif
};

void ignore_error(void*, const char*, int) {}

backtrace_state* state() {
    static atomic<backtrace_state*> made{nullptr};
    // ORDER(symboliser): acquire; pairs with the release half of the exchange below.
    backtrace_state* s = made.load(memory_order_acquire);
    if (s) return s;
    s = backtrace_create_state(nullptr, 1, ignore_error, nullptr);
    backtrace_state* other = nullptr;
    // ORDER(symboliser): acq_rel; pairs with the load above.  The loser's state is a few words, never freed.
    if (s && !made.compare_exchange_strong(other, s, memory_order_acq_rel, memory_order_acquire)) return other;
    return s;
}

struct lookup {
    source_frame* out;
    int n = 0;
    const char* symbol = nullptr;
    std::uintptr_t start = 0;
};

int on_frame(void* arg, std::uintptr_t, const char* file, int line, const char* function) {
    auto* l = static_cast<lookup*>(arg);
    if (l->n == max_inlined) l->n--;  // the outermost, which comes last, is kept
    l->out[l->n++] = {.function = function, .file = file, .line = line, .offset = 0, .module = nullptr};
    return 0;
}

void on_symbol(void* arg, std::uintptr_t, const char* name, std::uintptr_t start, std::uintptr_t) {
    auto* l = static_cast<lookup*>(arg);
    l->symbol = name;
    l->start = start;
}

bool starts_with(const char* s, const char* prefix) { return std::strncmp(s, prefix, std::strlen(prefix)) == 0; }

// The part of a mangled name behind "_Z" and the marks for "nested", "local" and
// "const member"; null for a name that is not C++.
const char* mangled_path(const char* name) {
    if (!name || !starts_with(name, "_Z")) return nullptr;
    name += 2;
    while (*name == 'Z' || *name == 'N' || *name == 'K') name++;
    return name;
}

template <std::size_t N>
bool any_prefix(const char* s, const char* const (&prefixes)[N]) {
    for (const char* p : prefixes)
        if (starts_with(s, p)) return true;
    return false;
}

constexpr const char* plumbing_cxx[] = {
    "3rt07runtime",     "3rt06detail",
    "3rt06kernel",      "3rt04arch",
    "3rt05panic",       "3rt02goI",
    "3rt05spawnI",      "3rt08blockingI",
    "3rt010stack_dump", "10__cxxabiv1",
    "St9terminate",     "St11__terminate",
    "St10unexpected",   "9__gnu_cxx27__verbose_terminate_handler",
    "St8__invoke",      "St13__invoke",
    "St6invokeI",       "St5applyI",
    "St12__apply_impl", "St17_Function_handler",
    "St8functionI",
};
constexpr const char* plumbing_c[] = {
    "__cxa_",   "_Unwind_",  "__gxx_personality", "__gcc_personality", "rt0_switch",
    "rt0_gogo", "rt0_mcall", "rt0_oncall",        "rt0_goentry",       "rt0_unwind_saved",
};

int take_file(void* arg, std::uintptr_t, const char* file, int, const char*) {
    *static_cast<const char**>(arg) = file;  // the last, outermost frame is the function's own
    return 0;
}

// Local functions that were inlined have no linkage name: their file tells.  The folder
// of the runtime's sources is wherever this file was compiled.
bool is_own_file(const char* file) {
    static constexpr std::string_view me = "debug/symbolise.cc";
    static atomic<const char*> self{nullptr};
    if (!file) return false;
    if (std::strstr(file, "/rt0/detail/")) return true;
    const char* mine = self.load(memory_order_relaxed);  // relaxed: a string of libbacktrace's, always the same
    if (!mine && state()) {
        unseen here;
        backtrace_pcinfo(state(), reinterpret_cast<std::uintptr_t>(&symbolise) + 1, take_file, ignore_error, &mine);
        if (!mine) return false;
        self.store(mine, memory_order_relaxed);  // relaxed: as above
    }
    std::string_view root(mine ? mine : "");
    if (!root.ends_with(me)) return false;
    root.remove_suffix(me.size());
    static constexpr const char* const folders[] = {"base/", "mem/", "sched/", "gc/",
                                                    "chan/", "io/",  "debug/", "main/"};
    return std::string_view(file).starts_with(root) && any_prefix(file + root.size(), folders);
}

// The shared object or program that holds pc: its path, and where it was mapped.
void find_module(std::uintptr_t pc, source_frame* f) {
    dl_find_object found;
    if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0 || !found.dlfo_link_map) return;
    const char* name = found.dlfo_link_map->l_name;
    f->module = name && *name ? name : program_invocation_name;
    if (!f->function) f->offset = pc + 1 - reinterpret_cast<std::uintptr_t>(found.dlfo_map_start);
}

// Inner functions of the C++ runtime, which only static programs know by name.
bool is_cxx_runtime(const char* module) {
    return module && (std::strstr(module, "/libstdc++.so") || std::strstr(module, "/libgcc_s.so"));
}

constexpr std::size_t max_mangled = 1500;  // bytes; the demangler takes about 80 bytes of stack for each (SB2)

// Names nobody wants to read in full.
struct short_name {
    std::string_view longname, shortname;
};
constexpr short_name short_names[] = {
    {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"},
    {"std::basic_string_view<char, std::char_traits<char> >", "std::string_view"},
    {"[abi:cxx11]", ""},
};

void put_short(sink& out, std::string_view s) {
    while (!s.empty()) {
        bool found = false;
        for (auto& r : short_names) {
            if (!s.starts_with(r.longname)) continue;
            out << r.shortname;
            s.remove_prefix(r.longname.size());
            found = true;
        }
        if (found) continue;
        out << s.substr(0, 1);
        s.remove_prefix(1);
    }
}

// "_ZN3foo3barEv" and "_Z3barv" without a demangler: "foo::bar"; false for anything else.
bool put_nested(sink& out, const char* s) {
    s += 2;
    bool nested = *s == 'N';
    if (nested) s++;
    while (nested && *s == 'K') s++;
    bool first = true;
    while (*s >= '1' && *s <= '9') {
        std::size_t n = 0;
        while (*s >= '0' && *s <= '9' && n < max_mangled) n = 10 * n + static_cast<std::size_t>(*s++ - '0');
        if (n > std::strlen(s)) break;
        if (!first) out << "::";
        std::string_view part(s, n);
        out << (part.starts_with("_GLOBAL__N") ? "(anonymous namespace)" : part);
        s += n;
        first = false;
        if (!nested) break;
    }
    if (first) return false;
    if (nested && *s != 'E') out << "...";  // a template's arguments, a constructor, an operator
    out << "(...)";
    return true;
}

struct piece {  // what the demangler hands over, a few characters at a time
    sink* out;
    char text[2 * max_mangled];
    std::size_t n = 0;
};
void take_piece(const char* s, std::size_t n, void* arg) {
    auto* p = static_cast<piece*>(arg);
    if (n > sizeof p->text - p->n) {
        put_short(*p->out, {p->text, p->n});
        p->n = 0;
    }
    if (n > sizeof p->text) return put_short(*p->out, {s, n});
    std::memcpy(p->text + p->n, s, n);
    p->n += n;
}

// True when the name was a C++ one and has been written.
bool put_demangled(sink& out, const char* mangled) {
    if (std::strlen(mangled) > max_mangled) return false;
    if (__gcclibcxx_demangle_callback) {
        piece p{&out, {}, 0};
        if (__gcclibcxx_demangle_callback(mangled, take_piece, &p) != 0) return false;
        put_short(out, {p.text, p.n});
        return true;
    }
    // relaxed: set before by this thread, or by the watchdog, late for one name at most.
    if (naming.load(memory_order_relaxed) != naming_mode::full) return starts_with(mangled, "_Z") && put_nested(out, mangled);
    int status = 0;
    char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
    if (!text) return false;
    put_short(out, text);
    std::free(text);
    return true;
}

}  // namespace

int symbolise(std::uintptr_t return_address, source_frame* out) {
    std::uintptr_t pc = return_address - 1;  // inside the call instruction
    lookup l{out};
    // relaxed: as in put_demangled.
    backtrace_state* s = naming.load(memory_order_relaxed) == naming_mode::none ? nullptr : state();
    if (s) {
        unseen here;
        backtrace_pcinfo(s, pc, on_frame, ignore_error, &l);
        backtrace_syminfo(s, pc, on_symbol, ignore_error, &l);
        report_stay_if_taken();  // it may have waited for the loader's lock: FR4
    }
    if (l.n == 0) out[l.n++] = {};
    if (l.symbol) {
        out[l.n - 1].function = l.symbol;
        for (int i = 0; i < l.n; i++) out[i].offset = return_address - l.start;
    }
    if (!out[0].file) find_module(pc, &out[0]);
    return l.n;
}

bool is_plumbing(const source_frame& f) {
    if (!f.function) return is_cxx_runtime(f.module);
    if (const char* path = mangled_path(f.function)) return any_prefix(path, plumbing_cxx);
    return any_prefix(f.function, plumbing_c) || is_own_file(f.file);
}

bool is_rt0(const source_frame& f) {
    if (const char* path = mangled_path(f.function)) return starts_with(path, "3rt0") || is_plumbing(f);
    return is_plumbing(f) || (f.file && std::strstr(f.file, "/include/rt0/"));
}

void put_function(sink& out, const char* name) {
    if (!name) {
        out << "?()";
        return;
    }
    // Parts of a function that the compiler moved elsewhere ("foo.cold") are still foo.
    char whole[max_mangled + 1];
    std::size_t n = std::strcspn(name, ".");
    if (mangled_path(name) && name[n] && n <= max_mangled) {
        std::memcpy(whole, name, n);
        whole[n] = 0;
        name = whole;
    }
    if (mangled_path(name) && put_demangled(out, name)) return;
    out << name << "()";
}

void put_type(sink& out, const char* name) {
    if (*name == '*') name++;  // mark of a type local to one file
    if (!put_demangled(out, name)) out << name;
}

}  // namespace rt0::runtime
