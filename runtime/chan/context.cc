// The tree behind context.
//
//   CN1  refs counts handles, children, and whoever is at work on the node.  Zero is
//        final: from then on only the one who saw it touches the node.
//   CN2  A node's lock guards its list of children, their links, and `cancelled`.  A child
//        that dies takes itself off under its parent's lock, so a child found on the list
//        is not yet freed; it may be dying (refs zero), then it is passed over.
//   CN3  A node stays on its parent's list until it dies; a cancelled parent gets no new ones.  Who cancels goes down the
//        tree from child to child, with a reference to the one where it is, which keeps that on its list.  Several may be
//        under way at once, each asks everybody to stop: one that is held up in a callback holds up nobody else's
//        cancel() (CX2).  Neither cancelling nor freeing recurses: trees may be deep.
//   CN4  The timer's callback takes a reference, unless the node is dying, and starts a
//        goroutine that cancels: stop callbacks are user code.
//   CN5  Locks here are rt0::mutex; no user code and no stop callback runs with one held.
//   CN6  The timer is armed before anybody else sees the node, and taken back by whoever
//        cancelled it first or, if nobody did, by whoever frees it: one at a time.
#include <rt0/context.h>

#include <mutex>

#include "chan/start.h"
#include "sched/timer.h"
#include "sched/upcross.h"

namespace rt0::detail {

namespace rt = runtime;

struct context_node {
    std::atomic<std::uint32_t> refs{1};     // CN1
    context_node* const parent;             // holds a reference
    const std::optional<deadline_t> deadline;  // earliest of the way to the root
    const std::string key;
    const std::unique_ptr<context_value> value;
    std::stop_source stop;

    mutex lock;
    bool cancelled = false;                 // [lock]
    bool all_asked = false;                 // so are all below [lock]
    context_node* children = nullptr;       // [lock]

    context_node* next = nullptr;           // [parent's lock]
    context_node* prev = nullptr;           // [parent's lock]
    bool linked = false;                    // [parent's lock]
    bool timed = false;                     // timer was armed [const] once published
    rt::timer timer;

