// The cases of select at their edges: used again, moved on, with values that do not go and copies that throw; sets that are
// cleared and that grow.  Each case is made, run and ended in functions that the compiler does not copy into their callers, so
// that one piece of code runs for every case: of a variable's channel and of a temporary's, chosen and not.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stack>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <rt0/chan.h>
#include <rt0/select.h>
#include <rt0/sync.h>

#define NOINLINE [[gnu::noinline]]

namespace {

// ---- cases of select

// An element with a memory of its copies and deaths.  Moved through the channel, copied by a case that is used again.
struct token {
    static inline int alive = 0, copies = 0;
    int v;
    explicit token(int n) : v(n) { alive++; }
    token(const token& o) : v(o.v) { alive++, copies++; }
    token(token&& o) noexcept : v(std::exchange(o.v, 0)) { alive++; }
    token& operator=(token&&) = default;
    ~token() { alive--; }
};
static_assert(rt0::detail::kind_of<token> == rt0::detail::elem_kind::moved);

// The same without a move: it is copied, and the copy may throw; travels in a box.
struct copied {
    static inline int alive = 0, copies = 0, fuse = -1;  // fuse: copies until one throws
    int v;
    explicit copied(int n) : v(n) { alive++; }
    copied(const copied& o) : v(o.v) {
        if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("copy");
        alive++, copies++;
    }
    copied& operator=(const copied&) = default;
    ~copied() { alive--; }
};
static_assert(rt0::detail::is_boxed<copied>);

struct count {  // a handler
    int* n;
    void operator()() const { ++*n; }
};
template <class T>
struct store {  // a handler that looks
    int* to;
    void operator()(std::optional<T> x) const { *to = x ? x->v : -1; }
};

template <class K>
NOINLINE void end_of(K* k) {
    delete k;
}
template <class K>
NOINLINE std::size_t at_once(K& k, int& otherwise) {
    return rt0::select(k, rt0::otherwise(count{&otherwise}));
}

// The channel of the case is a variable (borrowed) or a temporary (the case holds it).
template <class T, class F>
NOINLINE auto* recv_from(const rt0::chan<T>& c, bool held, F f) {
    return held ? new auto(rt0::recv(rt0::chan<T>(c), f)) : new auto(rt0::recv(c, f));
}
template <class T, class F>
NOINLINE auto* send_to(const rt0::chan<T>& c, bool held, T&& v, F f) {
    return held ? new auto(rt0::send(rt0::chan<T>(c), std::move(v), f)) : new auto(rt0::send(c, std::move(v), f));
}

template <class T>
void receive_with_and_without_looking(const char* what) {
    for (const bool held : {false, true}) {
        {
            const rt0::chan<T> c(4);
            for (int i = 1; i <= 3; i++) c.send(T(i));
            int seen = 0, ran = 0, none = 0;
            auto* looks = recv_from(c, held, store<T>{&seen});
            auto* counts = recv_from(c, held, count{&ran});
            EXPECT_EQ(at_once(*looks, none), 0u) << what;
            EXPECT_EQ(seen, 1) << what;
            EXPECT_EQ(at_once(*counts, none), 0u) << what;
            EXPECT_EQ(ran, 1) << what;
            EXPECT_EQ(T::alive, 1) << what << ": what nobody looks at is gone as well";
            c.send(T(4));
            EXPECT_EQ(at_once(*looks, none), 0u) << what;
            EXPECT_EQ(at_once(*looks, none), 0u) << what;
            EXPECT_EQ(at_once(*looks, none), 1u) << what;
            EXPECT_EQ(at_once(*counts, none), 1u) << what;
            EXPECT_EQ(none, 2) << what;
            c.close();
            EXPECT_EQ(at_once(*looks, none), 0u) << what;
            EXPECT_EQ(seen, -1) << what;
            EXPECT_EQ(at_once(*counts, none), 0u) << what;
            EXPECT_EQ(ran, 2) << what;
            end_of(looks);
            end_of(counts);
            EXPECT_EQ(c.cap(), 4u) << what << ": the variable's channel is still there";
        }
        EXPECT_EQ(T::alive, 0) << what;
    }
}

TEST(ApiEdges, RecvCasesUsedAgain) {
    receive_with_and_without_looking<token>("moved");
    receive_with_and_without_looking<copied>("boxed");
}

// A named case sends a copy each time.  A copy that did not go is kept for the next time.
template <class T>
void send_again(const char* what) {
    for (const bool held : {false, true}) {
        {
            const rt0::chan<T> c(1);
            c.send(T(1));
            int sent = 0, none = 0;
            auto* k = send_to(c, held, T(2), count{&sent});
            const int before = T::copies;
            for (int i = 0; i < 3; i++) EXPECT_EQ(at_once(*k, none), 1u) << what;
            EXPECT_EQ(T::copies, before + 1) << what;
            EXPECT_EQ(c.recv()->v, 1) << what;
            for (int i = 0; i < 2; i++) {
                EXPECT_EQ(at_once(*k, none), 0u) << what;
                EXPECT_EQ(c.recv()->v, 2) << what;
            }
            EXPECT_EQ(sent, 2) << what;
            EXPECT_EQ(none, 3) << what;
            end_of(k);
            EXPECT_EQ(T::alive, 0) << what;

            c.send(T(3));
            k = send_to(c, held, T(4), count{&sent});
            EXPECT_EQ(at_once(*k, none), 1u) << what;
            end_of(k);  // with the copy that did not go
            EXPECT_EQ(T::alive, 1) << what;
        }
        EXPECT_EQ(T::alive, 0) << what << ": the last handle is gone";
    }
}

TEST(ApiEdges, SendCasesUsedAgain) {
    send_again<token>("moved");
    send_again<copied>("boxed");
}

template <class K>
NOINLINE K* moved(K* k) {
    return new K(std::move(*k));
}

// A case may be moved on before its first select and after one, with the copy that did not go.
template <class T>
void move_a_case(const char* what) {
    for (const bool held : {false, true})
        for (const bool used : {false, true}) {
            {
                const rt0::chan<T> c(1);
                int sent = 0, none = 0;
                auto* k = send_to(c, held, T(2), count{&sent});
                if (used) {
                    c.send(T(1));
                    EXPECT_EQ(at_once(*k, none), 1u) << what;
                    EXPECT_EQ(c.recv()->v, 1) << what;
                }
                auto* to = moved(k);
                end_of(k);
                EXPECT_EQ(at_once(*to, none), 0u) << what;
                EXPECT_EQ(c.recv()->v, 2) << what;
                EXPECT_EQ(sent, 1) << what;
                end_of(to);
            }
            EXPECT_EQ(T::alive, 0) << what;
        }
}

TEST(ApiEdges, SendCasesMovedOn) {
    move_a_case<token>("moved");
    move_a_case<copied>("boxed");
}

template <class F>
bool a_copy_throws(int at, F f) {
    copied::fuse = at;
    bool thrown = false;
    try {
        f();
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    copied::fuse = -1;
    return thrown;
}

// A copy that throws on the way into a case, or from one into another, leaves nothing behind and takes no channel along.
TEST(ApiEdges, ThrowingCopiesOnTheWayIntoACase) {
    for (const bool held : {false, true}) {
        {
            const rt0::chan<copied> c(1);
            c.send(copied(1));
            int sent = 0;
            for (int at : {0, 1}) EXPECT_TRUE(a_copy_throws(at, [&] { send_to(c, held, copied(2), count{&sent}); })) << at;
            EXPECT_EQ(copied::alive, 1);
            auto* k = send_to(c, held, copied(2), count{&sent});
            EXPECT_TRUE(a_copy_throws(0, [&] { moved(k); }));
            end_of(k);
            EXPECT_EQ(copied::alive, 1);
            EXPECT_EQ(c.recv()->v, 1);
        }
        EXPECT_EQ(copied::alive, 0) << "nobody holds the channel any more";
    }
}

NOINLINE auto* done_of(const std::stop_token& st, int* n) { return new auto(rt0::done(st, count{n})); }

TEST(ApiEdges, DoneCasesWithATokenAndWithout) {
    std::stop_source stop;
    int stopped = 0, none = 0;
    auto *never = done_of({}, &stopped), *once = done_of(stop.get_token(), &stopped);
    EXPECT_EQ(at_once(*never, none), 1u);
    EXPECT_EQ(at_once(*once, none), 1u);
    stop.request_stop();
    EXPECT_EQ(at_once(*never, none), 1u);
    EXPECT_EQ(at_once(*once, none), 0u);
    EXPECT_EQ(stopped, 1);
    auto* to = moved(once);
    end_of(once);
    EXPECT_EQ(at_once(*to, none), 0u) << "the token went along";
    end_of(to);
    end_of(never);
}

// ---- sets of cases

NOINLINE void expect_size(const rt0::select_set& set, std::size_t n) {
    EXPECT_EQ(set.size(), n);
    if (set.empty()) EXPECT_EQ(n, 0u);
    else EXPECT_NE(n, 0u);
}
NOINLINE void add_recv(rt0::select_set& set, const rt0::chan<token>& c, bool held, int* to) {
    auto* k = recv_from(c, held, store<token>{to});
    set.add(std::move(*k));
    end_of(k);
}

TEST(ApiEdges, ASetHoldsWhatItIsGiven) {
    int seen = 0;
    rt0::select_set set;
    for (const bool held : {false, true}) {
        expect_size(set, 0);
        {
            const rt0::chan<token> c(2);
            c.send(token(1));
            c.send(token(2));
            add_recv(set, c, held, &seen);
        }
        expect_size(set, 1);
        EXPECT_EQ(token::alive, 2) << "only the set holds the channel now";
        EXPECT_EQ(set.select(), 0u);
        EXPECT_EQ(seen, 1);
        EXPECT_EQ(token::alive, 1);
        set.clear();
        EXPECT_EQ(token::alive, 0);
        set.clear();  // nothing to clear
    }
    const rt0::chan<token> c(1);
    add_recv(set, c, false, &seen);
    set.clear();  // before any select
    expect_size(set, 0);
}

// Its memory grows with it, several times; between the growths it chooses right.
TEST(ApiEdges, ASetThatGrowsBetweenSelects) {
    rt0::select_set set;
    int seen = 0;
    const rt0::chan<token> quiet(1);
    for (const std::size_t n : {1u, 16u, 17u, 18u, 100u, 1000u}) {
        while (set.size() < n - 1) add_recv(set, quiet, false, &seen);
        const rt0::chan<token> last(2);
        add_recv(set, last, false, &seen);
        for (int i = 1; i <= 2; i++) {
            last.send(token(i));
            EXPECT_EQ(set.select(), n - 1);
            EXPECT_EQ(seen, i);
        }
    }
    EXPECT_EQ(token::alive, 0);
}

// A set that another was made from is empty, and as good as new.
TEST(ApiEdgesSelect, ASetThatWasMovedFrom) {
    constexpr int many = 3 * static_cast<int>(rt0::detail::select_inline);
    rt0::chan<int> c(1);
    int ran = 0;
    rt0::select_set a;
    for (int i = 0; i < many; i++) a.add(rt0::recv(c, [&](std::optional<int>) { ran++; }));
    auto fill = [&] { c.send(1); };
    fill();
    a.select();
    auto b = std::make_unique<rt0::select_set>(std::move(a));
    EXPECT_TRUE(a.empty());
    for (int i = 0; i < many; i++) a.add(rt0::recv(c, [&](std::optional<int>) { ran++; }));
    fill();
    a.select();
    fill();
    b->select();
    EXPECT_EQ(ran, 3);
    a = std::move(*b);
    b.reset();
    EXPECT_EQ(a.size(), static_cast<std::size_t>(many));
    fill();
    a.select();
    EXPECT_EQ(ran, 4);
}

// It says that it can be copied, and does not compile where it is.
using pieces = std::vector<std::unique_ptr<int>>;
struct holds_pieces {
    pieces p;
};
pieces piece(int n) {
    pieces v;
    v.push_back(std::make_unique<int>(n));
    return v;
}

TEST(ApiEdgesSelect, ContainersOfWhatCannotBeCopied) {
    rt0::chan<pieces> c(2);
    rt0::chan<holds_pieces> h(1);
    rt0::chan<std::deque<std::unique_ptr<int>>> d(1);  // its move may throw
    EXPECT_EQ(rt0::select(rt0::send(c, piece(1))), 0u);
    EXPECT_EQ(rt0::select(rt0::send(h, holds_pieces{piece(2)})), 0u);
    auto named = rt0::send(c, piece(3));
    EXPECT_EQ(rt0::select(named), 0u);
    std::deque<std::unique_ptr<int>> v;
    v.push_back(std::make_unique<int>(4));
    EXPECT_EQ(d.try_send(v), rt0::op_status::ok);
    EXPECT_EQ(d.try_send(v), rt0::op_status::would_block);
    c.close();
    int sum = 0;
    for (pieces p : c) sum += *p.at(0);
    EXPECT_EQ(sum, 4);
    EXPECT_EQ(*h.recv()->p.at(0), 2);
    EXPECT_EQ(*d.recv()->at(0), 4);
}

// Not what is left after a move.
TEST(ApiEdgesSelect, WhatCannotBeCopiedIsSentOnce) {
    rt0::chan<std::unique_ptr<int>> c(3);
    rt0::chan<pieces> p(3);
    rt0::select_set set;
    set.add(rt0::send(c, std::make_unique<int>(7)));
    set.add(rt0::send(p, piece(8)));
    set.add(rt0::otherwise([] {}));
    EXPECT_EQ(set.select() + set.select(), 1u);
    EXPECT_EQ(set.select(), 2u);
    auto named = rt0::send(c, std::make_unique<int>(9));
    EXPECT_EQ(rt0::select(named, rt0::otherwise([] {})), 0u);
    EXPECT_EQ(rt0::select(named, rt0::otherwise([] {})), 1u);
    EXPECT_EQ(c.len(), 2u);
    EXPECT_EQ(p.len(), 1u);
    EXPECT_EQ(**c.recv() + **c.recv() + *p.recv()->at(0), 24);
}

// The same where a set keeps the order of its locks: of many cases, and of several on one channel.
TEST(ApiEdgesSelect, WhatCannotBeCopiedIsSentOnceByALargeSet) {
    for (const int on_one : {0, 2}) {
        rt0::chan<std::unique_ptr<int>> c(0), quiet(0);
        rt0::chan<int> other(0);
        rt0::select_set set;
        for (int i = 0; i < 17; i++) set.add(rt0::recv(i % 2 ? quiet : rt0::chan<std::unique_ptr<int>>(0), [] {}));
        for (int i = 0; i < on_one; i++) set.add(rt0::recv(c, [] {}));
        set.add(rt0::send(c, std::make_unique<int>(7)));
        for (int i = 0; i < on_one; i++) set.add(rt0::recv(c, [] {}));
        set.add(rt0::recv(other, [] {}));
        int got = 0;
        rt0::wait_group wg;
        wg.go([&] {
            rt0::this_goroutine::sleep_for(std::chrono::milliseconds(1));  // the set waits
            got = **c.recv();
            for (int n = 0; n < 3; n++) other.send(n);
        });
        const std::size_t sends = set.size() - 2 - static_cast<std::size_t>(on_one);
        EXPECT_EQ(set.select(), sends);
        for (int n = 0; n < 3; n++) EXPECT_EQ(set.select(), set.size() - 1);
        wg.wait();
        EXPECT_EQ(got, 7);
    }
}

// Elements whose type holds its own kind, as values of JSON do.
struct tree : std::vector<tree> {
    int n = 0;
};
struct object : std::map<std::string, object> {};
struct owner : std::map<int, std::vector<std::pair<owner*, std::unique_ptr<int>>>> {};
struct wrapped : std::vector<int> {
    using container_type = std::vector<int>;
};
static_assert(rt0::detail::copies<object> && !rt0::detail::copies<owner> && rt0::detail::copies<wrapped>);
static_assert(rt0::detail::copies<tree> && !rt0::detail::copies<std::map<int, pieces>> &&
              !rt0::detail::copies<std::stack<std::unique_ptr<int>>> && rt0::detail::copies<std::map<int, std::vector<int>>>);

TEST(ApiEdgesSelect, ElementsThatHoldTheirOwnKind) {
    rt0::chan<tree> c(2);
    tree t;
    t.n = 3;
    t.push_back(t);
    auto named = rt0::send(c, t);
    EXPECT_EQ(rt0::select(named) + rt0::select(named), 0u);
    c.close();
    int sum = 0;
    for (tree& got : c) sum += got.n + got.at(0).n;
    EXPECT_EQ(sum, 12);
}

struct throws_when_moved {
    static inline bool on = false;
    throws_when_moved() = default;
    throws_when_moved(throws_when_moved&&) noexcept(false) {
        if (on) throw std::runtime_error("moved");
    }
};

TEST(ApiEdgesSelect, AHandlerWithoutArgumentNeedsNoMove) {
    rt0::chan<throws_when_moved> c(1);
    c.send(throws_when_moved());
    throws_when_moved::on = true;
    bool ran = false;
    EXPECT_EQ(rt0::select(rt0::recv(c, [&] { ran = true; })), 0u);
    throws_when_moved::on = false;
    EXPECT_TRUE(ran);
    EXPECT_EQ(c.len(), 0u);
}

}  // namespace
