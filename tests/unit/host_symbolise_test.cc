// Symbolising: names, files, lines, inlined frames, plumbing; and the walk over a saved
// context, on a context of our own.
#include <gtest/gtest.h>
#include <unwind.h>

#include <cerrno>
#include <cstdlib>
#include <regex>
#include <string>
#include <typeinfo>
#include <vector>

#include "arch/arch.h"
#include "debug/symbolise.h"

namespace probe {

std::uintptr_t here;
int line_of_call;

[[gnu::noinline]] void note_return_address() { here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)); }

[[gnu::noinline]] int plain(int x) {
    line_of_call = __LINE__ + 1;
    note_return_address();
    asm volatile("");
    return x + 1;
}

namespace {
[[gnu::always_inline]] inline void inlined_part() {
    note_return_address();
    asm volatile("");
}
[[gnu::noinline]] int hidden(const std::string& s) {
    inlined_part();
    return static_cast<int>(s.size());
}
}  // namespace

// One more than the frames that are kept for one address.
template <int N>
[[gnu::always_inline]] inline void nest() {
    if constexpr (N > 0) nest<N - 1>();
    else note_return_address();
    asm volatile("");
}
[[gnu::noinline]] void nested_deeply() {
    nest<rt0::runtime::max_inlined>();
    asm volatile("");
}

template <class T>
struct box {
    [[gnu::noinline]] T get(T v) const {
        note_return_address();
        asm volatile("");  // no tail call, were the result dropped
        return v + T(1);
    }
};

}  // namespace probe

extern "C" [[gnu::noinline]] int plain_c_function(int x) {
    probe::note_return_address();
    asm volatile("");
    return x + 2;
}

