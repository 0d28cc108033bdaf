// Newborns; invariants BN1-BN7 in born.h.
#include "sched/born.h"

#include <algorithm>
#include <utility>

#include "base/chaos.h"
#include "base/forked.h"
#include "kernel_if/clock.h"
#include "sched/choose.h"
#include "sched/runq.h"

namespace rt0::runtime {

namespace {

constexpr std::uint32_t half = cfg::born_size / 2;

class born_guard {
public:
    explicit born_guard(p* pp) : lock_(pp->bornlock) {
        if (one_p()) return;  // RQ7: no thieves
        // ORDER(born-lock): acquire; pairs with the release below.
        if (lock_.exchange(1, memory_order_acquire) != 0) [[unlikely]] wait();
        lock_took(lock_rank::born, this);
        chaos_pause_debug(window::born_take);
    }
    // ORDER(born-lock): release; what was done under the lock is seen by the next holder.
    // With one P it was not taken, and is 0 already.
    ~born_guard() {
        if constexpr (lock_books)
            if (!one_p()) lock_dropping(lock_rank::born, true);
        lock_.store(0, memory_order_release);
    }
    born_guard(const born_guard&) = delete;
    born_guard& operator=(const born_guard&) = delete;

private:
    [[gnu::noinline]] void wait() {
        int i = 1;
        // ORDER(born-lock): acquire; as above.
        for (; lock_.exchange(1, memory_order_acquire) != 0; i++)
            if (i % 64 == 63) {  // its holder has lost the processor
                forked_child_check();
                if (i < 1024) kernel::osyield();
                else kernel::usleep(1);  // nobody of a lower class runs while we yield (SM4)
            } else {
                arch::cpu_relax();
            }
    }

