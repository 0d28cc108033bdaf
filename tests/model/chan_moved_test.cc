// Channels of elements with a move of their own, which runs outside of the lock (MV1 to MV7 in chan/chan_moved.cc): between
// the step that claims a node and the one that publishes it, or gives it back, the others go on.
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <optional>
#include <utility>

#include <rt0/chan.h>

#include "chan/hchan.h"
#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using rt0::op_status;
using model::with;
using model::var;
using model::world;

namespace {

struct state;
// Moved in two steps of the machine's, so that others come in between.
struct token {
    state* s = nullptr;
    int v = -1;
    token(state* in, int n) : s(in), v(n) {}
    token(token&& o) noexcept : s(o.s) {
        pause();
        v = std::exchange(o.v, -1);
        pause();
    }
    token& operator=(token&& o) noexcept {
        s = o.s;
        v = std::exchange(o.v, -1);
        return *this;
    }
    ~token() {}
    void pause() const;
};
using tokens = rt0::chan<token>;
static_assert(rt0::detail::kind_of<token> == rt0::detail::elem_kind::moved);

struct state {
    model::cluster c;
    alignas(tokens) unsigned char at[sizeof(tokens)];
    tokens& ch = *new (at) tokens;
    rt0::runtime::atomic<unsigned> between{0};
    var<int> content[4];  // goes with token i
    int sent[4] = {};     // its send returned
    int got[4] = {};
    int closed = 0;  // receives that found the channel closed
    int order = 0;   // of one sender's tokens 0, 1, ...: the next

    state(world& w, int ps, std::size_t cap) : c(w, ps, ps + 1) { ch = tokens(cap); }
    ~state() { rt0::runtime::release_chan(ch.raw()); }  // this thread is none of the run's

    // False: it was closed before.
    bool send(int v) {
        content[v].set(v + 1);
        token t(this, v);
        const bool went = rt0::detail::send_erased<token>(ch.raw(), &t, true) == op_status::ok;
        MODEL_CHECK(t.v == (went ? -1 : v));  // a token that is not taken stands
        sent[v] += went;
        return went;
    }
    void took(const token& t) {
        MODEL_CHECK(t.v >= 0 && content[t.v].get() == t.v + 1);
        got[t.v]++;
    }
    // False: closed and drained.
    bool receive() {
        std::optional<token> t = ch.recv();
        t ? took(*t) : void(closed++);
        return t.has_value();
    }
};

void token::pause() const { s->between.load(rt0::runtime::memory_order_relaxed); }  // relaxed: only a step

template <class F, class E>
void explore(int ps, std::size_t cap, F f, E end) {
    model::explore(with(1, 3000), [=](world& w) {
        auto s = std::make_shared<state>(w, ps, cap);
        f(*s);
        w.after([=] {
            s->c.check_end();
            const rt0::runtime::hchan* c = s->ch.raw();
            MODEL_CHECK(!c->recvq.first() && !c->sendq.first() && c->npark == 0 && c->filling == 0);
            for (int i = 0; i < 4; i++) MODEL_CHECK(s->got[i] == s->sent[i]);  // each once, and none that was not sent
            end(*s);
        });
    });
}

class Moved : public testing::Test {
    void SetUp() override { model::by_membarrier(true); }
};

void all(state& s, int n) { for (int i = 0; i < n; i++) MODEL_CHECK(s.got[i] == 1); }

// MV4, MV6: from stack to stack.
TEST_F(Moved, Unbuffered) {
    explore(2, 0, [](state& s) {
        s.c.user(0, [&s] { s.send(0), s.send(1); });
        s.c.user(1, [&s] { s.receive(), s.receive(); });
    }, [](state& s) { all(s, 2); });
}

// MV2, MV3: the one slot is claimed, filled, emptied and handed on to the sender that waits.
TEST_F(Moved, TwoSendersOneSlot) {
    explore(2, 1, [](state& s) {
        s.c.user(0, [&s] { s.send(0), s.send(1); });
        s.c.user(1, [&s] { s.send(2); });
        s.c.user(1, [&s] { s.receive(), s.receive(), s.receive(); });
    }, [](state& s) { all(s, 3); });
}

// MV3: who waits to send goes on when the slot comes free, though nobody wants his token yet.
TEST_F(Moved, TheSlotThatComesFree) {
    explore(2, 1, [](state& s) {
        s.c.user(0, [&s] { s.send(0), s.send(1), s.receive(); });
        s.c.user(1, [&s] { s.receive(); });
    }, [](state& s) { all(s, 2); });
}

// MV1: one sender's tokens keep their order, whoever fills the other node meanwhile.
TEST_F(Moved, InOrder) {
    explore(2, 2, [](state& s) {
        s.c.user(0, [&s] { s.send(0), s.send(1); });
        s.c.user(1, [&s] { s.send(3); });
        s.c.user(1, [&s] {
            for (int i = 0; i < 3; i++) {
                std::optional<token> t = s.ch.recv();
                MODEL_CHECK(t && (t->v == 3 || t->v == s.order++));
                s.took(*t);
            }
        });
    }, [](state& s) { MODEL_CHECK(s.order == 2); });
}

// MV5: what was sent is received, though the channel is closed while it is moved; who waits for no more is told so.
TEST_F(Moved, CloseWhileOneIsMoved) {
    explore(2, 1, [](state& s) {
        s.c.user(0, [&s] { s.send(0); });
        s.c.user(1, [&s] { s.ch.close(); });
        for (int i : {0, 1})
            s.c.user(i, [&s] {
                while (s.receive()) {}
            });
    }, [](state& s) { MODEL_CHECK(s.closed == 2); });
}

// MV5: nor does who does not wait hear "closed" too early.
TEST_F(Moved, TryRecvBesideAClose) {
    explore(2, 1, [](state& s) {
        s.c.user(0, [&s] { s.send(0); });
        s.c.user(1, [&s] {
            s.ch.close();
            for (;;) {
                token t(&s, -1);
                const op_status st = s.ch.try_recv(t);
                if (st == op_status::closed) break;
                if (st == op_status::ok) s.took(t);
                else rt0::kernel::osyield();
            }
        });
    }, [](state&) {});
}

// Those that wait to send are told; their tokens stand.
TEST_F(Moved, CloseMeetsParkedSenders) {
    explore(2, 1, [](state& s) {
        for (int i : {0, 1, 2}) s.c.user(i % 2, [&s, i] { s.send(i); });
        s.c.user(1, [&s] {
            s.receive();
            s.ch.close();
            while (s.receive()) {}
        });
    }, [](state& s) { MODEL_CHECK(s.closed == 1); });
}

}  // namespace
