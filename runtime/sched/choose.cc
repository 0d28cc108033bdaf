// Choosing by a seed; CZ1-CZ4 in choose.h.
#include "sched/choose.h"

#include "base/chaos.h"
#include "base/mix.h"
#include "base/seeded.h"
#include "kernel_if/clock.h"
#include "sched/born.h"
#include "sched/retake.h"
#include "sched/runq.h"

namespace rt0::runtime {

constinit bool seed_chooses = false;

namespace {

g* from_global(p* pp) {
    if (sched.runqsize.load(memory_order_relaxed) == 0) return nullptr;  // relaxed: the next turn sees it
    guard l(sched.lock);
    return globrunqget(pp, 1);
}

void demote_runnext(p* pp) {
    // relaxed: a thief may be first; the CAS decides.
    if (g* next = pp->runnext.load(memory_order_relaxed); next && take_runnext(pp, next)) runqput(pp, next, false);
}

// ---- schedseed.  There is one P: no thieves (RQ7), and its holder has all that stands here.

std::uint64_t hash = 0;        // of the schedule so far [own:P]
std::uint32_t yields_one_in = 0;  // one in so many points yields [const] once RT0DEBUG is read

std::uint32_t ring_len(const p* pp) {
    // relaxed: our own.
    return pp->runqtail.load(memory_order_relaxed) - pp->runqhead.load(memory_order_relaxed);
}

// Into the ring, as far as there is room, with what stands elsewhere and has run before.
void gather(p* pp) {
    demote_runnext(pp);
    const std::uint32_t room = cfg::runq_size - ring_len(pp);
    if (room == 0 || sched.runqsize.load(memory_order_relaxed) == 0) return;  // relaxed: who adds to it has the P
    guard l(sched.lock);
    if (g* gp = globrunqget(pp, static_cast<std::int32_t>(room))) runqput(pp, gp, false);
}

// The slot number `i` from the head takes the head's place.  relaxed: our own, and no thieves.
template <std::size_t N>
void to_the_front(atomic<g*> (&slots)[N], std::uint32_t head, std::uint32_t i) {
    g* chosen = slots[(head + i) % N].load(memory_order_relaxed);
    slots[(head + i) % N].store(slots[head % N].load(memory_order_relaxed), memory_order_relaxed);
    slots[head % N].store(chosen, memory_order_relaxed);
}

g* any_of_ring(p* pp, std::uint32_t n) {
    to_the_front(pp->runq, pp->runqhead.load(memory_order_relaxed), seeded_below(n));  // relaxed: our own
    return ring_get(pp);
}

g* any_newborn(p* pp, std::uint32_t n) {
    if (seeded_below(4) != 0) return born_get(pp);
    to_the_front(pp->born, pp->bornhead.load(memory_order_relaxed), seeded_below(n));  // relaxed: our own
    return born_get_oldest(pp);
}

}  // namespace

void picked(g* gp) {
    hash = mix64(hash ^ gp->goid);
    m* runs = gp->lockedm ? gp->lockedm : getg()->mp.get();
    runs->rand = seeded_draw() | 1;  // CZ2
    virtual_tick();
}

namespace {

g* choose_seeded(p* pp) {
    gather(pp);
    const std::uint32_t old = ring_len(pp), born = born_len(pp);
    // What gather had no room for.  relaxed: as there.
    const auto left = static_cast<std::uint32_t>(sched.runqsize.load(memory_order_relaxed));
    if (old + born == 0) return nullptr;
    const std::uint32_t pick = seeded_below(old + born + left);
    g* gp = pick < left ? from_global(pp) : pick < left + old ? any_of_ring(pp, old) : any_newborn(pp, born);
    picked(gp);
    return gp;
}

// ---- chaos

// In this spell of pp's rounds one in eight of what has `id` is starved, or nothing is (CZ4).
bool starved(const p* pp, std::uint64_t id) {
    std::uint32_t spell = pp->schedtick.load(memory_order_relaxed) / cfg::chaos_spell;  // relaxed: our own
    return spell % 2 != 0 && mix64(chaos_seed() ^ mix64(id) ^ spell) % 8 == 0;
}

g* pass_over_starved(p* pp, bool* inherit) {
    for (std::uint32_t i = 0; i < cfg::chaos_pass_over; i++) {
        g* gp = runqget(pp, inherit);
        if (!gp || !starved(pp, gp->goid) || runqempty(pp)) return gp;
        runqput(pp, gp, false);
    }
    return runqget(pp, inherit);
}

bool one_in(std::uint64_t& draw, std::uint32_t n) {
    bool yes = draw % n == 0;
    draw /= n;
    return yes;
}

g* choose_by_chance(p* pp, bool* inherit) {
    std::uint64_t draw = chaos_draw();
    *inherit = false;
    g* gp = one_in(draw, 16) ? from_global(pp) : nullptr;
    if (!gp) {
        if (one_in(draw, 8)) demote_runnext(pp);
        gp = pass_over_starved(pp, inherit);
    }
    // relaxed: a hint, as in preemptone.
    if (gp && one_in(draw, 8)) getg()->mp->retake.fetch_or(rt_preempt, memory_order_relaxed);
    return gp;
}

}  // namespace

void choose_start() {
    seed_chooses = seeded() || chaos_seed() != 0;
    sched.detour.store(seed_chooses, memory_order_relaxed);  // relaxed: one thread so far
    if (seeded()) yields_one_in = 2u << 2 * seeded_below(3);
}

g* choose(p* pp, bool* inherit) {
    if (!seeded()) return choose_by_chance(pp, inherit);
    *inherit = false;
    return choose_seeded(pp);
}

bool round_is_due(p* pp) {
    std::int64_t due = pp->timers.when0.load(memory_order_relaxed);  // relaxed: looked at again under the lock
    if (seeded()) return due != 0 && due <= virtual_now();
    return chaos_draw() % 32 == 0;  // of anything else's: the global queue's, the timers'
}

void starve(p* pp) {
    if (seeded() || !starved(pp, ~static_cast<std::uint64_t>(pp->id))) return;
    // About four times in a spell.
    std::uint64_t draw = chaos_draw();
    if (one_in(draw, cfg::chaos_spell / 4)) kernel::usleep(static_cast<std::uint32_t>(draw % cfg::chaos_starve_us));
}

void chance_of_theft(bool* alone, bool* stealnext) {
    std::uint64_t draw = chaos_draw();
    if (one_in(draw, 4)) *alone = !*alone;
    if (one_in(draw, 4)) *stealnext = true;
}

void seeded_point(g* gp) {
    virtual_tick();
    // relaxed: set by the goroutine that still runs.
    if (gp->foreign || sched.exiting.load(memory_order_relaxed)) return;
    if (seeded_below(yields_one_in) == 0) gosched();
}

std::uint64_t seeded_hash() { return hash; }

}  // namespace rt0::runtime
