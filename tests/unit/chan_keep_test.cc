// What a receive writes, and who keeps a channel whose handles go while elements are on their way.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <new>
#include <optional>
#include <stop_token>
#include <type_traits>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "tests/support/chan_support.h"

using namespace chantest;
using rt0::chan;
using rt0::op_status;

namespace {

// ---- no byte beside the element

struct nothing {};
struct beside {
    [[no_unique_address]] nothing e;
    char c = 'x';
};
class padded {
public:
    padded() = default;
    explicit padded(int x) : a(x) {}
    int a = 0;
    char b = 0;

private:
    [[maybe_unused]] int z_ = 0;
    [[maybe_unused]] char y_ = 0;
};
struct in_the_padding : padded {
    char c = 'x';
};
static_assert(sizeof(beside) == 1 || offsetof(beside, c) == 0);
static_assert(sizeof(in_the_padding) == sizeof(padded));

TEST(ChanKeep, AReceiveWritesTheElementAlone) {
    chan<nothing> n(1);
    chan<padded> p(1);
    for (int way = 0; way < 3; way++) {
        auto receive = [way](auto& c, auto& v) {
            if (way == 0) return c.try_recv(v);
            if (way == 1) return c.recv_for(v, std::chrono::seconds(10));
            return c.recv(v, std::stop_token{});
        };
        beside b;
        n.send(nothing{});
        EXPECT_EQ(receive(n, b.e), op_status::ok);
        EXPECT_EQ(b.c, 'x') << way;
        in_the_padding d;
        p.send(padded(7));
        EXPECT_EQ(receive(p, static_cast<padded&>(d)), op_status::ok);
        EXPECT_EQ(d.a, 7);
        EXPECT_EQ(d.c, 'x') << way;
    }
    const struct { const int a; } one{1};
    chan<std::remove_const_t<decltype(one)>> constant(1);  // cannot be assigned
    constant.send(one);
    std::remove_const_t<decltype(one)> got{0};
    EXPECT_EQ(constant.try_recv(got), op_status::ok);
    EXPECT_EQ(std::launder(&got)->a, 1);
}

// ---- a chain of moves (MV7)

// Stops where its n-th move is made, until it is let go.
struct stops {
    struct place {
        int at_move;
        std::atomic<bool> reached{false}, go_on{false};
        explicit place(int n) : at_move(n) {}
    };
    std::array<place*, 2> where{};
    int moves = 0;
    stops(place* a, place* b) : where{a, b} {}
    stops(stops&& o) noexcept : where(o.where), moves(o.moves + 1) {
        for (place* p : where)
            if (p && p->at_move == moves) {
                p->reached = true;
                until([p] { return p->go_on.load(); });
            }
    }
    stops& operator=(stops&&) = default;
};

// A sender goes on for others: he has given his element to a receiver who waited, and moves the next sender's into the free node.
// That receiver drops the last handle, and what is made next gets the memory.
TEST(ChanKeep, WhoGoesOnForOthersKeepsTheChannel) {
    struct box {
        chan<stops> c{1};
    };
    auto* b = new box;
    stops::place filling(1), leaving(2), chained(1);
    joined sender([&] { b->c.send(stops(&filling, &leaving)); });
    until([&] { return filling.reached.load(); });
    joined receiver([&] {
        EXPECT_TRUE(b->c.recv());
        delete b;
    });
    until([&] { return parked_on(b->c.raw()) == 1; });
    filling.go_on = true;
    until([&] { return leaving.reached.load(); });
    const std::uint32_t before = parked_on(b->c.raw());
    joined next([&] { b->c.send(stops(&chained, nullptr)); });
    until([&] { return parked_on(b->c.raw()) == before + 1; });
    leaving.go_on = true;
    until([&] { return chained.reached.load(); });
    receiver.join();
    std::array<chan<stops>, 64> fresh;
    for (auto& c : fresh) c = chan<stops>(1);
    chained.go_on = true;
    sender.join();
    next.join();
    for (auto& c : fresh) EXPECT_EQ(c.len(), 0u);
}

}  // namespace
