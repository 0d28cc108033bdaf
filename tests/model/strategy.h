// Who decides: every choice of a run (which thread goes on, what a load sees, whether a wait ends early)
// is a number below n, asked of one of these.  The numbers are the schedule: replaying them is replaying the
// run.  0 is always the dull choice: go on, see the last store, nothing spurious.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace model {

enum class kind : std::uint8_t {
    go_on,   // a thread that can go on: 0, or another thread (a preemption)
    yield,   // one that spins or yields: another thread; the last choice is to stay
    block,   // one that cannot go on: another thread
    see,     // a load: 0 the last store, k the k-th before it
    early,   // 1: a futex wait returns though nobody woke it, a weak compare-and-exchange fails
};

constexpr unsigned not_deterministic = ~0u;  // a choice that cannot be: the scenario depends on more than its schedule

using schedule = std::vector<std::uint8_t>;
std::string to_string(const schedule& s);  // "0x12.1.0x3": runs of equal numbers
schedule parse_schedule(const std::string& text);

class strategy {
public:
    virtual ~strategy() = default;
    virtual void begin() {}
    // n >= 2.  threads: who would go on by each choice, for the first three kinds; current: who asks.
    virtual unsigned choose(kind k, unsigned n, int current, const int* threads) = 0;
    // After a run.  False: there is no other.
    virtual bool next() = 0;
    // What there was to do has been done.
    virtual bool complete() const { return false; }
    // How much of it, to stand behind the number of runs.
    virtual std::string covered() const { return ""; }
};

// Uniform choices; how often it switches and how often it looks back is drawn for each run.
std::unique_ptr<strategy> random_walk(std::uint64_t seed, unsigned runs);
// Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding
// Bugs" (2010): the runnable thread of highest priority runs; priorities are random, and at `depth` - 1 random
// steps the running thread's falls below all others.  A thread that yields falls too.
std::unique_ptr<strategy> priorities(std::uint64_t seed, unsigned runs, unsigned depth);
// All schedules within the bounds, depth first, those with few preemptions before those with more: Musuvathi and
// Qadeer, "Iterative Context Bounding" (2007); loads that look back and what comes early are bounded too.
struct bounds {
    unsigned preemptions = 2, looks_back = 1, early = 1;
    unsigned runs = 200'000;  // at most, over all
    unsigned stays = 1;       // a thread that yields goes on all the same
};
std::unique_ptr<strategy> exhaustive(const bounds& b);
// The dull run; then, as far as `runs` goes, those that differ from it in one choice, then in two, then in three.  A
// point is one other choice at one decision of a run of the level before, be it a preemption, another thread where one
// blocks or yields, or, as far as b allows them, an old read or an early end; b bounds no preemptions here, unless to
// none.  Of each level the points are taken in steps of the golden section, from a start that the seed gives: whatever
// the number of runs, they lie evenly over the whole length, where depth-first search that is cut short has varied
// the last choices only.
std::unique_ptr<strategy> evenly(std::uint64_t seed, const bounds& b, unsigned runs);
std::unique_ptr<strategy> replay(schedule s);

}  // namespace model
