// Channels and select under load, with an oracle: every operation chosen at random from
// every form there is, on channels of every capacity and kind of element.
//
//   CS1  Each value is received exactly once, or is still the sender's when its send says
//        so: senders keep score of what went, receivers of what came.
//   CS2  A receiver sees one sender's values on one channel in the order of their sends.
//   CS3  Elements are neither leaked nor destroyed twice: tracked counts its lives and
//        each life knows whether it is over.
//   CS4  After close and drain everybody has gone home.
// The seeds are fixed; what the scheduler makes of them is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/select.h>
#include <rt0/sync.h>

#include "tests/support/chan_support.h"
#include "tests/support/kthreads.h"
#include "tests/support/pelted_tests.h"

using namespace std::chrono_literals;
using rt0::chan;
using rt0::op_status;
using rng = std::mt19937;

namespace {

int pick(rng& r, int n) { return static_cast<int>(r() % static_cast<unsigned>(n)); }

struct letter {  // what travels, in every kind of element
    int sender, serial;
};

// ---- the kinds of elements
struct plain {
    letter l{};
    static plain of(letter x) { return {x}; }
    letter get() const { return l; }
    bool whole() const { return true; }
    static long alive() { return 0; }
};

struct tracked {  // moved
    static inline std::atomic<long> lives{0};
    static constexpr unsigned live_mark = 0xa11fe, dead_mark = 0xdead;
    letter l{};
    bool full = false;
    unsigned mark = live_mark;
    tracked() { lives++; }
    tracked(tracked&& o) noexcept : l(o.l), full(std::exchange(o.full, false)) {
        if (o.mark != live_mark) std::abort();
        lives++;
        if ((l.serial & 31) == 0) rt0::this_goroutine::yield();  // user code may do anything in a move
    }
    tracked& operator=(tracked&& o) noexcept {
        if (mark != live_mark || o.mark != live_mark) std::abort();
        l = o.l;
        full = std::exchange(o.full, false);
        return *this;
    }
    ~tracked() {
        if (mark != live_mark) std::abort();
        mark = dead_mark;
        lives--;
    }
    static tracked of(letter x) {
        tracked t;
        t.l = x;
        t.full = true;
        return t;
    }
    letter get() const { return l; }
    bool whole() const { return full; }
    static long alive() { return lives; }
};

struct copied {  // boxed
    static inline std::atomic<long> lives{0};
    std::vector<letter> l;
    copied() { lives++; }
    copied(const copied& o) : l(o.l) { lives++; }
    copied& operator=(const copied& o) = default;
    ~copied() { lives--; }
    static copied of(letter x) {
        copied c;
        c.l.assign(3, x);
        return c;
    }
    letter get() const { return l.at(1); }
    bool whole() const { return l.size() == 3; }
    static long alive() { return lives; }
};
static_assert(rt0::detail::kind_of<plain> == rt0::detail::elem_kind::plain);
static_assert(rt0::detail::kind_of<tracked> == rt0::detail::elem_kind::moved);
static_assert(rt0::detail::kind_of<copied> == rt0::detail::elem_kind::boxed);

// ---- one run
constexpr int senders = 5, receivers = 4, letters = 900, channels = 3;

template <class T>
struct post {
    std::vector<chan<T>> box;
    std::vector<std::vector<std::atomic<int>>> came;  // per sender, per serial
    std::atomic<long> went{0}, kept{0};
    std::atomic<int> failures{0};
    std::atomic<int> sending{senders}, running{senders + receivers};
    std::stop_source never;

