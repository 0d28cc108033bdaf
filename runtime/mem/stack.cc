// Stacks.  Invariants: stack.h.
#include "mem/stack.h"

#include "base/throw.h"
#include "kernel_if/memory.h"
#include "kernel_if/sys.h"
#include "mem/asan.h"
#include "mem/heap.h"

namespace rt0::runtime {

constinit stackpool_order stackpool[stack_orders];
constinit stacklarge_pool stacklarge;

static_assert(cfg::stack_guard < cfg::stack_min && cfg::stack_span / cfg::stack_min <= 64);
static_assert(cfg::stack_large > cfg::stack_min && cfg::stack_span % (cfg::stack_large / 2) == 0);

namespace {

// Order of the smallest slot that holds n bytes; may be beyond stack_orders.
int order_of(std::size_t n) {
    return static_cast<int>(std::bit_width((n - (n != 0)) | (cfg::stack_min - 1))) - std::countr_zero(cfg::stack_min);
}

// memcheck's number of a stack lies in its lowest word while it is in use: of no use there to anybody but an overflow.
unsigned* vg_number(const stack& s) { return reinterpret_cast<unsigned*>(s.lo); }
void vg_enter(const stack& s) { *vg_number(s) = kernel::vg_stack_register(reinterpret_cast<void*>(s.lo), s.hi - s.lo); }
void vg_leave(const stack& s) {
    kernel::vg_defined(vg_number(s), sizeof(unsigned));
    kernel::vg_stack_deregister(*vg_number(s));
}

stack make_stack(std::uintptr_t slot, std::size_t size) {
    stack s{slot + cfg::stack_guard, slot + size, slot, size};
    // The last user's frames ended without telling, if its goroutine did not return from them.
    fresh_stack(s);
    if (on_valgrind) [[unlikely]]
        vg_enter(s);
    return s;
}

// Written under the owner's lock only, so no read-modify-write.
void add_hint(atomic<std::size_t>& a, std::ptrdiff_t n) {
    std::size_t old = a.load(memory_order_relaxed);                   // relaxed: the lock is held
    a.store(old + static_cast<std::size_t>(n), memory_order_relaxed);  // relaxed: others read a hint
}
void add_dirty(stackpool_order& pool, std::ptrdiff_t n) REQUIRES(pool.lock) { add_hint(pool.ndirty, n); }

// ---- guards

enum class guarding { done, without, refused };

void warn_unguarded() {
    static constinit atomic<bool> said{false};
    if (!kernel::has_room(2)) return;  // not to wait for who reads, with a P
    if (said.exchange(true, memory_order_relaxed)) return;  // relaxed: only one line, whoever prints it
    warn(textbuf() << "no guard pages left for stacks after " << std::uint64_t{heap.guards.load(memory_order_relaxed)}
                   << " (each takes two of vm.max_map_count mappings; none since Linux 6.13, but in locked memory): "
                      "further stacks have none, and an overflow will not be caught");
}

// PA5: a guard that takes mappings more (1), or less (-1).
void count_mapped(arena* a, std::size_t page, std::ptrdiff_t n) REQUIRES(heap.lock) {
    a->mapped[page / 64] ^= std::uint64_t{1} << (page % 64);
    add_hint(heap.guards, n);
}

// Where guards cost mappings there is an end to them before the memory ends: from there on
// stacks do without, said once.
guarding install_guard(std::uintptr_t slot) {
    // relaxed: a limit that two at once may pass by one.
    const bool room = heap.guards.load(memory_order_relaxed) < heap.guards_max;
    bool maps;
    if (kernel::guard_install(reinterpret_cast<void*>(slot), cfg::stack_guard, room, &maps) != 0) {
        if (!maps) return guarding::refused;
        warn_unguarded();
        return guarding::without;
    }
    if (maps) {
        arena* a = span_of(slot)->ar;
        guard g(heap.lock);
        count_mapped(a, a->page_of(slot), 1);
    }
    return guarding::done;
}

// ---- pools of small stacks

std::uint64_t low_bits(std::size_t n) { return n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1; }

// The free slots to take first: likely in memory, then with a guard, then any.
std::uint64_t best_slots(const mspan* s) {
    if (std::uint64_t m = s->slot_free & s->slot_guarded & ~s->slot_clean) return m;
    if (std::uint64_t m = s->slot_free & s->slot_guarded) return m;
    return s->slot_free;
}

// Puts s on the list where its free slots belong.
void place(stackpool_order& pool, mspan* s) REQUIRES(pool.lock) {
    spanlist* want = s->slot_free == 0 ? nullptr : s->slot_free & ~s->slot_clean ? &pool.warm : &pool.cold;
    if (s->list == want) return;
    if (s->list) s->list->remove(s);
    if (want) want->push_front(s);
}

mspan* pool_grow(stackpool_order& pool, int order) REQUIRES(pool.lock) {
    std::size_t size = order_size(order), n = cfg::stack_span / size;
    mspan* s = stackspan_alloc(size, n);
    if (!s) s = stackspan_alloc(size, n = 1);  // little is left
    if (!s) return nullptr;
    s->order = static_cast<std::uint8_t>(order);
    s->slot_free = low_bits(n);
    pool.nfree += n;
    add_dirty(pool, std::popcount(s->slot_free & ~s->slot_clean));
    place(pool, s);
    return s;
}

// Takes up to want slots; of those that never had a guard at most cfg::stack_fresh_batch,
// and only when there are no others.  Bit i of *fresh: out[i] has no guard yet.
std::uint32_t pool_take(int order, std::uintptr_t* out, std::uint32_t want, std::uint64_t* fresh) {
    stackpool_order& pool = stackpool[order];
    std::uint32_t n = 0;
    *fresh = 0;
    guard g(pool.lock);
    while (n < want) {
        mspan* s = pool.warm.empty() ? pool.cold.first : pool.warm.first;
        if (!s && (n > 0 || !(s = pool_grow(pool, order)))) break;
        std::uint64_t m = best_slots(s);
        bool guarded = (m & s->slot_guarded) != 0;
        if (!guarded && n > 0) break;
        std::uint32_t most = !guarded && want > cfg::stack_fresh_batch ? cfg::stack_fresh_batch : want - n;
        for (; m != 0 && most > 0; m &= m - 1, most--) {
            std::uint64_t bit = m & -m;
            if (!guarded) *fresh |= std::uint64_t{1} << n;
            if ((s->slot_clean & bit) == 0) add_dirty(pool, -1);
            s->slot_guarded |= bit;  // a promise: the caller installs it
            s->slot_free &= ~bit;
            out[n++] = s->start + static_cast<std::size_t>(std::countr_zero(bit)) * order_size(order);
            pool.nfree--;
        }
        place(pool, s);
        if (!guarded) break;
    }
    return n;
}

mspan* checked_span(std::uintptr_t slot, int order) {
    mspan* s = span_of(slot);
    // relaxed: whoever owns the slot keeps the span in this state.
    if (!s || s->state.load(memory_order_relaxed) != span_state::manual || s->order != order ||
        slot % order_size(order) != 0)
        runtime_throw("stackfree: not a stack");
    return s;
}

void put_locked(stackpool_order& pool, int order, std::uintptr_t slot, bool clean) REQUIRES(pool.lock) {
    mspan* s = checked_span(slot, order);
    std::uint64_t bit = std::uint64_t{1} << ((slot - s->start) / order_size(order));
    if (s->slot_free & bit) runtime_throw("stackfree: stack is free already");
    s->slot_free |= bit;
    s->slot_clean = clean ? s->slot_clean | bit : s->slot_clean & ~bit;
    pool.nfree++;
    if (!clean) add_dirty(pool, 1);
    place(pool, s);
    if (s->slot_free != low_bits(s->nslots) || pool.nfree == s->nslots) return;  // SK4
    s->list->remove(s);
    pool.nfree -= s->nslots;
    add_dirty(pool, -std::popcount(s->slot_free & ~s->slot_clean));
    stackspan_free(s);
}

[[gnu::noinline]] void pool_put(int order, const std::uintptr_t* slots, std::uint32_t n) {
    guard g(stackpool[order].lock);
    for (std::uint32_t i = 0; i < n; i++) put_locked(stackpool[order], order, slots[i], false);
}

void forget_guard(int order, std::uintptr_t slot) {
    guard g(stackpool[order].lock);
    mspan* s = checked_span(slot, order);
    s->slot_guarded &= ~(std::uint64_t{1} << ((slot - s->start) / order_size(order)));
}

// Slots ready for use, at most want; 0 when the kernel refuses.
std::uint32_t pool_alloc(int order, std::uintptr_t* out, std::uint32_t want) {
    std::uint64_t fresh;
    std::uint32_t taken = pool_take(order, out, want, &fresh), n = 0;
    for (std::uint32_t i = 0; i < taken; i++) {
        guarding r = fresh >> i & 1 ? install_guard(out[i]) : guarding::done;
        if (r != guarding::done) forget_guard(order, out[i]);
        if (r == guarding::refused) {
            pool_put(order, &out[i], 1);
        } else {
            out[n++] = out[i];
        }
    }
    return n;
}

[[gnu::noinline]] stack stackalloc_refill(mcache* c, int order) {
    mallocinit();
    std::uintptr_t slots[stack_cache_slots / 2];
    std::uint32_t n = pool_alloc(order, slots, c ? order_cap(order) / 2 : 1);
    if (n == 0) return {};
    for (std::uint32_t i = n; i > 1; i--) c->stacks[order].slot[c->stacks[order].n++] = slots[i - 1];
    return make_stack(slots[0], order_size(order));
}

// To the pool: the slot itself without a cache, else the older half of the cache, which is full.
[[gnu::noinline]] void stackfree_spill(mcache* c, int order, std::uintptr_t slot) {
    if (!c) return pool_put(order, &slot, 1);
    stackcache& sc = c->stacks[order];
    std::uint32_t half = sc.n / 2;
    pool_put(order, sc.slot, half);
    sc.n -= half;
    for (std::uint32_t i = 0; i < sc.n; i++) sc.slot[i] = sc.slot[half + i];
    sc.slot[sc.n++] = slot;
}

// ---- large stacks

int large_order(std::size_t size) { return std::countr_zero(size) - std::countr_zero(cfg::stack_large); }

void large_count(std::ptrdiff_t n) REQUIRES(stacklarge.lock) { add_hint(stacklarge.bytes, n); }

[[gnu::noinline]] stack stackalloc_large(std::size_t n) {
    mallocinit();
    std::size_t size = std::bit_ceil(n);
    mspan* s;
    {
        guard g(stacklarge.lock);
        spanlist& l = stacklarge.free[large_order(size)];
        s = l.first;
        if (s) {
            l.remove(s);
            large_count(-static_cast<std::ptrdiff_t>(size));
        }
    }
    if (!s) s = stackspan_alloc(size, 1);
    if (!s) return {};
    if (!s->slot_guarded) {
        guarding r = install_guard(s->start);
        if (r == guarding::done) s->slot_guarded = 1;
        if (r == guarding::refused) {
            stackspan_free(s);
            return {};
        }
    }
    s->slot_free = s->slot_clean = 0;
    return make_stack(s->start, size);
}

[[gnu::noinline]] void stackfree_large(stack st) {
    mspan* s = span_of(st.slot);
    // relaxed: whoever owns the slot keeps the span in this state.
    if (!s || s->state.load(memory_order_relaxed) != span_state::manual || s->start != st.slot ||
        s->npages * cfg::stack_min != st.size || s->slot_free)
        runtime_throw("stackfree: not a stack");
    guard g(stacklarge.lock);
    s->slot_free = 1;
    stacklarge.free[large_order(st.size)].push_front(s);
    large_count(static_cast<std::ptrdiff_t>(st.size));
}

}  // namespace

// ---- spans

namespace {

// f(i) for each page i of the span in which an old guard lies (PA5); f says whether that goes on to be known there.
template <class F>
void for_guards(mspan* s, F f) REQUIRES(heap.lock) {
    const std::size_t first = s->ar->page_of(s->start);
    for (std::size_t i = 0; i < s->npages; i++) {
        std::uint64_t& w = s->ar->guards[(first + i) / 64];
        const std::uint64_t bit = std::uint64_t{1} << ((first + i) % 64);
        if ((w & bit) != 0 && !f(i)) w &= ~bit;
    }
}

// All at once; where that is refused (RLIMIT_DATA counts what becomes writable), one by one as far as it goes, under the lock,
// which so rare a case may bear.  False: some are left, and known.
bool remove_guards(mspan* s) {
    const bool all = kernel::guard_remove(reinterpret_cast<void*>(s->start), s->npages * cfg::stack_min) == 0;
    bool left = false;
    guard g(heap.lock);
    for_guards(s, [&](std::size_t i) REQUIRES(heap.lock) {
        if (!all && kernel::guard_remove(reinterpret_cast<void*>(s->start + i * cfg::stack_min), cfg::stack_guard) != 0)
            return left = true;
        const std::size_t page = s->ar->page_of(s->start) + i;
        if (s->ar->mapped[page / 64] >> (page % 64) & 1) count_mapped(s->ar, page, -1);
        return false;
    });
    return !left;
}

}  // namespace

mspan* stackspan_alloc(std::size_t slot_size, std::size_t nslots) {
    std::size_t pages = slot_size * nslots / cfg::stack_min, per_slot = pages / nslots;
    mspan* s;
    bool misfit = false;
    {
        guard g(heap.lock);
        s = heap.stacks.alloc(pages, pages, span_state::manual);
        if (!s) return nullptr;
        s->nslots = static_cast<std::uint8_t>(nslots);
        for_guards(s, [&](std::size_t i) {
            if (i % per_slot == 0) s->slot_guarded |= std::uint64_t{1} << (i / per_slot);
            else misfit = true;
            return true;
        });
        if (!misfit) for_guards(s, [](std::size_t) { return false; });  // the span knows
    }
    s->slot_clean = s->needzero ? 0 : low_bits(nslots);
    if (!misfit) return s;
    // Pages cut anew: the old guards may lie in the middle of a new slot.
    s->slot_guarded = 0;
    if (remove_guards(s)) return s;
    stackspan_free(s);
    return nullptr;
}

void stackspan_free(mspan* s) {
    guard g(heap.lock);
    std::size_t per_slot = s->npages / s->nslots, first = s->ar->page_of(s->start);
    for (std::size_t i = 0; i < s->nslots; i++) {
        std::size_t page = first + i * per_slot;
        if (s->slot_guarded >> i & 1) s->ar->guards[page / 64] |= std::uint64_t{1} << (page % 64);
        if (s->slot_clean >> i & 1) heap.stacks.set_released(s, i * per_slot, per_slot);
    }
    heap.stacks.free(s);
}

// ---- giving back

// The pool's coldest span with dirty slots, those slots taken out of it; null if none.
static mspan* claim_dirty(stackpool_order& pool, std::size_t most, std::uint64_t* claimed) REQUIRES(pool.lock) {
    mspan* s = pool.warm.last;
    if (!s) return nullptr;
    std::uint64_t m = s->slot_free & ~s->slot_clean;
    for (*claimed = 0; m != 0 && most > 0; m &= m - 1, most--) *claimed |= m & -m;
    std::size_t n = static_cast<std::size_t>(std::popcount(*claimed));
    s->slot_free &= ~*claimed;
    pool.nfree -= n;
    add_dirty(pool, -static_cast<std::ptrdiff_t>(n));
    place(pool, s);
    return s;
}

// Gives back dirty slots of one span, `most` of them at most: bytes.  *any: there was one.
static std::size_t scavenge_slots(int order, std::size_t most, bool* any) {
    stackpool_order& pool = stackpool[order];
    std::size_t size = order_size(order), done = 0;
    std::uint64_t claimed = 0;
    mspan* s;
    {
        guard g(pool.lock);
        s = claim_dirty(pool, most, &claimed);
    }
    *any = s != nullptr;
    if (!s) return 0;
    std::uint64_t given = 0;
    for (std::uint64_t m = claimed; m != 0;) {  // runs of neighbours, guards included: those survive
        int first = std::countr_zero(m), n = std::countr_one(m >> first);
        std::uint64_t run = low_bits(static_cast<std::size_t>(n)) << first;
        m &= ~run;
        void* p = reinterpret_cast<void*>(s->start + static_cast<std::size_t>(first) * size);
        if (kernel::sys_unused(p, static_cast<std::size_t>(n) * size) != 0) continue;
        given |= run;
        done += static_cast<std::size_t>(n) * size;
    }
    guard g(pool.lock);
    // Refused: the next time another one.  Not behind the loop, whose last turn may free the span.
    if (done == 0 && s->list == &pool.warm) {
        pool.warm.remove(s);
        pool.warm.push_front(s);
    }
    for (std::uint64_t m = claimed; m != 0; m &= m - 1) {
        auto i = static_cast<std::size_t>(std::countr_zero(m));
        put_locked(pool, order, s->start + i * size, given >> i & 1);
    }
    return done;
}

std::size_t stackpool_scavenge(int order, std::size_t limit) {
    const std::size_t most = limit / order_size(order);
    std::size_t done = 0;
    bool any = most != 0;
    for (int tries = 0; any && done == 0 && tries < cfg::scavenge_tries; tries++) done = scavenge_slots(order, most, &any);
    return done;
}

bool stacklarge_retire() {
    mspan* s = nullptr;
    {
        guard g(stacklarge.lock);
        for (int k = large_orders - 1; k >= 0 && !s; k--) {
            s = stacklarge.free[k].last;
            if (!s) continue;
            stacklarge.free[k].remove(s);
            large_count(-static_cast<std::ptrdiff_t>(cfg::stack_large << k));
        }
    }
    if (s) stackspan_free(s);
    return s != nullptr;
}

// ---- the interface

stack stackalloc(mcache* c, std::size_t n) {
    int order = order_of(n);
    if (order >= stack_orders) return n <= cfg::stack_max ? stackalloc_large(n) : stack{};
    if (!c || c->stacks[order].n == 0) [[unlikely]] return stackalloc_refill(c, order);
    stackcache& sc = c->stacks[order];
    return make_stack(sc.slot[--sc.n], order_size(order));
}

void stackfree(mcache* c, stack s) {
    if (on_valgrind) [[unlikely]]
        vg_leave(s);
    int order = order_of(s.size);
    if (order >= stack_orders) return stackfree_large(s);
    if (!c || c->stacks[order].n == order_cap(order)) [[unlikely]] return stackfree_spill(c, order, s.slot);
    stackcache& sc = c->stacks[order];
    sc.slot[sc.n++] = s.slot;
}

void stackcache_clear(mcache* c) {
    for (int order = 0; order < stack_orders; order++) {
        pool_put(order, c->stacks[order].slot, c->stacks[order].n);
        c->stacks[order].n = 0;
    }
}

}  // namespace rt0::runtime
