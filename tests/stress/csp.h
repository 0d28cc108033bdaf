// A CSP program as data: what csp_gen.h makes from a seed, csp_ref.h runs without the runtime, and
// csp_rt0.h runs on it.  csp_prog.cc compares what comes out.
//
// A process is a block of statements with three registers of its own: v, the value it handles; d, a
// digest of what it noted, order included; turn, a counter.  What several processes share:
//
//   channels   of values (four kinds of element), and of requests, which carry a way to answer
//   cells      numbers, each changed under the lock that the statements name
//   sinks      sums, in which the order of what is added leaves no trace
//   the rest   locks, monitors (a count under a mutex with a condition variable), semaphores, barriers,
//              groups (wait_group or latch), onces, contexts
//
// No program may depend on the schedule: what a process receives in an order that is not determined goes
// into sinks only, and each element's effect depends on nothing but the element.  The generator sees to
// that, and the reference checks it, by running each program under several schedules.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace csp {

using u64 = std::uint64_t;
using rng = std::mt19937_64;

inline int pick(rng& r, int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(r); }
inline bool chance(rng& r, int percent) { return pick(r, 1, 100) <= percent; }

// Every function of the programs: not commutative, and no number leads to itself.
inline u64 mix(u64 a, u64 b) {
    u64 x = (a ^ 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9 + b;
    x = (x ^ (x >> 29)) * 0x94d049bb133111eb;
    return x ^ (x >> 32);
}

inline bool chosen(u64 v, u64 k) { return mix(v, k) % 3 != 0; }  // of only

enum class op : std::uint8_t {
    fn,       // v = mix(v, k)
    note,     // d = mix(d, v)
    bag,      // sink a gains mix(v, k)
    send,     // v to channel a; mode: by which call
    recv,     // v from channel a; `nothing` if it is closed
    pair,     // v = mix(v, one from a)
    choose,   // v to whichever channel of list is ready
    deal,     // v to the channel of list whose turn it is
    close,    // channel a
    range,    // body for each v of channel a, until closed
    merge,    // body for each v of any channel of list, until all are closed
    gather,   // body for each v, from the channels of list in turn, until one is closed
    bounce,   // v to channel a, where nobody receives, until it is closed under the sender; mode: by which call
    refuse,   // what a send to channel a, which is closed, and another close say, noted
    call,     // v = what the server behind requests a makes of v
    serve,    // body for each request of a, until closed; the answer is v
    hush,     // closes requests a
    repeat,   // body b times, with v = mix(k, number of the round)
    only,     // body if v is one of about two thirds of all values
    par,      // runs the processes of list, the i-th with v = mix(mix(v, k), i), and waits; mode: how
    task,     // v = mix(v, what process a, given v, has noted in the end, or thrown); mode: how
    blocking, // body as a system call
    pinned,   // body on one thread; a change of thread is wrong
    attempt,  // body, which may throw; then v = mix(v as it was before, what was thrown)
    toss,     // throws v
    lock,     // body under mutex a; mode: by which call
    shared,   // body under shared_mutex a; mode 1: exclusively
    add,      // cell a gains mix(v, k), or k if mode is 1, in two steps
    check,    // cell a is k, else it is wrong
    same,     // cells a and b are equal, else it is wrong
    once,     // body, in one of all processes that come by
    gate,     // body with a permit of semaphore a; more than its permits inside is wrong
    give,     // monitor a gains one
    take,     // waits until monitor a has one, takes it
    acquire,  // a permit of semaphore a
    release,  // a permit to semaphore a
    meet,     // barrier a
    done,     // group a loses one
    wait,     // until group a is at zero
    cancel,   // context a
    await,    // until context a is cancelled; mode: by which call
    tick,     // something of the timers, which has one outcome; mode: what
    yield, sleep, spin,  // k microseconds, k rounds
};

struct stmt {
    op what;
    int a = 0, b = 0, mode = 0;
    u64 k = 0;
    std::vector<int> list{};
    std::vector<stmt> body{};
};
using block = std::vector<stmt>;

struct process {
    std::string name;
    block body;
    bool leaves = false;  // ends by this_goroutine::exit, where it is a goroutine that nobody joins
};

inline constexpr u64 nothing = 0x6e6f7468696e67;  // what a receive from a closed channel is taken for
inline constexpr u64 left_empty = 0x65;           // what a task that left is taken for
inline constexpr int ways = 12;                   // to send, and to receive
inline constexpr int element_kinds = 4;

struct program {
    struct channel {
        int capacity, kind;
    };
    struct group {
        int count;
        bool latch;
    };
    std::vector<process> processes;
    std::vector<channel> channels;
    std::vector<int> requests;         // capacities
    std::vector<int> context_parents;  // -1: the root
    std::vector<int> monitors, semaphores, barriers;  // counts at the start; participants
    std::vector<group> groups;
    int mutexes = 0, shared_mutexes = 0, cells = 0, sinks = 0, onces = 0;
    int top = 0;  // the process that runs all others
};

// What is left when a program has ended; both sides fill it, and it is compared as a whole.
struct outcome {
    std::vector<u64> digests, ends;  // per process: the sum of its instances' last digests; how many ended
    std::vector<u64> sums, counts;   // per sink
    std::vector<u64> cells, monitors, semaphores, contexts;
    std::vector<u64> left, left_sum, closed;  // per channel: elements, their sum, whether it is closed
    u64 wrong = 0;                            // violations seen on the way
    bool operator==(const outcome&) const = default;
};

inline constexpr const char* names[] = {
    "fn",    "note",  "bag",    "send", "recv", "pair",   "choose", "deal",     "close",  "range",   "merge",
    "gather", "bounce", "refuse", "call", "serve", "hush", "repeat", "only", "par",  "task", "blocking", "pinned", "attempt",
    "toss",  "lock",  "shared", "add",  "check", "same",  "once",   "gate",     "give",   "take",    "acquire",
    "release", "meet", "done",  "wait", "cancel", "await", "tick",  "yield",    "sleep",  "spin",
};
static_assert(std::size(names) == static_cast<std::size_t>(op::spin) + 1);

inline std::string text(const block& b, const program& p, int depth) {
    std::string out;
    const std::string indent(static_cast<std::size_t>(4 * depth), ' ');
    for (const stmt& s : b) {
        out += indent + names[static_cast<int>(s.what)];
        out += " a=" + std::to_string(s.a);
        if (s.b) out += " b=" + std::to_string(s.b);
        if (s.mode) out += " mode=" + std::to_string(s.mode);
        if (s.k) out += " k=" + std::to_string(s.k);
        if (!s.list.empty()) {
            out += " list=";
            for (int i : s.list) {
                bool named = s.what == op::par;
                out += (named ? p.processes[static_cast<std::size_t>(i)].name : std::to_string(i)) + ",";
            }
            out.pop_back();
        }
        out += s.body.empty() ? "\n" : " {\n" + text(s.body, p, depth + 1) + indent + "}\n";
    }
    return out;
}

inline std::string text(const program& p) {
    std::string out;
    auto table = [&](const char* what, const auto& v, auto item) {
        if (v.empty()) return;
        out += what;
        for (std::size_t i = 0; i < v.size(); i++) out += " " + std::to_string(i) + ":" + item(v[i]);
        out += "\n";
    };
    auto number = [](int n) { return std::to_string(n); };
    table("channels (capacity/kind)", p.channels, [](auto& c) {
        return std::to_string(c.capacity) + "/" + std::to_string(c.kind);
    });
    table("requests (capacity)", p.requests, number);
    table("monitors", p.monitors, number);
    table("semaphores", p.semaphores, number);
    table("barriers", p.barriers, number);
    table("groups", p.groups, [](auto& g) { return std::to_string(g.count) + (g.latch ? "L" : ""); });
    table("contexts (parent)", p.context_parents, number);
    for (const process& q : p.processes) out += "process " + q.name + (q.leaves ? " (leaves)" : "") + ":\n" + text(q.body, p, 1);
    return out;
}

// The lines in which two outcomes differ.
inline std::string differences(const program& p, const outcome& want, const outcome& got) {
    std::string out;
    auto line = [&](const std::string& what, u64 w, u64 g) {
        if (w != g) out += "  " + what + ": reference " + std::to_string(w) + ", rt0 " + std::to_string(g) + "\n";
    };
    auto all = [&](const char* what, const std::vector<u64>& w, const std::vector<u64>& g) {
        if (w.size() != g.size()) out += std::string("  ") + what + ": tables of different sizes\n";
        for (std::size_t i = 0; i < w.size() && i < g.size(); i++) line(what + (" " + std::to_string(i)), w[i], g[i]);
    };
    for (std::size_t i = 0; i < p.processes.size(); i++) {
        line("digest of " + p.processes[i].name, want.digests[i], got.digests[i]);
        line("ends of " + p.processes[i].name, want.ends[i], got.ends[i]);
    }
    all("sum of sink", want.sums, got.sums);
    all("count of sink", want.counts, got.counts);
    all("cell", want.cells, got.cells);
    all("monitor", want.monitors, got.monitors);
    all("semaphore", want.semaphores, got.semaphores);
    all("context", want.contexts, got.contexts);
    all("elements left in channel", want.left, got.left);
    all("sum left in channel", want.left_sum, got.left_sum);
    all("closed channel", want.closed, got.closed);
    line("violations", want.wrong, got.wrong);
    return out;
}

}  // namespace csp
