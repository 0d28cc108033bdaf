// Channels and select between goroutines on Ms that run schedule(): every value arrives once and whole, everybody who
// can go goes, and what races with close or another select has one outcome.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <new>
#include <optional>

#include <rt0/chan.h>
#include <rt0/select.h>

#include "chan/hchan.h"
#include "kernel_if/clock.h"
#include "tests/model/cluster.h"

using rt0::chan;
using rt0::op_status;
using model::options;
using model::var;
using model::with;
using model::world;

namespace {

// A channel whose last handle does not go the way of a call: this thread is none of the run's.
class channel {
public:
    explicit channel(std::size_t cap) { new (at_) chan<int>(cap); }
    ~channel() { rt0::runtime::release_chan(get().raw()); }
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    chan<int>& get() { return *std::launder(reinterpret_cast<chan<int>*>(at_)); }

private:
    alignas(chan<int>) unsigned char at_[sizeof(chan<int>)];
};

struct state {
    model::cluster c;
    channel a_, b_;
    chan<int>&a = a_.get(), &b = b_.get();
    var<int> sent[4];  // content that goes with value i
    int got[4] = {};
    int none = 0;      // receives that found a closed channel

    state(world& w, int ps, std::size_t cap_a, std::size_t cap_b = 0) : c(w, ps, ps + 1), a_(cap_a), b_(cap_b) {}
    void send(const chan<int>& ch, int v) {
        sent[v].set(1);
        ch.send(v);
    }
    void took(std::optional<int> v) {
        if (!v) {
            none++;
            return;
        }
        MODEL_CHECK(sent[*v].get() == 1);
        got[*v]++;
    }
    // Who went on has left the queues, also those of the cases that another one beat.
    void nobody_waits() {
        for (const rt0::runtime::hchan* ch : {a.raw(), b.raw()})
            MODEL_CHECK(!ch->recvq.first() && !ch->sendq.first() && ch->npark == 0);
    }
    void received(int n, int closed = 0) {
        for (int i = 0; i < 4; i++) MODEL_CHECK(got[i] == (i < n));
        MODEL_CHECK(none == closed);
    }
};

// f adds the goroutines, end checks.
template <class F, class E>
void explore(const options& o, int ps, std::size_t cap, F f, E end) {
    model::explore(o, [=](world& w) {
        auto s = std::make_shared<state>(w, ps, cap);
        f(*s);
        w.after([=] {
            s->c.check_end();
            s->nobody_waits();
            end(*s);
        });
    });
}

class Channel : public testing::Test {
    void SetUp() override { model::by_membarrier(true); }
};
using Select = Channel;

TEST_F(Channel, Unbuffered) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        s.c.user(0, [&s] { s.send(s.a, 0), s.send(s.a, 1); });
        s.c.user(1, [&s] { s.took(s.a.recv()), s.took(s.a.recv()); });
    }, [](state& s) { s.received(2); });
}

TEST_F(Channel, TwoSendersOneSlot) {
    explore(with(1, 3000), 2, 1, [](state& s) {
        s.c.user(0, [&s] { s.send(s.a, 0), s.send(s.a, 1); });
        s.c.user(1, [&s] { s.send(s.a, 2); });
        s.c.user(1, [&s] {
            for (int i = 0; i < 3; i++) s.took(s.a.recv());
        });
    }, [](state& s) { s.received(3); });
}

TEST_F(Channel, CloseWakesReceivers) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        for (int i : {0, 1}) s.c.user(i, [&s] { s.took(s.a.recv()); });
        s.c.user(0, [&s] { s.send(s.a, 0), s.a.close(); });
    }, [](state& s) { s.received(1, 1); });
}

// Senders that wait when it is closed are told; what was received before was sent.
TEST_F(Channel, CloseMeetsParkedSenders) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        for (int i : {0, 1})
            s.c.user(i, [&s, i] {
                int v = i;
                s.sent[i].set(1);
                s.none += rt0::detail::chansend(s.a.raw(), &v, true) == op_status::ok;
            });
        s.c.user(0, [&s] {
            int v;
            if (s.a.try_recv(v) == op_status::ok) s.took(v);
            s.a.close();
        });
    }, [](state& s) { MODEL_CHECK(s.got[0] + s.got[1] == s.none); });
}

// What was sent before the close is received before "closed" is said, also by who does not block.
TEST_F(Channel, TryRecvBesideSendAndClose) {
    explore(with(1, 3000), 2, 2, [](state& s) {
        s.c.user(0, [&s] { s.send(s.a, 0), s.send(s.a, 1), s.a.close(); });
        s.c.user(1, [&s] {
            for (;;) {
                int v;
                op_status st = s.a.try_recv(v);
                if (st == op_status::closed) break;
                if (st == op_status::ok) s.took(v);
                else rt0::kernel::osyield();
            }
        });
    }, [](state& s) { s.received(2); });
}

