// Channels of `moved` elements: types with moves and destructors of their own, which
// run user code and so stand outside the runtime and outside every lock (upcross.h UC2).
//
// The buffer is dataqsiz nodes, each the room for one element, in one of four states:
//
//     free ──send_moved──> filling ──publish──> full ──recv_moved──> emptying ──give_back──> free
//           under the lock           the lock         under the lock            the lock
//
// Only free and full nodes can be found through the channel; a filling or emptying one
// belongs to the goroutine that moves the element.
//   MV1  The ring holds the full nodes in the order in which they were published.  A
//        sender publishes before its send returns, so each sender's elements keep their order,
//        and sends that do not overlap keep theirs.
//   MV2  recvq not empty => the ring is empty.  A published element goes to the first
//        waiting receiver, past the ring.
//   MV3  sendq not empty => no node is free.  A node that comes free goes to the first
//        waiting sender: whoever gives it back moves that sender's element into it.
//   MV4  A receiver that finds the ring empty takes from a waiting sender directly, a sender
//        that finds a receiver waiting gives to it directly; with MV2 and MV3 this is CH4.
//        It does not overtake: no full node exists, and filling ones are of sends not over yet.
//   MV5  A closed channel is drained when no node is full or filling.  Until then receivers
//        wait (try_recv: would_block), and publish() lets them go.  So a send that
//        returned is received, though the channel was closed while it moved its element:
//
//            sender                     closer            receiver
//            claims a node, moves
//                                       close()
//                                                         ring empty, closed: but filling is 1: parks
//            publish: hands over
//                                                         gets the element
//
//   MV6  A partner taken off its queue (CH2) stays parked until the element has been moved from
//        or into its stack; then it is readied, and after its element is published, so that
//        it cannot overtake itself.
//   MV7  Whoever moves one element after the other for partners (chain) lets each go before the next, and that one may drop
//        the last handle: so he counts in npark, from the step that found him a partner to the one that finds none.
#include "chan/hchan.h"

#include <cstring>

#include "sched/probe.h"
#include "sched/upcross.h"

namespace rt0::runtime {

sudog* take_receivers(hchan* c) REQUIRES(c->lock);
void ready_list(sudog* sg);
op_status nil_chan(bool block, wait_reason why);

namespace {

void* take_free(hchan* c) REQUIRES(c->lock) {
    if (void* node = c->freenode) {
        std::memcpy(&c->freenode, node, sizeof(void*));
        return node;
    }
    return c->fresh < c->dataqsiz ? c->slot(c->fresh++) : nullptr;
}
void put_free(hchan* c, void* node) REQUIRES(c->lock) {
    std::memcpy(node, &c->freenode, sizeof(void*));
    c->freenode = node;
}

// What keeps the channel of whoever goes on for partners (MV7).
class chain {
public:
    explicit chain(hchan* c) : c_(c) {}
    // Outside the runtime: elements that are left run their destructors.
    ~chain() {
        if (last_) release_chan(c_);
    }
    chain(const chain&) = delete;
    chain& operator=(const chain&) = delete;