    context_node(context_node* p, std::optional<deadline_t> d, std::string k, std::unique_ptr<context_value> v)
        : parent(p), deadline(d), key(std::move(k)), value(std::move(v)) {}
};

namespace {

void link(context_node* parent, context_node* c) {
    c->next = parent->children;
    if (c->next) c->next->prev = c;
    parent->children = c;
    c->linked = true;
}

void unlink(context_node* parent, context_node* c) {
    (c->prev ? c->prev->next : parent->children) = c->next;
    if (c->next) c->next->prev = c->prev;
    c->next = c->prev = nullptr;
    c->linked = false;
}

// A reference to a node that may be dying (CN2).
bool try_ref(context_node* n) {
    std::uint32_t r = n->refs.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (r != 0)
        // relaxed: whoever showed us the node orders what it holds.
        if (n->refs.compare_exchange_weak(r, r + 1, std::memory_order_relaxed)) return true;
    return false;
}

// False: the process is exiting, and who holds it goes on no more (EX1).
bool lock_to_unlink(std::unique_lock<mutex>& l) {
    // relaxed: set by the very thread that runs the last destructors.
    if (rt::sched.exiting.load(std::memory_order_relaxed)) return l.try_lock();
    l.lock();
    return true;
}

void take_timer_back(context_node* n) {
    if (!n->timed) return;
    rt::runtime_call rc;
    rt::deltimer(&n->timer);
}

// CN4.  Under the timers lock.
void deadline_passed(rt::timer* t, std::int64_t) {
    auto* n = static_cast<context_node*>(t->arg);
    if (!try_ref(n)) return;
    rt::start_from_timer(
        [](void* node) {
            context_cancel(static_cast<context_node*>(node));
            context_unref(static_cast<context_node*>(node));
        },
        n, "context deadline");
}

void arm(context_node* n) {
    n->timer.when = std::chrono::duration_cast<std::chrono::nanoseconds>(n->deadline->time_since_epoch()).count();
    n->timer.f = deadline_passed;
    n->timer.arg = n;
    n->timed = true;
    rt::runtime_call rc;
    rt::addtimer(&n->timer);
}

// c or the first after it that lives, with a reference.  Its parent's lock is held.
context_node* first_alive(context_node* c) {
    while (c && !try_ref(c)) c = c->next;
    return c;
}
// A canceller's step among the children, each of them asked with all below before the next.  After the last all have been, or
// are dying, and no new ones come.
context_node* to_child(context_node* parent, context_node* from) {
    context_node* c = first_alive(from);
    if (!c) parent->all_asked = true;
    return c;
}
context_node* first_child(context_node* n) {
    std::lock_guard l(n->lock);
    return to_child(n, n->children);
}
context_node* next_sibling(context_node* n) {
    std::lock_guard l(n->parent->lock);
    return to_child(n->parent, n->next);
}

// n alone.  Its first child, with a reference, if somebody below has perhaps not been asked to stop.
context_node* cancel_one(context_node* n) {
    bool first;
    {
        std::lock_guard l(n->lock);
        if (n->all_asked) return nullptr;
        first = !n->cancelled;
        n->cancelled = true;
    }
    if (first) take_timer_back(n);
    request_stop(n->stop);
    return first_child(n);
}

// Whoever is asked after n, with a reference in the place of n's: n's next sibling, or its parent's, and so on up to `top`.
context_node* go_on_from(context_node* n, const context_node* top) {
    while (n != top) {
        context_node* next = next_sibling(n);
        const bool up = !next;
        if (up) context_ref(next = n->parent);
        context_unref(n);
        n = next;
        if (!up) return n;
    }
    context_unref(n);
    return nullptr;
}

context_node* make_child(context_node* parent, std::optional<deadline_t> own, std::string key,
                         std::unique_ptr<context_value> v) {
    bool sooner = own && (!parent->deadline || *own < *parent->deadline);
    auto* n = new context_node(parent, sooner ? own : parent->deadline, std::move(key), std::move(v));
    context_ref(parent);
    bool past = own && *own <= now();
    if (sooner && !past) arm(n);  // before anybody else sees n; from then on cancelling takes the timer back
    bool born_cancelled;
    {
        std::lock_guard l(parent->lock);
        born_cancelled = parent->cancelled;
        if (!born_cancelled) link(parent, n);
    }
    if (born_cancelled || past) context_cancel(n);
    return n;
}

}  // namespace

// A callback may ready who goes on to destroy it, and ~stop_callback waits by thread (SR6), so that one must not have ours
// before the callback is over: not by a yield, and not where sysmon takes our P and the callback's next call finds none.
void request_stop(std::stop_source& s) {
    rt::thread_pin pin;
    rt::no_yield while_callbacks_run;
    s.request_stop();
}

context_node* context_root() { return new context_node(nullptr, std::nullopt, {}, nullptr); }

context_node* context_child(context_node* parent, std::optional<deadline_t> deadline) {
    return make_child(parent, deadline, {}, nullptr);
}

context_node* context_with_value(context_node* parent, std::string key, std::unique_ptr<context_value> v) {
    return make_child(parent, std::nullopt, std::move(key), std::move(v));
}

const context_value* context_find(const context_node* n, std::string_view key) {
    for (; n; n = n->parent)
        if (n->value && n->key == key) return n->value.get();
    return nullptr;
}

// relaxed: a new reference is made from one that is held.
void context_ref(context_node* n) { n->refs.fetch_add(1, std::memory_order_relaxed); }

void context_unref(context_node* n) {
    if (kernel::forked()) return;  // FO4: others may have held the locks, and the memory ends with the child
    // ORDER(context): acq_rel, so that the last one sees all use of the node; pairs with itself.
    while (n && n->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        context_node* p = n->parent;
        if (p) {
            std::unique_lock l(p->lock, std::defer_lock);
            if (!lock_to_unlink(l)) return;
            if (n->linked) unlink(p, n);
        }
        take_timer_back(n);
        delete n;
        n = p;  // ORDER(context): its reference to the parent, dropped at the top of the loop.
    }
}

void context_cancel(context_node* n) {
    context_ref(n);  // the callbacks may drop the last handle
    for (context_node* at = n; at;) {
        if (context_node* child = cancel_one(at)) {
            context_unref(at);
            at = child;
        } else {
            at = go_on_from(at, n);
        }
    }
}

std::stop_token context_token(const context_node* n) { return n->stop.get_token(); }
std::optional<deadline_t> context_deadline(const context_node* n) { return n->deadline; }

bool goroutine_exiting() {
    rt::g* gp = rt::getg();
    return gp && gp->goexiting;
}

}  // namespace rt0::detail