// ---- select

TEST_F(Select, FromTwoChannels) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        s.c.user(0, [&s] { s.send(s.a, 0); });
        s.c.user(1, [&s] { s.send(s.b, 1); });
        s.c.user(1, [&s] {
            for (int i = 0; i < 2; i++)
                rt0::select(rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }),
                            rt0::recv(s.b, [&s](std::optional<int> v) { s.took(v); }));
        });
    }, [](state& s) { s.received(2); });
}

TEST_F(Select, OneChannelTwice) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        s.c.user(0, [&s] { s.send(s.a, 0), s.send(s.a, 1); });
        s.c.user(1, [&s] {
            for (int i = 0; i < 2; i++)
                rt0::select(rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }),
                            rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }));
        });
    }, [](state& s) { s.received(2); });
}

// Both sides of both channels: one of them sends, the other receives, and neither meets itself.
TEST_F(Select, TwoSelectsMeet) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        for (int i : {0, 1})
            s.c.user(i, [&s, i] {
                s.sent[i].set(1);
                const chan<int>&in = i ? s.a : s.b, &out = i ? s.b : s.a;
                rt0::select(rt0::recv(in, [&s](std::optional<int> v) { s.took(v); }), rt0::send(out, i));
            });
    }, [](state& s) { MODEL_CHECK(s.got[0] + s.got[1] == 1 && s.none == 0); });
}

// The same on one channel: SE2.
TEST_F(Select, BothSidesOfOneChannel) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        for (int i : {0, 1})
            s.c.user(i, [&s, i] {
                s.sent[i].set(1);
                rt0::select(rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }), rt0::send(s.a, i));
            });
    }, [](state& s) { MODEL_CHECK(s.got[0] + s.got[1] == 1 && s.none == 0); });
}

TEST_F(Select, CloseAgainstSend) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        s.c.user(0, [&s] { s.a.close(); });
        s.c.user(0, [&s] { s.send(s.b, 0); });
        s.c.user(1, [&s] {
            bool a_open = true;
            while (a_open || s.got[0] == 0)
                rt0::select(rt0::recv(a_open ? s.a : chan<int>(), [&](std::optional<int>) { a_open = false; }),
                            rt0::recv(s.b, [&s](std::optional<int> v) { s.took(v); }));
        });
    }, [](state& s) { s.received(1); });
}

// A timer on each side beside the partner: both say that they met, or neither does.
TEST_F(Select, TimersBesideAPartner) {
    using namespace std::chrono_literals;
    options o = with(1, 5000);
    o.timeouts = 2;
    explore(o, 2, 0, [](state& s) {
        s.c.user(0, [&s] {
            rt0::select(rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }), rt0::after(20us, [] {}));
        });
        s.c.user(1, [&s] {
            int v = 0;
            s.sent[0].set(1);
            if (s.a.send_for(v, 20us) == op_status::ok) s.none = 1;  // here: it was sent
        });
    }, [](state& s) { MODEL_CHECK(s.got[0] == s.none); });
}

// Two selects wait on one channel; one value and one close: each gets one of them.
TEST_F(Select, TwoWaitOnOne) {
    explore(with(1, 3000), 2, 0, [](state& s) {
        for (int i : {0, 1})
            s.c.user(i, [&s] {
                rt0::select(rt0::recv(s.a, [&s](std::optional<int> v) { s.took(v); }),
                            rt0::recv(s.b, [](std::optional<int>) { MODEL_CHECK(false); }));
            });
        s.c.user(0, [&s] { s.send(s.a, 0), s.a.close(); });
    }, [](state& s) { s.received(1, 1); });
}

// A select that waits to send is told when the channel is closed; of two that are closed, of one.
TEST_F(Select, CloseMeetsASelectThatSends) {
    for (bool both : {false, true})
        explore(with(1, 2000, 7000), 2, 0, [both](state& s) {
            s.c.user(0, [&s, both] {
                int v = 0, in;
                rt0::detail::scase k[2];
                k[0] = {.c = s.a.raw(), .elem = &v, .kind = rt0::detail::case_kind::send};
                k[1] = {.c = s.b.raw(), .elem = &in, .kind = rt0::detail::case_kind::recv};
                const auto o = rt0::detail::selectgo(k, 2, nullptr);
                MODEL_CHECK(!o.ok && (both || o.index == 0));
                s.none++;
            });
            s.c.user(1, [&s] { s.a.close(); });
            if (both) s.c.user(0, [&s] { s.b.close(); });
        }, [](state& s) { MODEL_CHECK(s.none == 1); });
}

}  // namespace