    explicit post(rng& r) : came(senders) {
        static constexpr int caps[] = {0, 0, 1, 2, 7, 64};
        for (int i = 0; i < channels; i++) box.emplace_back(caps[pick(r, 6)]);
        for (auto& c : came) c = std::vector<std::atomic<int>>(letters);
    }
    void expect(bool b, const char* what) {
        if (!b) {
            failures++;
            ADD_FAILURE() << what;
        }
    }
};

// Sends v one way or another; false: it did not go, and v must still be whole.
template <class T>
bool send_somehow(post<T>& p, chan<T>& c, T& v, rng& r) {
    switch (pick(r, 7)) {
        case 0: return c.try_send(v) == op_status::ok;
        case 1: return c.send_for(v, std::chrono::microseconds(pick(r, 40))) == op_status::ok;
        case 2: return c.send(v, p.never.get_token()) == op_status::ok;
        case 3: {  // a token that is stopped meanwhile
            std::stop_source stop;
            auto stopped = std::make_shared<std::atomic<bool>>(false);
            rt0::go([stop, stopped]() mutable {
                stop.request_stop();
                *stopped = true;
            });
            const bool ok = c.send(v, stop.get_token()) == op_status::ok;
            while (!*stopped) rt0::this_goroutine::yield();
            return ok;
        }
        case 4: {  // select; the value that does not go stays with the case
            const letter l = v.get();
            bool sent = false;
            rt0::select(rt0::send(c, std::move(v), [&] { sent = true; }),
                        rt0::after(std::chrono::microseconds(pick(r, 60)), [] {}));
            v = T::of(l);
            return sent;
        }
        default: c.send(std::move(v)); return true;
    }
}

template <class T>
void sender_main(post<T>& p, int me, unsigned seed) {
    rng r(seed);
    for (int i = 0; i < letters; i++) {
        T v = T::of({me, i});
        // One sender keeps to one channel for a while, so that order means something.
        chan<T>& c = p.box[static_cast<std::size_t>((me + i / 100) % channels)];
        if (send_somehow(p, c, v, r)) {
            p.went++;
        } else {
            p.expect(v.whole() && v.get().serial == i, "CS1: a value that did not go is untouched");
            p.came[static_cast<std::size_t>(me)][static_cast<std::size_t>(i)] = 1;
            p.kept++;
        }
    }
    if (--p.sending == 0)
        for (auto& c : p.box) c.close();
    p.running--;
}

template <class T>
struct reader {
    post<T>& p;
    std::vector<std::vector<int>> last{channels, std::vector<int>(senders, -1)};