    void go_on(bool on) {
        assert_locked(c_);
        if (on == held_) return;
        held_ = on;
        c_->npark += on ? 1 : -1;
        last_ = !on && c_->npark == 0 && c_->orphan;
    }

private:
    hchan* const c_;
    bool held_ = false;
    bool last_ = false;
};

// node holds an element, from's if from is not null: into the ring, or to the first
// waiting receiver, which is returned and then owns it.  Wakes from.
sudog* publish(hchan* c, void* node, sudog* from, chain& k) {
    runtime_call rc;
    lockchan(c);
    sudog* to = c->recvq.dequeue();
    if (!to) {
        c->ring[c->sendx] = node;
        c->sendx = c->after(c->sendx);
        c->set_count(c->count() + 1);
    }
    c->filling--;
    sudog* drained = take_receivers(c);
    k.go_on(to);
    unlockchan(c);
    if (from) goready(from->gp);
    ready_list(drained);
    return to;
}

// node is empty: free, or the first waiting sender's, which is returned.  Wakes to.
sudog* give_back(hchan* c, void* node, sudog* to, chain& k) {
    runtime_call rc;
    lockchan(c);
    sudog* from = c->sendq.dequeue();
    if (from) c->filling++;
    else put_free(c, node);
    k.go_on(from);
    unlockchan(c);
    if (to) goready(to->gp);
    return from;
}

void move_out(hchan* c, void* elem, void* node) {
    c->type->move(elem, node);
    c->type->destroy(node);
}
void move_in(hchan* c, void* node, sudog* from) {
    c->type->move(node, from->elem);
    from->success = true;
}

void ready(sudog* sg) {
    runtime_call rc;
    goready(sg->gp);
}

// node was filled (from: by whoever sent it, waiting) and is published.  If that finds a
// receiver waiting, the node comes free at once, which may serve another sender, and so
// on: each round is one element from a parked goroutine to another.
void filled(hchan* c, void* node, sudog* from, chain& k) {
    while (sudog* to = publish(c, node, from, k)) {
        move_out(c, to->elem, node);
        to->success = true;
        from = give_back(c, node, to, k);
        if (!from) return;
        move_in(c, node, from);
    }
}

}  // namespace

tried send_moved(hchan* c, claim& k) {
    if (c->is_closed()) return tried::closed;
    if ((k.sg = c->recvq.dequeue())) return tried::went;
    if (!(k.node = take_free(c))) return tried::blocks;
    c->filling++;
    return tried::went;
}

tried recv_moved(hchan* c, claim& k) {
    if (const std::size_t n = c->count()) {
        k.node = c->ring[c->recvx];
        c->recvx = c->after(c->recvx);
        c->set_count(n - 1);
        return tried::went;
    }
    if ((k.sg = c->sendq.dequeue())) return tried::went;
    return c->is_closed() && c->filling == 0 ? tried::closed : tried::blocks;
}

void finish_send(hchan* c, void* elem, const claim& k) {
    if (k.sg) {
        c->type->move(k.sg->elem, elem);
        k.sg->success = true;
        ready(k.sg);
    } else {
        c->type->move(k.node, elem);
        chain on(c);
        filled(c, k.node, nullptr, on);
    }
}

void finish_recv(hchan* c, void* elem, const claim& k) {
    if (k.sg) {
        c->type->move(elem, k.sg->elem);
        k.sg->success = true;
        ready(k.sg);
        return;
    }
    move_out(c, elem, k.node);
    chain on(c);
    if (sudog* from = give_back(c, k.node, nullptr, on)) {
        move_in(c, k.node, from);
        filled(c, k.node, from, on);
    }
}

// Takes one step under the lock; parks when it must.  went: the claim is to be finished,
// unless *done: a partner did all of it.
static tried step(hchan* c, void* elem, bool send, bool block, claim& k, bool* done) {
    runtime_call rc;
    if (send) RT0_PROBE_G(chansend, rc.gp, c);
    else RT0_PROBE_G(chanrecv, rc.gp, c);
    lockchan(c);
    const tried t = send ? send_moved(c, k) : recv_moved(c, k);
    if (t != tried::blocks || !block) {
        unlockchan(c);
        return t;
    }
    sudog sg;
    sg.gp = rc.gp;
    sg.elem = elem;
    sg.c = c;
    park_on(send ? c->sendq : c->recvq, c, &sg);
    gopark_unlockchan(c, send ? wait_reason::chan_send : wait_reason::chan_receive);
    *done = true;
    return sg.success ? tried::went : tried::closed;  // c may be gone (CH7)
}

static op_status operate(hchan* c, void* elem, bool send, bool block) {
    if (!c) return nil_chan(block, send ? wait_reason::chan_send_nil : wait_reason::chan_receive_nil);
    claim k;
    bool done = false;
    switch (step(c, elem, send, block, k, &done)) {
        case tried::blocks: return op_status::would_block;
        case tried::closed: return op_status::closed;
        case tried::went: break;
    }
    if (done) return op_status::ok;
    if (send) finish_send(c, elem, k);
    else finish_recv(c, elem, k);
    return op_status::ok;
}

}  // namespace rt0::runtime

namespace rt0::detail {

op_status chansend_moved(hchan* c, void* elem, bool block) noexcept {
    return runtime::operate(c, elem, true, block);
}
op_status chanrecv_moved(hchan* c, void* elem, bool block) noexcept {
    return runtime::operate(c, elem, false, block);
}

}  // namespace rt0::detail