namespace rt0::runtime {
namespace {

template <class F>
std::string text(F&& put) {
    std::string got;
    sink out([](void* to, std::string_view s) { static_cast<std::string*>(to)->append(s); }, &got);
    put(out);
    out.flush();
    return got;
}
std::string function(const char* linkage_name) {
    return text([&](sink& o) { put_function(o, linkage_name); });
}
std::vector<source_frame> frames_at(std::uintptr_t pc) {
    std::vector<source_frame> f(max_inlined);
    f.resize(static_cast<std::size_t>(symbolise(pc, f.data())));
    return f;
}

TEST(Symbolise, FunctionFileLineOffset) {
    probe::plain(1);
    auto f = frames_at(probe::here);
    ASSERT_EQ(f.size(), 1u);
    EXPECT_EQ(function(f[0].function), "probe::plain(int)");
    EXPECT_TRUE(std::string(f[0].file).ends_with("tests/unit/host_symbolise_test.cc")) << f[0].file;
    EXPECT_EQ(f[0].line, probe::line_of_call);
    EXPECT_EQ(f[0].offset, probe::here - reinterpret_cast<std::uintptr_t>(&probe::plain));
    EXPECT_FALSE(is_plumbing(f[0]));
    EXPECT_FALSE(is_rt0(f[0]));
}

TEST(Symbolise, InlinedFramesFirst) {
    probe::hidden("abc");
    auto f = frames_at(probe::here);
    ASSERT_EQ(f.size(), 2u);
    EXPECT_NE(function(f[0].function).find("inlined_part"), std::string::npos);
    std::string outer = function(f[1].function);
    EXPECT_TRUE(std::regex_search(outer, std::regex(R"(hidden\(std::string const&\))"))) << outer;
    EXPECT_EQ(f[0].offset, f[1].offset);
}

TEST(Symbolise, OfManyInlinedFramesTheOutermostIsKept) {
    probe::nested_deeply();
    auto f = frames_at(probe::here);
    ASSERT_EQ(f.size(), static_cast<std::size_t>(max_inlined));
    EXPECT_NE(function(f[0].function).find("nest<0>"), std::string::npos) << f[0].function;
    EXPECT_EQ(function(f.back().function), "probe::nested_deeply()");
    EXPECT_EQ(f[0].offset, probe::here - reinterpret_cast<std::uintptr_t>(&probe::nested_deeply));
}

// As once the watchdog has seen that names cannot be had: the module, and where in it.
TEST(Symbolise, WithoutNamesThereIsTheModule) {
    naming.store(naming_mode::none, memory_order_relaxed);
    auto f = frames_at(reinterpret_cast<std::uintptr_t>(&probe::nested_deeply) + 1);
    naming.store(naming_mode::full, memory_order_relaxed);
    ASSERT_EQ(f.size(), 1u);
    EXPECT_EQ(f[0].function, nullptr);
    EXPECT_EQ(f[0].file, nullptr);
    EXPECT_STREQ(f[0].module, program_invocation_name);
    EXPECT_NE(f[0].offset, 0u);
}

TEST(Symbolise, TemplatesAndCFunctions) {
    probe::box<long>().get(1);
    EXPECT_EQ(function(frames_at(probe::here).back().function), "probe::box<long>::get(long) const");
    plain_c_function(1);
    EXPECT_EQ(function(frames_at(probe::here).back().function), "plain_c_function()");
}

TEST(Symbolise, UnknownAddress) {
    auto f = frames_at(0x1000);
    ASSERT_EQ(f.size(), 1u);
    EXPECT_EQ(f[0].function, nullptr);
    EXPECT_EQ(function(f[0].function), "?()");
}

TEST(Symbolise, SharedLibrary) {
    auto f = frames_at(reinterpret_cast<std::uintptr_t>(&std::getenv) + 1);
    ASSERT_NE(f.back().function, nullptr);
    if (!f.back().file) {  // no debug information for libc
        EXPECT_NE(std::string(f[0].module).find("libc.so"), std::string::npos);
    }
}

TEST(Symbolise, InnerFunctionsOfTheCxxRuntimeAreKnownByTheirModule) {
    source_frame f;
    f.module = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";
    EXPECT_TRUE(is_plumbing(f));
    f.module = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3";
    EXPECT_FALSE(is_plumbing(f));
}

TEST(Symbolise, NamesThatAreNoCxx) {
    EXPECT_EQ(function("_Znonsense"), "_Znonsense()");
    EXPECT_EQ(function("_Z1fB5cxx11v"), "f()");
    EXPECT_EQ(function("_Z1fv.cold"), "f()");
    EXPECT_EQ(function("_Z1fi.isra.0"), "f(int)");
    std::string huge = "_Z" + std::to_string(5000) + std::string(5000, 'a') + "v";
    EXPECT_EQ(function(huge.c_str()), huge + "()");
    EXPECT_EQ(function((huge + ".cold").c_str()), huge + ".cold()");
}

// As in a handler that interrupted malloc: no demangler there, or only one that needs none.
TEST(Symbolise, NamesWithoutMalloc) {
    const struct {
        const char *linkage, *plain, *full;
    } cases[] = {
        {"_Z3barv", "bar(...)", "bar()"},
        {"_ZN3foo3barEi", "foo::bar(...)", "foo::bar(int)"},
        {"_ZNK3foo3bar3bazEv", "foo::bar::baz(...)", "foo::bar::baz() const"},
        {"_ZN12_GLOBAL__N_13barEv", "(anonymous namespace)::bar(...)", "(anonymous namespace)::bar()"},
        {"_ZN3foo3barIiEEvT_", "foo::bar...(...)", "void foo::bar<int>(int)"},
        {"_ZN99fooEv", "_ZN99fooEv()", "_ZN99fooEv()"},
        // 2^64 + 3: no number that wraps round
        {"_ZN18446744073709551619fooEv", "_ZN18446744073709551619fooEv()", "_ZN18446744073709551619fooEv()"},
        {"_ZplRK3fooS1_", "_ZplRK3fooS1_()", "operator+(foo const&, foo const&)"},
        {"plain_c", "plain_c()", "plain_c()"},
    };
    naming.store(naming_mode::plain, memory_order_relaxed);
    for (auto& c : cases) {
        std::string s = function(c.linkage);
        EXPECT_TRUE(s == c.plain || s == c.full) << c.linkage << ": " << s;
    }
    naming.store(naming_mode::full, memory_order_relaxed);
    for (auto& c : cases) EXPECT_EQ(function(c.linkage), c.full);
}

TEST(Symbolise, Types) {
    auto type = [](const char* name) { return text([&](sink& o) { put_type(o, name); }); };
    EXPECT_EQ(type(typeid(int).name()), "int");
    EXPECT_EQ(type(typeid(const char*).name()), "char const*");
    EXPECT_EQ(type(typeid(std::string).name()), "std::string");
    EXPECT_EQ(type(typeid(std::runtime_error).name()), "std::runtime_error");
    EXPECT_EQ(type("*i"), "int");
    EXPECT_EQ(type("?"), "?");
    std::string huge = "1501" + std::string(1501, 'a');
    EXPECT_EQ(type(huge.c_str()), huge);
}

TEST(Symbolise, Plumbing) {
    auto plumbing = [](const char* f) { return is_plumbing({f, "/src/user.cc", 1, 0, nullptr}); };
    EXPECT_TRUE(plumbing("_ZN3rt07runtime6goparkEPFbPNS0_1gEPvES3_NS0_11wait_reasonE"));
    EXPECT_TRUE(plumbing("_ZZN3rt02goIZ9main_mainvEUlvE_JEEEvOT_DpOT0_ENKUlvE_clEv"));
    EXPECT_TRUE(plumbing("_ZN3rt05panicESt17basic_string_viewIcSt11char_traitsIcEE"));
    EXPECT_TRUE(plumbing("_ZSt9terminatev"));
    EXPECT_TRUE(plumbing("__cxa_throw"));
    EXPECT_TRUE(plumbing("_Unwind_RaiseException"));
    EXPECT_TRUE(plumbing("rt0_goentry"));
    EXPECT_TRUE(plumbing("_ZSt13__invoke_implIvRFvvEJEET_St14__invoke_otherOT0_DpOT1_"));
    EXPECT_FALSE(plumbing("_Z9main_mainv"));
    EXPECT_FALSE(plumbing("main"));
    EXPECT_FALSE(plumbing("rt0_users_own"));
    EXPECT_FALSE(plumbing("_ZN3rt04chanIiE4recvEv"));
    EXPECT_FALSE(plumbing("_ZN2my3rt07runtimeEv"));
    EXPECT_FALSE(is_plumbing({}));
    EXPECT_TRUE(is_rt0({"_ZN3rt04chanIiE4recvEv", nullptr, 0, 0, nullptr}));
    EXPECT_FALSE(is_rt0({"_Z9main_mainv", nullptr, 0, 0, nullptr}));
    EXPECT_FALSE(is_rt0({"operator()", nullptr, 0, 0, nullptr}));
    EXPECT_TRUE(is_rt0({"operator()", "/opt/include/rt0/chan.h", 3, 0, nullptr}));
    EXPECT_FALSE(is_rt0({}));
    EXPECT_TRUE(is_rt0({nullptr, nullptr, 0, 0, "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"}));
    EXPECT_TRUE(is_plumbing({"operator()", "/opt/include/rt0/detail/spawn.h", 3, 0, nullptr}));
    EXPECT_FALSE(is_plumbing({"operator()", "/home/user/runtime/sched/x.cc", 3, 0, nullptr}));
}

// The folder of the runtime's sources is found from where symbolise.cc was compiled.
TEST(Symbolise, LocalFunctionsOfTheRuntimeAreKnownByTheirFile) {
    auto f = frames_at(reinterpret_cast<std::uintptr_t>(&symbolise) + 1);
    std::string file = f.back().file;
    ASSERT_TRUE(file.ends_with("debug/symbolise.cc")) << file;
    std::string root = file.substr(0, file.size() - std::string("debug/symbolise.cc").size());
    EXPECT_TRUE(is_plumbing({"helper", (root + "sched/park.cc").c_str(), 1, 0, nullptr}));
    EXPECT_FALSE(is_plumbing({"helper", (root + "include/rt0/chan.h").c_str(), 1, 0, nullptr}));
}

// ---- a context at rest, two functions deep

arch::gobuf ours, theirs;
alignas(64) char own_stack[64 << 10];

[[gnu::noinline]] void park_here(int depth) {
    if (depth > 0) {
        park_here(depth - 1);
        asm volatile("");
        return;
    }
    rt0_switch(&theirs, &ours);
    asm volatile("");
}
[[gnu::noinline]] void coroutine(void*) {
    park_here(3);
    rt0_gogo(&ours);
}

TEST(UnwindSaved, WalksTheStackAtRestAndEndsAtItsEntry) {
    auto top = reinterpret_cast<std::uintptr_t>(own_stack + sizeof own_stack);
    theirs.sp = arch::make_context(top, &rt0_goentry, coroutine, nullptr);
    rt0_switch(&ours, &theirs);

    std::vector<std::uintptr_t> pcs;
    int rc = rt0_unwind_saved(
        theirs.sp,
        [](void* arg) -> int {
            _Unwind_Backtrace(
                [](_Unwind_Context* c, void* a) {
                    std::uintptr_t ip = _Unwind_GetIP(c);
                    if (ip == 0) return _URC_END_OF_STACK;
                    static_cast<std::vector<std::uintptr_t>*>(a)->push_back(ip);
                    return _URC_NO_REASON;
                },
                arg);
            return 17;
        },
        &pcs);
    EXPECT_EQ(rc, 17);
    std::vector<std::string> names;
    for (auto pc : pcs) names.push_back(function(frames_at(pc).back().function));
    std::size_t at = 0;
    while (at < names.size() && names[at] != "rt0_unwind_saved()") at++;
    // rt0_unwind_saved stands for the rt0_switch that saved the context; its caller comes next.
    ASSERT_EQ(names.size(), at + 7);
    for (std::size_t i = 1; i < 5; i++)
        EXPECT_NE(names[at + i].find("park_here(int)"), std::string::npos) << names[at + i];
    EXPECT_NE(names[at + 5].find("coroutine(void*)"), std::string::npos);
    EXPECT_EQ(names[at + 6], "rt0_goentry()");
    rt0_switch(&ours, &theirs);  // it still runs to its end
}

}  // namespace
}  // namespace rt0::runtime