    atomic<std::uint32_t>& lock_;
};

g* slot(const p* pp, std::uint32_t i) {
    return pp->born[i % cfg::born_size].load(memory_order_relaxed);  // relaxed: BN2; published by borntail
}

// Of a thousand newborns neither the G nor the top of its stack is in the first-level cache any more: fetch them while
// the one before, or the two before, run.  n: how many are left below tail.
void fetch_ahead(const p* pp, std::uint32_t tail, std::uint32_t n) {
    if (n < 2) return;
    const char* second = reinterpret_cast<const char*>(slot(pp, tail - 2));
    for (std::size_t line = 0; line < sizeof(g); line += 64) __builtin_prefetch(second + line, 1);
    const std::uintptr_t top = slot(pp, tail - 1)->sched.sp;
    for (std::uintptr_t at = top - 64; at != top + 128; at += 64) __builtin_prefetch(reinterpret_cast<const void*>(at), 1);
}

constexpr std::uint64_t bornlate_set = std::uint64_t{1} << 32;

// BN4: one of so many that the owner takes is its oldest.
std::uint32_t oldest_every(p* pp, std::uint32_t head, std::uint32_t tail) {
    // relaxed, both: a hint.
    if (const std::uint64_t late = pp->bornlate.load(memory_order_relaxed); late != 0) [[unlikely]] {
        const std::int32_t left = std::min(static_cast<std::int32_t>(static_cast<std::uint32_t>(late) - head),
                                           static_cast<std::int32_t>(tail - head));  // the newest of them may have gone
        pp->bornlate.store(left > 0 ? bornlate_set | (head + static_cast<std::uint32_t>(left)) : 0, memory_order_relaxed);
        if (left > 0) return cfg::born_oldest_late;
    }
    return tail - head > cfg::born_crowd ? cfg::born_oldest_crowded : cfg::born_oldest;
}

// BN7
[[gnu::cold]] void crowd_begins(p* pp) {
    const std::int64_t now = kernel::nanotime();
    // What was long ago says little, and sysmon must look soon.  relaxed: a hint.
    const std::int64_t look = sched.sysmonnext.load(memory_order_relaxed) - now;
    if (now - pp->crowdwhen >= cfg::crowd_alone_ns || look >= cfg::alone_look) pp->crowdbrisk = false;
    pp->crowd = true;
    pp->crowdputs = pp->bornputs;
    pp->crowdpicks = pp->bornpicks;
    pp->crowdwhen = now;
}

[[gnu::cold]] void crowd_ends(p* pp) {
    pp->crowd = false;
    const std::int64_t now = kernel::nanotime(), took = now - pp->crowdwhen;
    const std::int64_t all = cfg::crowd_gs + (pp->bornputs - pp->crowdputs), ran = pp->bornpicks - pp->crowdpicks;
    // relaxed: a hint.
    const std::int64_t busy = gomaxprocs_now.load(memory_order_relaxed) - sched.npidle.load(memory_order_relaxed);
    pp->crowdwasbrisk = crowd_was_brisk(took, all, ran, busy, pp->crowdwasbrisk);
    pp->crowdbrisk = pp->crowdwasbrisk;
    pp->crowdwhen = now;
}

// The deque is full: its oldest half and gp go to the global queue.
[[gnu::noinline]] void spill(p* pp, g* gp) {
    gqueue batch;
    std::uint32_t n;
    {
        born_guard l(pp);
        std::uint32_t head = pp->bornhead.load(memory_order_relaxed);  // relaxed: bornlock
        n = pp->borntail.load(memory_order_relaxed) - head;            // relaxed: BN1, our own
        if (n > half) n = half;                                        // thieves may have made room since
        for (std::uint32_t i = 0; i < n; i++) batch.push_back(slot(pp, head + i));
        // ORDER(born-head): release; the slots are read before they count as free.
        pp->bornhead.store(head + n, memory_order_release);
    }
    batch.push_back(gp);
    guard l(sched.lock);
    globrunqputbatch(&batch, static_cast<std::int32_t>(n + 1));
}

}  // namespace

void born_put(p* pp, g* gp) {
    // ORDER(born-head): acquire; slots that thieves took are free to overwrite.
    std::uint32_t head = pp->bornhead.load(memory_order_acquire);
    std::uint32_t tail = pp->borntail.load(memory_order_relaxed);  // relaxed: BN1
    if (tail - head >= cfg::born_size) [[unlikely]]
        return spill(pp, gp);
    pp->born[tail % cfg::born_size].store(gp, memory_order_relaxed);  // relaxed: published by the tail
    chaos_pause_debug(window::born_put);
    // ORDER(born-tail): release; pairs with the acquires of thieves (and WK6 for wakep).
    pp->borntail.store(tail + 1, memory_order_release);
    pp->bornfresh = true;
    pp->bornputs++;
    if (tail + 1 - head == cfg::crowd_gs && !pp->crowd) [[unlikely]]
        crowd_begins(pp);
}

g* born_get(p* pp) {
    std::uint32_t tail = pp->borntail.load(memory_order_relaxed);               // relaxed: BN1
    if (tail == pp->bornhead.load(memory_order_relaxed)) {                      // relaxed: only we add
        if (pp->crowd) crowd_ends(pp);
        return nullptr;
    }
    g* gp;
    bool last;
    {
        born_guard l(pp);
        std::uint32_t head = pp->bornhead.load(memory_order_relaxed);           // relaxed: bornlock
        if (head == tail) return nullptr;
        if (++pp->bornpicks % oldest_every(pp, head, tail) == 0) {              // BN4
            pp->bornhead.store(head + 1, memory_order_relaxed);                 // relaxed: we are who would overwrite the slot
            return slot(pp, head);
        }
        pp->borntail.store(tail - 1, memory_order_relaxed);                     // relaxed: bornlock
        fetch_ahead(pp, tail - 1, tail - 1 - head);
        gp = slot(pp, tail - 1);
        last = tail - 1 == head;
    }
    if (last && pp->crowd) crowd_ends(pp);
    return gp;
}

g* born_get_oldest(p* pp) {
    if (born_empty(pp)) return nullptr;
    born_guard l(pp);
    std::uint32_t head = pp->bornhead.load(memory_order_relaxed);               // relaxed: bornlock
    if (head == pp->borntail.load(memory_order_relaxed)) return nullptr;        // relaxed: BN1
    pp->bornhead.store(head + 1, memory_order_relaxed);                         // relaxed: we are who would overwrite the slot
    return slot(pp, head);
}

bool crowd_was_brisk(std::int64_t took, std::int64_t all, std::int64_t ran, std::int64_t busy, bool before) {
    // The first crowd after a theft runs out of another's cache: that alone does not end it.
    if (ran + 8 >= all) return 2 * took < (before ? 3 : 2) * ran * cfg::crowd_turn_ns;  // few others make no difference
    // Where others take some, those that do next to nothing take about twice as long (measured).  But many thieves would
    // make long turns look short: either half of them ran here, or not many Ps can have shared them.
    const std::int64_t sharers = std::min(busy, all / std::max<std::int64_t>(ran, 1));
    return 3 * took < 4 * all * cfg::crowd_turn_ns && sharers * took < 3 * all * cfg::crowd_turn_ns;
}

bool born_suffices(const p* pp, std::int64_t now) {
    // relaxed: a hint.
    return pp->crowdbrisk && now - pp->crowdwhen < cfg::crowd_alone_ns && pp->status.load(memory_order_relaxed) == prunning;
}

void born_look(p* pp, std::int64_t now) {
    // relaxed, all: hints.
    const std::uint32_t head = pp->bornhead.load(memory_order_relaxed), tail = pp->borntail.load(memory_order_relaxed);
    const std::uint32_t moved = head - pp->bornslices;  // but for BN5's picks: one every other slice
    if (head == tail || std::exchange(pp->sysmonborn, moved) != moved) {
        pp->sysmonbornstood = 0;
    } else if (pp->turns != pp->backlogturns) {  // or its M had no processor
        pp->sysmonbornstood += std::min(now - pp->backlogwhen, cfg::sysmon_tick_busy);
        if (pp->sysmonbornstood >= cfg::born_late) pp->bornlate.store(bornlate_set | tail, memory_order_relaxed);  // relaxed
    }
}

g* born_steal(p* pp, p* p2) {
    if (born_empty(p2)) return nullptr;
    if (!by_seed() && p2->crowdbrisk && born_suffices(p2, kernel::nanotime())) {
        pp->left_newborns = true;
        return nullptr;
    }
    std::uint32_t mine = pp->borntail.load(memory_order_relaxed);               // relaxed: BN1
    // ORDER(born-head): acquire; as in born_put.
    std::uint32_t room = cfg::born_size - (mine - pp->bornhead.load(memory_order_acquire));
    std::uint32_t n;
    {
        born_guard l(p2);
        std::uint32_t head = p2->bornhead.load(memory_order_relaxed);           // relaxed: bornlock
        // ORDER(born-tail): acquire; the slots below it are filled (BN2).
        n = p2->borntail.load(memory_order_acquire) - head;
        n -= n / 2;
        if (n > room) n = room;
        for (std::uint32_t i = 0; i < n; i++)
            pp->born[(mine + i) % cfg::born_size].store(slot(p2, head + i), memory_order_relaxed);  // relaxed: our tail publishes
        // ORDER(born-head): release; pairs with the acquire in born_put: the slots are free.
        p2->bornhead.store(head + n, memory_order_release);
    }
    if (n == 0) return nullptr;
    g* gp = slot(pp, mine + n - 1);
    // ORDER(born-tail): release; the others are published to other thieves.
    pp->borntail.store(mine + n - 1, memory_order_release);
    return gp;
}

}  // namespace rt0::runtime
