// Fatal lines and warnings; the report that ends the process.
//
//   RP1  One report per process: the first thread in report_begin owns it, every other
//        thread that gets there stays there, and the owner ends the process.
//   RP2  The line that says what is wrong is written before anything is unwound or
//        symbolised: those may fail, the line may not.
//   RP3  A second failure of the owner, inside its own report, ends the process at once.
//   RP4  A warning of another thread is written before the report or not at all, never in it:
//        whoever warns says so first and then looks for a report; the owner says that
//        there is a report and then lets those finish who warn.  Not for ever: one of
//        them may be the owner, in a signal handler, or wait for a full pipe.
//   RP5  Whoever ends the process otherwise says so last of all (EX3): from there on a report of another thread would
//        be cut off after its first words.  It waits for the end, but not for ever: it may hold what that needs.
//   RP6  A report that is stuck may be taken over (debug/sigreport.cc); who had it and gets on after all stays where it was
//        stuck, and by all means before it writes or ends the process: the books of a report are for one thread.
//
// No locks, no allocation: a report must come out of any state.
#include "base/throw.h"

#include "arch/model.h"
#include "base/chaos.h"
#include "base/forked.h"
#include "base/seeded.h"
#include "base/upcall.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/signal.h"
#include "kernel_if/sys.h"
#include "kernel_if/thread.h"

namespace rt0::runtime {

atomic<std::uint32_t> panicking{0};

namespace {

constexpr int stderr_fd = 2;
constexpr int fatal_status = 2;  // Go's

atomic<std::uint32_t> report_owner{0};  // tid of the reporting thread, 0: no report
atomic<std::uint32_t> former_owner{0};  // whose report was taken over, 0: nobody's (RP6)
atomic<std::uint32_t> warning{0};       // threads inside warn(), RP4
constexpr std::int64_t patience = 50'000'000;  // ns, RP4
constexpr std::uint32_t leaving = 1u << 31;    // of report_owner: not a report, but the end; the rest is its thread
constexpr std::int64_t leave_time = 1'000'000'000;  // ns, RP5

void put(std::string_view s) { report_write(s); }

// "<head><text>\n" in one write where it fits, so that lines of other threads do not cut it.
void put_line(std::string_view head, std::string_view text) {
    textbuf t;
    if (head.size() + text.size() + 1 <= textbuf::capacity) {
        put(t << head << text << '\n');
        return;
    }
    put(head);
    put(text);
    put("\n");
}

std::uint32_t my_tid() { return static_cast<std::uint32_t>(kernel::gettid()); }

// Makes the report the calling thread's; or whose it is.
std::uint32_t claim_report(std::uint32_t me) {
    // relaxed, all: nothing but the owner's name is passed on; a loser writes nothing (RP1).
    for (std::uint32_t owner = 0;;) {
        if (report_owner.compare_exchange_strong(owner, me, memory_order_relaxed)) return 0;
        if (!(owner & leaving)) return owner;
        const std::int64_t end = kernel::nanotime() + leave_time;
        while (owner != (me | leaving) && report_owner.load(memory_order_relaxed) == owner && kernel::nanotime() < end)
            kernel::futex_wait(&report_owner, owner, leave_time);  // RP5; spurious ends and errors: asks again
    }
}

[[noreturn]] void wait_for_end() {
    for (;;) kernel::futex_wait(&report_owner, report_owner.load(memory_order_relaxed), -1);  // relaxed: whose does not matter
}

}  // namespace

void report_write(std::string_view text) {
    kernel::no_write_signals hold;  // a reader that is gone must not end a process that goes on, nor with another status
    kernel::write_all(stderr_fd, text.data(), text.size());  // an error: there is nowhere to say it
}

void report_begin() {
    if (kernel::borrowed_memory()) forked_child_die();  // FK3: what it would write into is the parent's
    const std::uint32_t me = my_tid(), owner = claim_report(me);
    if (owner == 0) {
        // ORDER(panicking): seq_cst; RP4, with warn().  As a release it pairs with the acquire in runtime_main,
        // which lets a report finish first.
        panicking.store(1, memory_order_seq_cst);
        if (warning.load(memory_order_seq_cst) == 0) return;  // ORDER(panicking): RP4
        std::int64_t end = kernel::nanotime() + patience;
        // ORDER(panicking): acquire; pairs with the release in warn.
        while (warning.load(memory_order_acquire) != 0 && kernel::nanotime() < end) kernel::osyield();
        return;
    }
    if (owner == me) {  // RP3
        upcall_report_failed();
        put_line("fatal error: ", "failed again while reporting; giving up");
        kernel::exit_group(fatal_status);
    }
    wait_for_end();  // the owner ends the process
}

bool reporting() {
    // relaxed: whether it is this thread's own id.
    return report_owner.load(memory_order_relaxed) == my_tid();
}

bool report_bar() {
    std::uint32_t none = 0;
    // relaxed: as in claim_report.
    return report_owner.compare_exchange_strong(none, my_tid() | leaving, memory_order_relaxed);
}

void report_take() {
    // relaxed, all: RP6; only names are passed on, and who is stuck comes back a long time later.
    former_owner.store(report_owner.load(memory_order_relaxed), memory_order_relaxed);
    report_owner.store(my_tid(), memory_order_relaxed);
}

void report_stay_if_taken() {
    const std::uint32_t former = former_owner.load(memory_order_relaxed);  // relaxed: as above
    if (former != 0 && former == my_tid() && !reporting()) wait_for_end();
}

std::int32_t report_thread() {
    return static_cast<std::int32_t>(report_owner.load(memory_order_relaxed) & ~leaving);  // relaxed: as above
}

void report_end() {
    report_stay_if_taken();
    kernel::exit_group(fatal_status);
}

void report_seed() {
    textbuf t;
    if (seeded()) put(t << "schedseed=" << seeded_seed() << '\n');
    else if (std::uint64_t seed = chaos_seed()) put(t << "chaos=" << static_cast<std::int64_t>(seed) << '\n');
}

// relaxed: a forked child has one thread.
void report_forked() {
    report_owner.store(0, memory_order_relaxed);
    former_owner.store(0, memory_order_relaxed);
    panicking.store(0, memory_order_relaxed);
    warning.store(0, memory_order_relaxed);
}

void forked_child_die() {
    put_line("fatal error: ", "rt0 called in a forked child; only exec and _exit are possible there");
    kernel::exit_group(fatal_status);
}

void runtime_throw(const char* what) { runtime_throw({}, what); }

void runtime_throw(std::string_view facts, const char* what) {
    if (auto* m = arch::model()) m->fail(what);
    report_begin();
    put(facts);
    put_line("fatal error: ", what);
    report_seed();
    upcall_traceback(false);
    report_end();
}

void fatal(std::string_view what) {
    if (auto* m = arch::model()) m->fail(what);
    report_begin();
    put_line("fatal error: ", what);
    report_seed();
    upcall_traceback(true);
    report_end();
}

void warn(std::string_view text) {
    warning.fetch_add(1, memory_order_seq_cst);  // ORDER(panicking): RP4
    if (panicking.load(memory_order_seq_cst) == 0 || reporting()) put_line("rt0: ", text);
    warning.fetch_sub(1, memory_order_release);  // ORDER(panicking): the line is written
}

void die(std::string_view text) {
    if (auto* m = arch::model()) m->fail(text);
    report_begin();
    warn(text);
    report_seed();
    report_end();
}

void out_of_memory(std::string_view what) {
    textbuf t;
    t << "out of memory for " << what << " (see " << memory_limits << ")";
    die(t);
}

}  // namespace rt0::runtime
