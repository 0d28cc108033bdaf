// check: what the code relies on and the compiler cannot know, asked once at start.
// One clear line instead of a crash later.
#include "sched/check.h"

#include <unistd.h>  // sysconf

#include "base/throw.h"
#include "kernel_if/inject.h"
#include "kernel_if/valgrind.h"
#include "sched/sched.h"

namespace rt0::runtime {

static_assert(sizeof(eh_globals) == 16, "__cxa_eh_globals of the Itanium C++ ABI on LP64");
static_assert(offsetof(g, sched) == 0, "a g is found from its gobuf");
static_assert((cfg::runq_size & (cfg::runq_size - 1)) == 0, "ring indices wrap modulo 2^32");
static_assert(cfg::stack_min >= 2 * cfg::stack_guard, "a stack has room above its guard");

namespace {

// Each assumption is one injectable call, so that a test can break any of them.
void expect(bool holds, const char* assumption) {
    if (holds && kernel::injected(kernel::inject::check) == 0) return;
    textbuf t;
    t << "check: " << assumption << " does not hold; rt0 cannot run here";
    die(t);
}

void check_atomics() {
    atomic<std::uint32_t> z{1};
    std::uint32_t one = 1;
    // relaxed: one thread; only the results count.
    bool works = z.compare_exchange_strong(one, 2, memory_order_relaxed) && z.exchange(4, memory_order_relaxed) == 2 &&
                 z.fetch_add(1, memory_order_relaxed) == 4 && z.load(memory_order_relaxed) == 5;
    expect(works && decltype(z)::is_always_lock_free, "32-bit atomic read-modify-write");
    expect(atomic<std::uint64_t>::is_always_lock_free, "lock-free 64-bit atomics");
}

// The assembler's way to g and the compiler's must lead to the same word.
void check_tls() {
    g* by_asm = getg();
    void* volatile* word = &rt0_tls_g;
    expect(by_asm == &g0 && *word == by_asm, "one thread-local g for assembler and C++");
    setg(nullptr);
    bool cleared = *word == nullptr;
    setg(by_asm);
    expect(cleared && *word == by_asm, "thread-local g set by assembler");
}

void check_pages(std::size_t page) {
    expect(page != 0 && (page & (page - 1)) == 0, "page size a power of two");
    expect(page <= cfg::stack_guard, "pages no larger than a stack's guard");
    expect(static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) == page, "the same page size in auxiliary vector and sysconf");
}

int switched = 0;
arch::gobuf check_here, check_there;

// The switch keeps what it must and comes back.
void check_switch() {
    alignas(16) static unsigned char stack[16384];
    kernel::vg_stack_register(stack, sizeof stack);
    check_there.sp = arch::make_context(reinterpret_cast<std::uintptr_t>(stack + sizeof stack), rt0_goentry,
                                        [](void* arg) {
                                            switched = arg == &switched;
                                            rt0_switch(&check_there, &check_here);
                                        },
                                        &switched);
    rt0_switch(&check_here, &check_there);
    expect(switched, "context switch and back");
}

}  // namespace

void check(std::size_t page_size) {
    check_atomics();
    check_tls();
    check_pages(page_size);
#ifndef RT0_ASAN
    check_switch();  // a stack that ASan has not been told of
#else
    (void)check_switch;
#endif
}

}  // namespace rt0::runtime
