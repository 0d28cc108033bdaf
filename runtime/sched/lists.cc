// allp, allm, allgs: read by sysmon, thieves and dumps without a lock, while others grow
// or shrink them.
//
//   RL1  A list is one block {capacity, count, items}; readers find it through one
//        pointer and use items[0, count).
//   RL2  Adding writes the item, then the count; a full block is copied to one twice as
//        large, which is published in its place.  Removing always copies.
//   RL3  A block that was replaced is retired, and freed by reclaim_retired after a grace
//        period (urcu-memb): every rcu_reader that could have seen it is gone.
//   RL4  g, m and p themselves are never freed (m and g are reused), so a reader may use
//        what it found as long as it likes; it may find it changed.
//
// urcu-memb: read lock and unlock 2.6 ns, a grace period 70 us.  The quiescent-state
// flavour is cheaper to read, but an M in user code would hold every grace period up.
#include "sched/lists.h"

#include <urcu/urcu-memb.h>
#ifdef RT0_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include "base/throw.h"

namespace rt0::runtime {

namespace {
// ThreadSanitizer does not see into liburcu: what readers did comes before the end of a grace period.
#ifdef RT0_TSAN
char readers;
void tsan_reader_done() { __tsan_release(&readers); }
void tsan_readers_gone() { __tsan_acquire(&readers); }
#else
void tsan_reader_done() {}
void tsan_readers_gone() {}
#endif
}  // namespace

rcu_reader::rcu_reader() { urcu_memb_read_lock(); }
rcu_reader::~rcu_reader() {
    tsan_reader_done();
    urcu_memb_read_unlock();
}
void rcu_thread_enter() { urcu_memb_register_thread(); }
void rcu_thread_leave() { urcu_memb_unregister_thread(); }

namespace {

struct block {
    block* retired_next;
    std::size_t cap;
    atomic<std::size_t> n;
    void* items[1];  // cap of them
};

mutex retired_lock{lock_rank::retired};
block* retired GUARDED_BY(retired_lock) = nullptr;  // [lock:retired_lock]
atomic<bool> any_retired{false};

block* new_block(std::size_t cap) {
    auto* b = static_cast<block*>(rtalloc(sizeof(block) + (cap - 1) * sizeof(void*)));
    if (b) b->cap = cap;
    return b;
}

[[noreturn]] void no_memory_for_list() {
    out_of_memory("a scheduler list");
}

void retire(block* b) {
    if (!b) return;
    guard l(retired_lock);
    b->retired_next = retired;
    retired = b;
    any_retired.store(true, memory_order_relaxed);  // relaxed: a hint for sysmon
}

class rlist {
public:
    template <class T>
    published<T> read() const {
        // ORDER(rlist): acquire; pairs with the releases in publish() and add().
        const block* b = head_.load(memory_order_acquire);
        if (!b) return {nullptr, 0};
        // ORDER(rlist): acquire; the items below the count are written.
        return {reinterpret_cast<T* const*>(b->items), b->n.load(memory_order_acquire)};
    }
    // The writer's lock is held for the rest.  False: no memory, nothing changed.
    bool add(void* item) {
        block* b = head_.load(memory_order_relaxed);   // relaxed: the writer's own
        std::size_t n = b ? b->n.load(memory_order_relaxed) : 0;
        if (!b || n == b->cap) {
            if (!(b = copy(b, n ? 2 * n : 64))) return false;
            publish(b);
        }
        b->items[n] = item;
        // ORDER(rlist): release; RL2.
        b->n.store(n + 1, memory_order_release);
        return true;
    }
    // Of the listed items those for which gone(item) is false stay; `count` go.  Only allm shrinks.
    template <class F>
    bool remove(std::size_t count, F gone) REQUIRES(lock_of_allm()) {
        block* old = head_.load(memory_order_relaxed);  // relaxed: the writer's own
        std::size_t n = old->n.load(memory_order_relaxed), k = 0;
        block* b = new_block(old->cap);
        if (!b) return false;
        for (std::size_t i = 0; i < n; i++)
            if (!gone(old->items[i])) b->items[k++] = old->items[i];
        if (k + count != n) runtime_throw("rlist: item to remove is not listed once");
        b->n.store(k, memory_order_relaxed);  // relaxed: published with the block
        publish(b);
        return true;
    }
    bool set(void* const* items, std::size_t n) {
        block* b = new_block(n ? n : 1);
        if (!b) return false;
        for (std::size_t i = 0; i < n; i++) b->items[i] = items[i];
        b->n.store(n, memory_order_relaxed);  // relaxed: published with the block
        publish(b);
        return true;
    }

private:
    static block* copy(const block* from, std::size_t cap) {
        block* b = new_block(cap);
        if (!b) return nullptr;
        std::size_t n = from ? from->n.load(memory_order_relaxed) : 0;  // relaxed: the writer's own
        for (std::size_t i = 0; i < n; i++) b->items[i] = from->items[i];
        b->n.store(n, memory_order_relaxed);  // relaxed: published with the block
        return b;
    }
    void publish(block* b) {
        // ORDER(rlist): release (acq_rel exchange); pairs with the acquire in read().
        retire(head_.exchange(b, memory_order_acq_rel));
    }
    atomic<block*> head_{nullptr};
};

rlist ps, ms, gs;
mutex allm_lock{lock_rank::allm};
mutex allg_lock{lock_rank::allg};

}  // namespace

mutex& lock_of_allm() LOCK_RETURNED(allm_lock);

published<p> allp() { return ps.read<p>(); }
published<m> allm() { return ms.read<m>(); }
published<g> allgs() { return gs.read<g>(); }

void allp_set(p* const* items, std::size_t n) {
    if (!ps.set(reinterpret_cast<void* const*>(items), n)) no_memory_for_list();
}
bool allm_add(m* mp) {
    guard l(allm_lock);
    return ms.add(mp);
}
bool allm_remove(m* chain) {
    guard l(allm_lock);
    std::size_t n = 0;
    for (m* mp = chain; mp; mp = mp->freelink, n++) mp->buried = true;
    bool ok = n == 0 || ms.remove(n, [](void* item) REQUIRES(allm_lock) { return static_cast<m*>(item)->buried; });
    for (m* mp = chain; mp; mp = mp->freelink) mp->buried = false;
    return ok;
}
void allg_add(g* gp) {
    guard l(allg_lock);
    if (!gs.add(gp)) no_memory_for_list();
}

void await_readers() {
    urcu_memb_synchronize_rcu();
    tsan_readers_gone();
}

void reclaim_retired() {
    if (!any_retired.load(memory_order_relaxed)) return;  // relaxed: seen at the next tick
    if (panicking.load(memory_order_relaxed)) return;  // relaxed: a report may read lists on a thread that is no reader
    block* b;
    {
        guard l(retired_lock);
        b = retired;
        retired = nullptr;
        any_retired.store(false, memory_order_relaxed);
    }
    if (b) await_readers();
    while (b) {
        block* next = b->retired_next;
        rtfree(b);
        b = next;
    }
}

}  // namespace rt0::runtime
