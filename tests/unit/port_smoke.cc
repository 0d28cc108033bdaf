// A port of rt0 in one small program: the switch and its company (arch/<cpu>/switch.S),
// the first frame of a context, TLS access, unwinding of a context at rest, and threads
// (arch/<cpu>/clone.S, kernel_if/thread.cc).  Needs arch and kernel_if only, no test
// framework, so that it can be linked statically and run under an emulator;
// host_port_test.cc builds and runs it in all the ways the machine at hand permits.
// Prints "port smoke: ok", or what failed, and exits with 1.
#include <unwind.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "arch/arch.h"
#include "kernel_if/clock.h"
#include "kernel_if/cpu.h"
#include "kernel_if/futex.h"
#include "kernel_if/memory.h"
#include "kernel_if/thread.h"

using namespace rt0;

extern "C" {
// Read and written by asm through the macros of arch/<cpu>/cpu.h.
__attribute__((tls_model("initial-exec"))) thread_local void* port_smoke_tls = nullptr;
}

namespace {

#define CHECK(x)                                                            \
    do {                                                                    \
        if (!(x)) {                                                         \
            std::printf("port smoke: %s:%d: %s\n", __FILE__, __LINE__, #x); \
            std::exit(1);                                                   \
        }                                                                   \
    } while (0)

// A function that stays one function, under its own address.
#ifdef __clang__
#define NOIPA [[clang::optnone, gnu::noinline]]
#else
#define NOIPA [[gnu::noipa]]
#endif

constexpr std::size_t stack_size = 256 << 10;

struct context_stack {
    char* lo = static_cast<char*>(kernel::sys_reserve(stack_size, 4096));
    std::uintptr_t top() const { return reinterpret_cast<std::uintptr_t>(lo) + stack_size; }
    ~context_stack() { kernel::sys_free(lo, stack_size); }
};

arch::gobuf main_ctx, other_ctx;
int steps;
double kept = 0;

// Keeps values in every callee-saved register, also floating point ones where there are any.
NOIPA void deep(long a, long b, long c, long d, double x, double y) {
    for (int i = 0; i < 1000; i++) {
        steps++;
        rt0_switch(&other_ctx, &main_ctx);
        a += 1, b += 2, c += 3, d += 4, x += 0.5, y += 0.25;
        asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    CHECK(a == 1001 && b == 2002 && c == 3003 && d == 4004);
    kept = x + y;
}

NOIPA void middle(void* arg) {
    CHECK(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) % 16 == 0);
    CHECK(*static_cast<int*>(arg) == 4711);
    deep(1, 2, 3, 4, 1.0, 2.0);
    std::ostringstream o;
    o << 2.5 << std::string(3, 'x');
    CHECK(o.str() == "2.5xxx");
    try {
        throw std::runtime_error("on another stack");
    } catch (const std::exception& e) {
        CHECK(std::string(e.what()) == "on another stack");
    }
    for (;;) {
        steps = -1;
        rt0_switch(&other_ctx, &main_ctx);
    }
}

struct walk {
    std::vector<void*> functions;
    _Unwind_Reason_Code end = _URC_NO_REASON;
};

_Unwind_Reason_Code note_frame(_Unwind_Context* c, void* p) {
    static_cast<walk*>(p)->functions.push_back(reinterpret_cast<void*>(_Unwind_GetRegionStart(c)));
    return static_cast<walk*>(p)->functions.size() < 50 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

NOIPA int walk_here(void* p) {
    auto* w = static_cast<walk*>(p);
    w->end = _Unwind_Backtrace(note_frame, p);
    return 17;
}

void check_walk(const walk& w, std::vector<void*> want) {
    CHECK(w.end == _URC_END_OF_STACK);
    std::size_t k = 0;
    for (void* f : w.functions)
        if (k < want.size() && f == want[k]) k++;
    CHECK(k == want.size());
    CHECK(w.functions.back() == want.back());
}

template <class F>
void* addr(F* f) {
    return reinterpret_cast<void*>(f);
}

void test_switch() {
    context_stack s;
    int arg = 4711;
    other_ctx.sp = arch::make_context(s.top(), rt0_goentry, middle, &arg);
    double x = 1.5, y = 2.5;
    for (int i = 1; i <= 1000; i++) {
        rt0_switch(&main_ctx, &other_ctx);
        CHECK(steps == i);
        x += 1, y += 2;
    }
    CHECK(x == 1001.5 && y == 2002.5);
    CHECK(other_ctx.sp > reinterpret_cast<std::uintptr_t>(s.lo) && other_ctx.sp < s.top());
    walk w;
    CHECK(rt0_unwind_saved(other_ctx.sp, walk_here, &w) == 17);
    check_walk(w, {addr(walk_here), addr(rt0_unwind_saved), addr(deep), addr(middle), addr(rt0_goentry)});
    rt0_switch(&main_ctx, &other_ctx);
    CHECK(steps == -1 && kept == 1.0 + 2.0 + 750.0);
}

walk called_walk;
NOIPA void on_fresh_stack(void* p) {
    walk_here(&called_walk);
    *static_cast<int*>(p) += 1;
    rt0_gogo(&main_ctx);
}
void on_called_stack(void* p) {
    *static_cast<int*>(p) += 1;
    try {
        throw 5;
    } catch (int v) {
        CHECK(v == 5);
    }
    walk_here(&called_walk);
}

NOIPA void test_calls() {
    context_stack s;
    int n = 0;
    called_walk = {};
    rt0_mcall(&main_ctx, s.top(), on_fresh_stack, &n);
    CHECK(n == 1);
    check_walk(called_walk, {addr(walk_here), addr(on_fresh_stack), addr(rt0_mcall)});
    called_walk = {};
    rt0_oncall(s.top(), on_called_stack, &n);
    CHECK(n == 2);
    CHECK(called_walk.end == _URC_END_OF_STACK);
    bool caller = false;
    for (void* f : called_walk.functions) caller = caller || f == addr(test_calls);
    CHECK(caller);
    // An exception leaves through rt0_oncall's frame.
    bool caught = false;
    try {
        rt0_oncall(
            s.top(), [](void*) { throw std::string("through"); }, nullptr);
    } catch (const std::string& e) {
        caught = e == "through";
    }
    CHECK(caught);
}

void test_tls() {
    void* v = &v;
    RT0_READ_TLS(port_smoke_tls, v);
    CHECK(v == nullptr);
    port_smoke_tls = &steps;
    RT0_READ_TLS(port_smoke_tls, v);
    CHECK(v == &steps);
    void* w = &kept;
    RT0_WRITE_TLS(port_smoke_tls, w);
    CHECK(port_smoke_tls == &kept);
}

std::atomic<int> thread_sum, thread_dtors;
struct counted {
    std::string s = "counted";
    ~counted() { thread_dtors++; }
};
thread_local counted tl;
thread_local int tl_initial = 123;

void thread_main(void* p) {
    CHECK(tl_initial == 123 && port_smoke_tls == nullptr);
    tl_initial = 5;
    tl.s += "!";
    std::vector<std::string> v;
    for (int i = 0; i < 1000; i++) v.push_back(std::string(static_cast<std::size_t>(i), 'a'));
    try {
        throw 1;
    } catch (int x) {
        thread_sum += x;
    }
    walk w;
    walk_here(&w);
    CHECK(w.end == _URC_END_OF_STACK && w.functions.size() >= 3);
    if (kernel::thread_mode() == kernel::thread_kind::raw_clone) CHECK(w.functions.back() == addr(rt0_clone));
    thread_sum += static_cast<int>(reinterpret_cast<std::intptr_t>(p));
}

void test_threads(const char* want) {
    const char* why = nullptr;
    bool raw = kernel::thread_init(&why) == kernel::thread_kind::raw_clone;
    std::printf("port smoke: %s\n", raw ? "raw threads" : why);
    CHECK(!want || (std::strcmp(want, "raw") == 0) == raw);
    context_stack s[4];
    for (int round = 0; round < 25; round++) {
        kernel::kthread t[4];
        for (int i = 0; i < 4; i++) CHECK(kernel::thread_create(&t[i], thread_main, nullptr, s[i].lo, stack_size) == 0);
        for (auto& x : t) kernel::thread_reap(&x);
    }
    CHECK(thread_sum == 100 && thread_dtors == 100 && tl_initial == 123);
}

}  // namespace

// Argument: the kind of threads that must come out of it, "raw" or "pthread"; none: either.
int main(int argc, char** argv) {
    test_tls();
    test_switch();
    test_calls();
    test_threads(argc > 1 ? argv[1] : nullptr);
    CHECK(kernel::getproccount() >= 1);
    std::cout << "port smoke: ok" << std::endl;
}