    void got(std::size_t c, const T& v) {
        p.expect(v.whole(), "CS3: a received value is whole");
        const letter l = v.get();
        const auto s = static_cast<std::size_t>(l.sender);
        p.expect(p.came[s][static_cast<std::size_t>(l.serial)]++ == 0, "CS1: a value came twice");
        p.expect(last[c][s] < l.serial, "CS2: a value overtook another");
        last[c][s] = l.serial;
    }
    // One receive on channel c; false: closed and drained.
    bool one(std::size_t c, rng& r) {
        T v;
        op_status s = op_status::would_block;
        switch (pick(r, 5)) {
            case 0: s = p.box[c].try_recv(v); break;
            case 1: s = p.box[c].recv_for(v, std::chrono::microseconds(pick(r, 40))); break;
            case 2: s = p.box[c].recv(v, p.never.get_token()); break;
            default:
                if (auto x = p.box[c].recv()) got(c, *x);
                else return false;
                return true;
        }
        if (s == op_status::ok) got(c, v);
        return s != op_status::closed;
    }
    // From whichever channel is ready; a closed one is left out from then on.
    void any(std::vector<chan<T>>& open, rng& r, int& closed) {
        auto take = [&](std::size_t c) {
            return [this, c, &open, &closed](std::optional<T> v) {
                if (v) return got(c, *v);
                open[c] = chan<T>();
                closed++;
            };
        };
        const auto c0 = take(0), c1 = take(1), c2 = take(2);
        if (pick(r, 2)) rt0::select(rt0::recv(open[0], c0), rt0::recv(open[1], c1), rt0::recv(open[2], c2));
        else
            rt0::select(rt0::recv(open[0], c0), rt0::recv(open[1], c1), rt0::recv(open[2], c2), rt0::recv(open[1], c1),
                        rt0::after(std::chrono::microseconds(pick(r, 50)), [] {}),
                        rt0::done(p.never.get_token(), [] {}));
    }
};

template <class T>
void receiver_main(post<T>& p, unsigned seed) {
    rng r(seed);
    reader<T> me{p};
    if (seed % 2) {
        std::vector<chan<T>> open = p.box;
        for (int closed = 0; closed < channels;) me.any(open, r, closed);
    } else {
        for (std::size_t c = 0, closed = 0; closed < channels;) {
            const bool all = p.sending == 0;
            if (all) {  // drain one after the other
                while (me.one(c, r)) {}
                closed++;
                c = (c + 1) % channels;
                continue;
            }
            T v;  // never block on one channel while senders block on another
            if (p.box[c].try_recv(v) == op_status::ok) me.got(c, v);
            else rt0::this_goroutine::yield();
            c = (c + 1) % channels;
        }
    }
    p.running--;
}

template <class T>
class ChanStress : public testing::Test {};
using kinds = testing::Types<plain, tracked, copied>;
TYPED_TEST_SUITE(ChanStress, kinds);

TYPED_TEST(ChanStress, EveryFormAtOnce) {
    for (unsigned round = 0; round < 6; round++) {
        rng r(round * 77 + 1);
        const long before = TypeParam::alive();
        {
            post<TypeParam> p(r);
            for (int i = 0; i < senders; i++)
                rt0::go([&p, i, round] { sender_main(p, i, round * 100 + static_cast<unsigned>(i)); });
            for (int i = 0; i < receivers; i++)
                rt0::go([&p, i, round] { receiver_main(p, round * 100 + 50 + static_cast<unsigned>(i)); });
            while (p.running) rt0::this_goroutine::sleep_for(100us);
            EXPECT_EQ(p.went + p.kept, senders * letters);
            for (auto& s : p.came)
                for (auto& n : s) ASSERT_EQ(n, 1) << "CS1, round " << round;
            ASSERT_EQ(p.failures, 0) << "round " << round;
        }
        EXPECT_EQ(TypeParam::alive(), before) << "CS3, round " << round;
    }
}

// Who has received what he waited for may drop the channel, whatever its sender does next (give_back in chan_moved.cc).
template <class T>
void replies(int rounds) {
    for (int cap : {0, 1})
        for (int i = 0; i < rounds; i++) {
            auto reply = std::make_unique<chan<T>>(cap);
            rt0::go([c = reply.get(), i] {
                if (i % 3 == 0) rt0::this_goroutine::yield();
                c->send(T::of({0, i}));
            });
            const std::optional<T> got = reply->recv();
            reply.reset();
            ASSERT_TRUE(got && got->get().serial == i);
        }
}
TEST(ChanStress2, AReceiverMayDropTheChannel) {
    const int rounds = test::sanitized ? 2'000 : 20'000;
    replies<plain>(rounds);
    replies<tracked>(rounds);
}

// CH7 with several selects: the last one that takes note of the end frees the channel.  (A select that looks at it after that
// is AddressSanitizer's to find.)
TEST(ChanStress2, SelectsOnAChannelThatIsClosedAndDropped) {
    for (int i = 0; i < 1'000; i++) {
        auto c = std::make_unique<chan<tracked>>(0);
        chan<int> other(0);
        rt0::wait_group wg;
        std::atomic<int> ends{0};
        for (int k = 0; k < 3; k++)
            wg.go([raw = c.get(), other, &ends]() mutable {
                rt0::select(rt0::recv(*raw, [&](std::optional<tracked> v) { ends += !v; }),
                            rt0::recv(other, [](std::optional<int>) {}));
            });
        while (chantest::parked_on(c->raw()) != 3) rt0::this_goroutine::yield();
        c->close();
        c.reset();
        wg.wait();
        ASSERT_EQ(ends, 3);
    }
}

// A ring of goroutines that select between passing the token on and receiving the next:
// each holds several tokens now and then, and none is lost.
TEST(ChanStress2, RingOfSelects) {
    constexpr int members = 8, tokens = 20, hops = 400;
    std::vector<chan<tracked>> link;
    for (int i = 0; i < members; i++) link.emplace_back(i % 2);
    chan<int> retired(tokens);
    std::atomic<int> alive{members};
    for (int i = 0; i < members; i++) {
        rt0::go([in = link[i], out = link[(i + 1) % members], retired, &alive]() mutable {
            std::vector<tracked> held;
            for (bool open = true; open;) {
                auto take = [&](std::optional<tracked> v) {
                    if (!v) open = false;
                    else if (v->l.serial == hops) retired.send(v->l.sender);
                    else {
                        v->l.serial++;
                        held.push_back(std::move(*v));
                    }
                };
                if (held.empty()) {
                    rt0::select(rt0::recv(in, take));
                } else {
                    // Moved into the case only for as long as the case lives.
                    const letter l = held.back().get();
                    bool went = false;
                    rt0::select(rt0::recv(in, take), rt0::send(out, tracked::of(l), [&] { went = true; }));
                    auto same = [&](const tracked& t) { return t.l.sender == l.sender; };
                    if (went) held.erase(std::find_if(held.begin(), held.end(), same));
                }
            }
            held.clear();
            alive--;
        });
    }
    for (int t = 0; t < tokens; t++)
        rt0::go([to = link[static_cast<std::size_t>(t) % members], t]() mutable { to.send(tracked::of({t, 0})); });
    std::vector<int> seen(tokens);
    for (int t = 0; t < tokens; t++) seen[static_cast<std::size_t>(*retired.recv())]++;
    for (int s : seen) EXPECT_EQ(s, 1);
    for (auto& c : link) c.close();
    while (alive) rt0::this_goroutine::yield();
}

// Close against everything: senders and receivers of every form on a channel that is
// closed at a random moment.  What was sent without an exception is received.
TYPED_TEST(ChanStress, CloseRaces) {
    rng r(5);
    const long before = TypeParam::alive();
    for (int round = 0; round < 300; round++) {
        chan<TypeParam> c(static_cast<std::size_t>(pick(r, 4)));
        std::atomic<int> went{0}, came{0}, running{6};
        for (int i = 0; i < 3; i++) {
            rt0::go([&, c, i]() mutable {
                try {
                    for (int k = 0; k < 50; k++) {
                        TypeParam v = TypeParam::of({i, k});
                        if (i == 0) {
                            c.send(std::move(v));
                            went++;
                        } else if (i == 1) {
                            rt0::select(rt0::send(c, std::move(v), [&] { went++; }), rt0::after(20us, [] {}));
                        } else if (c.send_for(v, 10us) == op_status::ok) {
                            went++;
                        }
                    }
                } catch (const rt0::closed_channel&) {
                }
                running--;
            });
            rt0::go([&, c, i]() mutable {
                if (i == 0) {
                    for (auto&& v : c) came += v.whole();
                } else if (i == 1) {
                    bool open = true;
                    auto take = [&](std::optional<TypeParam> v) {
                        if (v) came += v->whole();
                        else open = false;
                    };
                    while (open) rt0::select(rt0::recv(c, take), rt0::after(15us, [] {}));
                } else {
                    TypeParam v;
                    for (op_status s = op_status::ok; s != op_status::closed;) {
                        s = c.recv_for(v, 10us);
                        came += s == op_status::ok && v.whole();
                    }
                }
                running--;
            });
        }
        for (int k = pick(r, 60); k > 0; k--) rt0::this_goroutine::yield();
        c.close();
        while (running) rt0::this_goroutine::yield();
        ASSERT_EQ(went, came) << "round " << round;
    }
    EXPECT_EQ(TypeParam::alive(), before);
}

}  // namespace
