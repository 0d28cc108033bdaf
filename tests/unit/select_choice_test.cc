// select and select_set: that the choice is uniform; sets of thousands, reused and growing.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>
#include <rt0/select.h>

#include "tests/support/chan_support.h"

using namespace std::chrono_literals;
using namespace chantest;
using rt0::after;
using rt0::chan;
using rt0::done;
using rt0::otherwise;

namespace {

// ---- choice

// Chi-square over n equally likely outcomes; the bounds are the 1 - 1e-9 quantiles.
double chi_square(const std::vector<long>& seen) {
    long total = 0;
    for (long s : seen) total += s;
    const double expect = static_cast<double>(total) / static_cast<double>(seen.size());
    double x = 0;
    for (long s : seen) x += (static_cast<double>(s) - expect) * (static_cast<double>(s) - expect) / expect;
    return x;
}

TEST(Select, ChoosesUniformly) {
    std::array<chan<int>, 4> c{chan<int>(1), chan<int>(1), chan<int>(1), chan<int>(1)};
    std::vector<long> seen(4);
    for (auto& x : c) x.send(1);
    for (int i = 0; i < 20'000; i++) {
        auto take = [](std::optional<int>) {};
        const std::size_t k = rt0::select(rt0::recv(c[0], take), rt0::recv(c[1], take), rt0::recv(c[2], take),
                                          rt0::recv(c[3], take));
        seen[k]++;
        c[k].send(1);
    }
    EXPECT_LT(chi_square(seen), 45.1);  // 3 degrees of freedom
}

TEST(Select, ChoosesUniformlyAmongUnequalKinds) {
    chan<int> closed(0), room(1000'000), nil;
    closed.close();
    chan<std::string> full(1);
    full.send("x");
    std::stop_source stop;
    stop.request_stop();
    std::vector<long> seen(4);
    for (int i = 0; i < 20'000; i++) {
        std::size_t k = rt0::select(rt0::recv(closed, [](std::optional<int>) {}), rt0::send(room, 1, [] {}),
                                    rt0::recv(full, [&](std::optional<std::string> s) { full.send(*s); }),
                                    done(stop.get_token(), [] {}), rt0::recv(nil, [](std::optional<int>) {}),
                                    otherwise([] { FAIL(); }), after(0ns, [] { FAIL(); }));
        ASSERT_LT(k, 4u);
        seen[k]++;
    }
    EXPECT_LT(chi_square(seen), 45.1);
}

// A long run of cases that are never ready must not feed the one behind it.
TEST(Select, SetChoosesUniformlyPastIdleCases) {
    chan<int> idle(0);
    std::vector<chan<int>> ready;
    rt0::select_set set;
    std::vector<std::size_t> at;
    for (int i = 0; i < 60; i++) {
        if (i % 7 == 0 || (i > 20 && i < 26)) {
            ready.emplace_back(1).send(1);
            at.push_back(set.size());
            set.add(rt0::recv(ready.back(), [c = ready.back()](std::optional<int> v) mutable { c.send(*v); }));
        } else {
            set.add(rt0::recv(idle, [](std::optional<int>) { FAIL(); }));
        }
    }
    std::vector<long> per_case(set.size()), seen;
    for (int i = 0; i < 30'000; i++) per_case[set.select()]++;
    for (std::size_t i : at) seen.push_back(per_case[i]);
    EXPECT_EQ(at.size(), 13u);
    EXPECT_LT(chi_square(seen), 68.9);  // 12 degrees of freedom
}

// ---- select_set

TEST(SelectSet, ThousandsOfCases) {
    constexpr int n = 3000;
    std::vector<chan<int>> c;
    for (int i = 0; i < n; i++) c.emplace_back(0);
    rt0::select_set set;
    std::vector<int> got(n, -1);
    for (int i = 0; i < n; i++) set.add(rt0::recv(c[i], [&got, i](std::optional<int> v) { got[i] = *v; }));
    joined s([c]() mutable {
        for (int i = 0; i < n; i += 10) c[i].send(i);
    });
    for (int i = 0; i < n; i += 10) {
        EXPECT_EQ(set.select(), static_cast<std::size_t>(i));
        EXPECT_EQ(got[i], i);
    }
    s.join();
}

TEST(SelectSet, ManySendersIntoOneSetEachChannelTwice) {
    constexpr int n = 100, each = 20;
    std::vector<chan<std::string>> c;
    for (int i = 0; i < n; i++) c.emplace_back(i % 3);
    long got = 0;
    rt0::select_set set;
    auto take = [&](std::optional<std::string> v) { got += std::stoi(*v); };
    for (int i = 0; i < 2 * n; i++) set.add(rt0::recv(c[i % n], take));
    std::vector<joined> all;
    for (int i = 0; i < n; i++)
        all.emplace_back([ch = c[i]]() mutable {
            for (int k = 0; k < each; k++) ch.send(std::to_string(k));
        });
    for (int i = 0; i < n * each; i++) set.select();
    EXPECT_EQ(got, n * each * (each - 1) / 2);
    for (auto& j : all) j.join();
}

TEST(SelectSet, SendsCopiesEachTime) {
    chan<std::string> c(1);
    chan<throwing> boxed(1);
    chan<std::unique_ptr<int>> moved(1);
    rt0::select_set set;
    set.add(rt0::send(c, std::string("again"), [] {}));
    for (int i = 0; i < 3; i++) {
        set.select();
        EXPECT_EQ(c.recv(), "again");
    }
    rt0::select_set set2;
    set2.add(rt0::send(boxed, throwing(6), [] {}));
    for (int i = 0; i < 3; i++) {
        set2.select();
        EXPECT_EQ(boxed.recv()->v, 6);
    }
    rt0::select_set set3;
    set3.add(rt0::send(moved, std::make_unique<int>(4), [] {}));
    set3.select();
    EXPECT_EQ(**moved.recv(), 4);
    auto named = rt0::send(c, std::string("named"), [] {});
    for (int i = 0; i < 3; i++) {
        rt0::select(named);
        EXPECT_EQ(c.recv(), "named");
    }
}

TEST(SelectSet, HoldsItsChannels) {
    rt0::select_set set;
    {
        chan<counted> c(2);
        c.send(counted(1));
        c.send(counted(2));
        set.add(rt0::recv(c, [](std::optional<counted> v) { EXPECT_TRUE(v->valid); }));
    }
    EXPECT_EQ(counted::alive, 2);
    set.select();
    EXPECT_EQ(counted::alive, 1);
    set.clear();
    EXPECT_EQ(counted::alive, 0);
    EXPECT_TRUE(set.empty());
}

TEST(SelectSet, EveryKindAndGrowing) {
    rt0::select_set set;
    std::stop_source stop;
    chan<int> c(1);
    int timeouts = 0;
    set.add(after(200us, [&] { timeouts++; }));
    EXPECT_EQ(set.select(), 0u);
    set.add(done(stop.get_token(), [] {}));
    EXPECT_EQ(set.select(), 0u);
    set.add(rt0::recv(c, [&](std::optional<int>) { set.add(rt0::recv(c, [](std::optional<int>) {})); }));
    c.send(1);
    EXPECT_EQ(set.select(), 2u);
    EXPECT_EQ(set.size(), 4u);
    for (int i = 0; i < 30; i++) set.add(done(std::stop_source().get_token(), [] { FAIL(); }));
    EXPECT_EQ(set.select(), 0u);
    EXPECT_EQ(timeouts, 3);
    stop.request_stop();
    EXPECT_EQ(set.select(), 1u);
    set.clear();
    set.add(otherwise([] {}));
    EXPECT_THROW(set.add(otherwise([] {})), std::invalid_argument);
    EXPECT_EQ(set.select(), 0u);
}

TEST(SelectSet, ManyTokensStoppedOneAfterTheOther) {
    std::vector<std::stop_source> stops(40);
    rt0::select_set set;
    for (auto& s : stops) set.add(done(s.get_token(), [] {}));
    for (int i = 0; i < 40; i++) {
        joined j([&, i] { stops[i].request_stop(); });
        const std::size_t k = set.select();
        EXPECT_LE(k, static_cast<std::size_t>(i));
        j.join();
    }
}

}  // namespace
