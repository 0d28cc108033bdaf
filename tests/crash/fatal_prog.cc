// Ways to die: fatal_prog NAME.  The crash tests name these functions and this file in
// what they expect of the traces.
#include <pthread.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <rt0/chan.h>
#include <rt0/go.h>

#define NOINLINE [[gnu::noinline]]

namespace {

volatile bool sure = true;  // or the compiler sees which functions never return, and drops what comes after
void keep_frame() { asm volatile(""); }  // after the last call: no tail call, so the caller has a frame

struct custom_error {
    int code;
};
struct what_panics : std::exception {
    const char* what() const noexcept override { rt0::panic("from what()"); }
};

// ---- panics
NOINLINE void inner(int depth) {
    if (depth == 0 && sure) rt0::panic("the bottom was reached");
    if (depth > 0) inner(depth - 1);
    keep_frame();
}
NOINLINE void deep(int depth) {
    inner(depth);
    keep_frame();
}
NOINLINE void panic_here() { rt0::panic("boom"); }
void panic_in_goroutine() {
    rt0::chan<int> never(0);
    rt0::go({.name = "worker", .stack_size = 0}, [] { panic_here(); });
    never.recv();
}
void two_panics() {
    rt0::chan<int> never(0);
    for (int i = 0; i < 8; i++) rt0::go([] { rt0::panic("one of many"); });
    never.recv();
}
void panic_while_running() {
    rt0::go([] { panic_here(); });
    for (;;) rt0::this_goroutine::yield();
}

// ---- exceptions
template <class T>
NOINLINE void throw_it(T v) {
    throw v;
}
NOINLINE void middle() {
    std::string owned = "destroyed by nobody";
    throw_it(std::runtime_error("nested"));
    keep_frame();
}
void send_on_closed() {
    rt0::chan<int> c(0);
    c.close();
    c.send(1);
}
NOINLINE void rethrow_it() {
    try {
        throw std::out_of_range("first seen");
    } catch (const std::logic_error&) {
        throw;
    }
}
NOINLINE void promises() noexcept {
    throw_it(std::runtime_error("promise broken"));
    keep_frame();
}
// There is a handler for the first exception; on the way to it the second comes.
struct throwing_destructor {
    ~throwing_destructor() noexcept(false) {
        if (sure) throw_it(std::logic_error("second"));
    }
};
NOINLINE void throw_while_unwinding() {
    try {
        throwing_destructor d;
        throw_it(std::runtime_error("first"));
    } catch (const std::runtime_error&) {
        std::puts("not reached");
    }
}
struct panicking_destructor {
    ~panicking_destructor() {
        if (sure) rt0::panic("in a destructor");
    }
};
NOINLINE void panic_while_unwinding() {
    try {
        panicking_destructor d;
        throw_it(std::runtime_error("first"));
    } catch (const std::runtime_error&) {
        std::puts("not reached");
    }
}
void throw_while_others_run() {
    for (int i = 0; i < 50; i++)
        rt0::go([] {
            for (;;) rt0::this_goroutine::yield();
        });
    rt0::chan<int> never(0);
    rt0::go([] { throw_it(std::runtime_error("while others run")); });
    never.recv();
}
void throw_after_move() {
    // Parked inside a catch block and continued, perhaps on another M.
    rt0::chan<int> c(0);
    rt0::go([c]() mutable {
        for (int i = 0; i < 100; i++) c.send(i);
    });
    try {
        throw std::runtime_error("carried along");
    } catch (const std::exception&) {
        for (int i = 0; i < 100; i++) c.recv();
        throw;
    }
}
void foreign_thread_throws() {
    std::thread t([] { throw std::runtime_error("on a std::thread"); });
    t.join();
}
void panic_on_thread() {
    std::thread t([] { panic_here(); });
    t.join();
}

// ---- ends that are none
NOINLINE void exit_goroutine() { rt0::this_goroutine::exit(); }
struct flag_on_exit {
    rt0::chan<int> c;
    ~flag_on_exit() {
        int v = 1;
        c.try_send(v);
    }
};
void exit_rethrown() {
    rt0::chan<int> done(4);
    rt0::go([done] {
        flag_on_exit f{done};
        try {
            exit_goroutine();
        } catch (...) {
            throw;
        }
    });
    std::printf("%d\n", *done.recv());
}
void exit_swallowed() {
    rt0::chan<int> never(0);
    rt0::go([] {
        try {
            exit_goroutine();
        } catch (...) {
            std::puts("swallowed");
        }
    });
    never.recv();
}
NOINLINE void exit_in_noexcept() noexcept { exit_goroutine(); }
void exit_through_noexcept() {
    rt0::chan<int> never(0);
    rt0::go([] { exit_in_noexcept(); });
    never.recv();
}
void exit_not_caught_by_type() {
    // catch clauses by type are no business of a forced unwind.
    rt0::chan<int> done(4);
    rt0::go([done] {
        flag_on_exit f{done};
        try {
            exit_goroutine();
        } catch (const std::exception&) {
            std::puts("caught");
        }
    });
    std::printf("%d\n", *done.recv());
}
void pthread_exit_inside() {
    rt0::chan<int> never(0);
    rt0::go([] { pthread_exit(nullptr); });
    never.recv();
}
void cancel_inside() {
    rt0::chan<int> never(0);
    rt0::go([] {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    });
    never.recv();
}

struct {
    const char* name;
    void (*run)();
} const ways[] = {
    {"panic", panic_here},
    {"panic_deep", [] { deep(3); }},
    {"panic_very_deep", [] { deep(500); }},
    {"panic_empty", [] { rt0::panic(""); }},
    {"panic_long", [] { rt0::panic(std::string(10000, 'x')); }},
    {"panic_in_goroutine", panic_in_goroutine},
    {"two_panics", two_panics},
    {"panic_while_running", panic_while_running},
    {"throw_std", [] { throw_it(std::runtime_error("boom")); }},
    {"throw_nested", [] { middle(); }},
    {"throw_int", [] { throw_it(42); }},
    {"throw_unsigned_long", [] { throw_it(~0ul); }},
    {"throw_view", [] { throw_it(std::string_view("a view")); }},
    {"throw_bool", [] { throw_it(true); }},
    {"throw_false", [] { throw_it(false); }},
    {"throw_char", [] { throw_it('c'); }},
    {"throw_unsigned", [] { throw_it(7u); }},
    {"throw_signed_long", [] { throw_it(-8l); }},
    {"throw_long_long", [] { throw_it(-9ll); }},
    {"throw_unsigned_long_long", [] { throw_it(~0ull); }},
    {"throw_cstr", [] { throw_it("a literal"); }},
    {"throw_null_cstr", [] { throw_it(static_cast<const char*>(nullptr)); }},
    {"throw_string", [] { throw_it(std::string("a string")); }},
    {"throw_custom", [] { throw_it(custom_error{7}); }},
    {"throw_what_panics", [] { throw_it(what_panics{}); }},
    {"throw_long", [] { throw_it(std::runtime_error(std::string(3000, 'y'))); }},
    {"rethrow", rethrow_it},
    {"noexcept", promises},
    {"terminate",
     [] {
         if (sure) std::terminate();
         keep_frame();
     }},
    {"joinable_thread", [] { std::thread t([] { pause(); }); }},
    {"throw_while_unwinding", throw_while_unwinding},
    {"panic_while_unwinding", panic_while_unwinding},
    {"throw_while_others_run", throw_while_others_run},
    {"throw_after_move", throw_after_move},
    {"foreign_thread_throws", foreign_thread_throws},
    {"panic_on_thread", panic_on_thread},
    {"exit_on_thread", [] { std::thread(exit_goroutine).join(); }},
    {"closed_channel", [] { send_on_closed(); }},
    {"exit_rethrown", exit_rethrown},
    {"exit_swallowed", exit_swallowed},
    {"exit_through_noexcept", exit_through_noexcept},
    {"exit_not_caught_by_type", exit_not_caught_by_type},
    {"pthread_exit", pthread_exit_inside},
    {"cancel", cancel_inside},
};

}  // namespace

void main_main() {
    auto args = rt0::args();
    for (auto& w : ways)
        if (args.size() > 1 && std::strcmp(args[1], w.name) == 0) {
            w.run();
            keep_frame();
            return;
        }
    std::fprintf(stderr, "no such way to die\n");
    rt0::exit(99);
}
