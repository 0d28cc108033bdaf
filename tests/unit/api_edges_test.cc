// The public interface at its edges: empty handles, counts out of range, waits with an end, tasks that do not start.  What an
// object answers is asked in a function that the compiler does not copy into its callers, so that one piece of code gives every
// answer, as in a program that is handed the object.  The cases of select are in api_edges_select_test.cc.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rt0/rt0.h>

using namespace std::chrono_literals;
using rt0::op_status;

#define NOINLINE [[gnu::noinline]]

namespace {

void settle() {
    for (int i = 0; i < 50; i++) rt0::this_goroutine::yield();
}

// ---- handles

template <class H>
NOINLINE std::size_t cap_of(const H& h) {
    return h.cap();
}
template <class H>
NOINLINE std::size_t len_of(const H& h) {
    return h.len();
}
template <class H>
NOINLINE void is_there(const H& h, int& yes, int& no) {
    if (h) ++yes;
    else ++no;
}
template <class H>
NOINLINE void equal(const H& a, const H& b, int& yes, int& no) {
    if (a == b) ++yes;
    else ++no;
}
template <class H>
NOINLINE void expect_differ(const H& a, const H& b, bool expected) {
    EXPECT_EQ(a != b, expected);
}

template <class H>
void ask_there_and_nil(const char* what) {
    const rt0::chan<int> c(3), d(3);
    c.send(1);
    const std::vector<H> all{c, c, d, {}};
    const H &there = all[0], &same = all[1], &other = all[2], &nil = all[3];
    EXPECT_EQ(cap_of(there), 3u) << what;
    EXPECT_EQ(cap_of(nil), 0u) << what;
    EXPECT_EQ(len_of(there), 1u) << what;
    EXPECT_EQ(len_of(nil), 0u) << what;
    int yes = 0, no = 0;
    is_there(there, yes, no);
    EXPECT_EQ(yes, 1) << what;
    is_there(nil, yes, no);
    EXPECT_EQ(no, 1) << what;
    equal(there, same, yes, no);
    equal(nil, nil, yes, no);
    EXPECT_EQ(yes, 3) << what;
    equal(there, other, yes, no);
    equal(there, nil, yes, no);
    EXPECT_EQ(no, 3) << what;
    expect_differ(there, other, true);
    expect_differ(there, same, false);
}

TEST(ApiEdges, HandlesThereAndNil) {
    ask_there_and_nil<rt0::chan<int>>("chan");
    ask_there_and_nil<rt0::sender<int>>("sender");
    ask_there_and_nil<rt0::receiver<int>>("receiver");
}

NOINLINE int sum_of(const rt0::receiver<int>& r) {
    int sum = 0;
    for (int v : r) sum += v;
    return sum;
}

TEST(ApiEdges, RangeOfAReceiverThereAndNil) {
    const rt0::chan<int> c(3);
    c.send(1);
    c.send(2);
    c.close();
    EXPECT_EQ(sum_of(c), 3);
    static std::atomic<bool> passed{false};  // outlives the goroutine, which never ends
    rt0::go([] {
        sum_of(rt0::receiver<int>());
        passed = true;
    });
    settle();
    EXPECT_FALSE(passed) << "the nil channel blocks for ever";
}

NOINLINE op_status recv(const rt0::receiver<int>& r, int& v, const std::stop_token& st) { return r.recv(v, st); }

TEST(ApiEdges, AReceiversTokenThereAndNot) {
    const rt0::chan<int> c(1);
    std::stop_source stop;
    int v = 0;
    c.send(1);
    EXPECT_EQ(recv(c, v, std::stop_token()), op_status::ok);
    c.send(2);
    EXPECT_EQ(recv(c, v, stop.get_token()), op_status::ok);
    EXPECT_EQ(v, 2);
    stop.request_stop();
    EXPECT_EQ(recv(c, v, stop.get_token()), op_status::canceled);
    c.close();
    EXPECT_EQ(recv(c, v, std::stop_token()), op_status::closed);
    EXPECT_EQ(v, 2);
}

// What is left in the buffer dies with the channel, elements that own something and such as own nothing.
TEST(ApiEdges, LeftoversDieWithTheChannel) {
    struct node {  // moves and dies without throwing: the channel moves it itself
        std::shared_ptr<int> owner;
    };
    auto owner = std::make_shared<int>(0);
    {
        const rt0::chan<node> c(3);
        c.send({owner});
        c.send({nullptr});
        c.send({owner});
        EXPECT_EQ(owner.use_count(), 3);
        c.close();
    }
    EXPECT_EQ(owner.use_count(), 1);
}

// ---- counts

template <class F>
bool refuses(F f) {
    try {
        f();
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

NOINLINE void release(rt0::semaphore& s, std::ptrdiff_t n) { s.release(n); }
NOINLINE void count_down(rt0::latch& l, std::ptrdiff_t n) { l.count_down(n); }
using meeting = rt0::barrier<>;
NOINLINE std::optional<meeting::arrival_token> arrive(meeting& b, std::ptrdiff_t n) {
    try {
        return b.arrive(n);
    } catch (const std::invalid_argument&) {
        return {};
    }
}
template <class T>
NOINLINE void make(std::ptrdiff_t n) {
    alignas(T) std::byte place[sizeof(T)];
    (new (place) T(n))->~T();
}

template <class T>
void make_all(const char* what) {
    EXPECT_FALSE(refuses([] { make<T>(0); })) << what;
    EXPECT_FALSE(refuses([] { make<T>(T::max()); })) << what;
    EXPECT_TRUE(refuses([] { make<T>(-1); })) << what;
    EXPECT_TRUE(refuses([] { make<T>(T::max() + 1); })) << what;
}

TEST(ApiEdges, CountsInAndOutOfRange) {
    make_all<rt0::semaphore>("semaphore");
    make_all<rt0::latch>("latch");
    make_all<meeting>("barrier");

    rt0::semaphore s(1);
    EXPECT_TRUE(refuses([&] { release(s, -1); }));
    EXPECT_TRUE(refuses([&] { release(s, s.max() + 1); }));
    EXPECT_TRUE(refuses([&] { release(s, s.max()); })) << "one more than there may be";
    release(s, s.max() - 1);
    EXPECT_TRUE(s.try_acquire());

    rt0::latch l(2);
    EXPECT_TRUE(refuses([&] { count_down(l, -1); }));
    EXPECT_TRUE(refuses([&] { count_down(l, l.max() + 1); }));
    EXPECT_TRUE(refuses([&] { count_down(l, 3); }));
    EXPECT_FALSE(l.try_wait());
    count_down(l, 2);
    EXPECT_TRUE(l.try_wait());

    meeting b(2);
    for (const std::ptrdiff_t n : {std::ptrdiff_t{0}, std::ptrdiff_t{-1}, b.max() + 1, std::ptrdiff_t{3}})
        EXPECT_FALSE(arrive(b, n)) << n;
    b.wait(*arrive(b, 2));
    auto first = arrive(b, 1);
    EXPECT_FALSE(arrive(b, 2)) << "one is missing";
    EXPECT_TRUE(arrive(b, 1));
    b.wait(std::move(*first));
    b.arrive_and_drop();
    b.arrive_and_wait();
}

// ---- waits with an end

NOINLINE std::cv_status wait_until(rt0::condition_variable& cv, std::unique_lock<rt0::mutex>& l, rt0::time_point t) {
    return cv.wait_until(l, t);
}
NOINLINE bool wait_until(rt0::condition_variable& cv, std::unique_lock<rt0::mutex>& l, rt0::time_point t,
                         const std::function<bool()>& pred) {
    return cv.wait_until(l, t, pred);
}

TEST(ApiEdges, WaitUntilSaysWhichCameFirst) {
    rt0::mutex m;
    rt0::condition_variable cv;
    std::vector<rt0::task<void>> notifiers;
    std::unique_lock l(m);
    auto notify = [&] {  // by a goroutine that comes as soon as the mutex is free: when this one waits
        notifiers.push_back(rt0::spawn([&] {
            std::lock_guard g(m);
            cv.notify_all();
        }));
    };
    notify();
    EXPECT_EQ(wait_until(cv, l, rt0::now() + 1h), std::cv_status::no_timeout);
    EXPECT_EQ(wait_until(cv, l, rt0::now() - 1h), std::cv_status::timeout);

    int asked = 0;
    EXPECT_TRUE(wait_until(cv, l, rt0::now() + 1h, [&] {
        notify();
        return ++asked == 3;
    }));
    EXPECT_EQ(asked, 3) << "notified twice, and each time asked again";
    asked = 0;
    EXPECT_FALSE(wait_until(cv, l, rt0::now() - 1h, [&] { return ++asked == 3; }));
    EXPECT_EQ(asked, 2) << "before the wait and at its end";
    asked = 0;
    EXPECT_TRUE(wait_until(cv, l, rt0::now() - 1h, [&] { return ++asked == 2; })) << "what it says at the end";
    l.unlock();
}

// Who was notified in time says so, though he has the mutex again only when his time is over.
TEST(ApiEdges, ANotificationInTimeIsNoTimeout) {
    for (auto patience = 20ms;; patience *= 2) {
        rt0::mutex m;
        rt0::condition_variable cv;
        std::optional<std::cv_status> status;
        rt0::time_point until;
        rt0::wait_group wg;
        wg.go([&] {
            std::unique_lock l(m);
            until = rt0::now() + patience;
            status = cv.wait_until(l, until);
        });
        std::unique_lock l(m);
        while (until == rt0::time_point{}) {  // with the mutex free again he waits
            l.unlock();
            rt0::this_goroutine::yield();
            l.lock();
        }
        cv.notify_one();
        const bool in_time = !status && rt0::now() < until;
        while (in_time && rt0::now() <= until) {}
        l.unlock();
        wg.wait();
        if (!in_time) continue;  // a slow machine
        EXPECT_EQ(*status, std::cv_status::no_timeout);
        return;
    }
}

// ---- tasks

NOINLINE bool may_join(const rt0::task<int>& t) {
    if (t.joinable()) return true;
    EXPECT_FALSE(t.done()) << "an empty task";
    return false;
}
NOINLINE bool has_ended(const rt0::task<int>& t) { return t.done(); }
NOINLINE void assign(rt0::task<int>& to, rt0::task<int>& from) { to = std::move(from); }

// Further away than the clock can say, in either direction.
TEST(ApiEdges, TimesWithoutEnd) {
    using days = std::chrono::duration<std::int64_t, std::ratio<86'400>>;
    using steady = std::chrono::steady_clock;
    using far = std::chrono::time_point<steady, days>;
    rt0::mutex m;
    rt0::condition_variable cv;
    std::unique_lock l(m);
    const auto never = [] { return false; };
    EXPECT_FALSE(cv.wait_for(l, std::chrono::nanoseconds::min(), never));
    EXPECT_FALSE(cv.wait_until(l, steady::time_point::min(), never));
    EXPECT_FALSE(cv.wait_until(l, std::chrono::system_clock::time_point::min(), never));
    EXPECT_FALSE(cv.wait_until(l, far::min(), never));
    EXPECT_EQ(cv.wait_until(l, steady::time_point::min()), std::cv_status::timeout);
    rt0::this_goroutine::sleep_until(far::min());
    l.unlock();
    EXPECT_TRUE(m.try_lock_until(far::max()));
    EXPECT_FALSE(m.try_lock_until(far::min()));
    EXPECT_FALSE(std::unique_lock(m, rt0::now() + 1ms).owns_lock());
    m.unlock();
    rt0::shared_mutex rw;
    EXPECT_TRUE(rw.try_lock_until(rt0::now() - 1h));
    EXPECT_FALSE(rw.try_lock_until(std::chrono::system_clock::now() + 1ms));
    rw.unlock();
    for (const bool in_time : {false, true}) {
        std::unique_lock held(m);
        rt0::task<void> notifies = rt0::spawn([&] {
            std::lock_guard set(m);
            cv.notify_all();
        });
        EXPECT_EQ(cv.wait_until(held, in_time ? far::max() : far::min()),
                  in_time ? std::cv_status::no_timeout : std::cv_status::timeout);
        held.unlock();
        notifies.join();
    }
}

TEST(ApiEdges, TasksEmptyRunningEnded) {
    rt0::task<int> none, other;
    EXPECT_FALSE(may_join(none));
    EXPECT_FALSE(has_ended(none));
    rt0::semaphore go_on(0);
    rt0::task<int> t = rt0::spawn([&] {
        go_on.acquire();
        return 7;
    });
    EXPECT_TRUE(may_join(t));
    EXPECT_FALSE(has_ended(t));
    assign(t, t);
    EXPECT_TRUE(may_join(t)) << "assigned to itself: it stays, and nobody waits";
    assign(other, t);
    EXPECT_FALSE(may_join(t));
    go_on.release();
    while (!has_ended(other)) rt0::this_goroutine::yield();
    EXPECT_TRUE(may_join(other));
    EXPECT_EQ(other.join(), 7);
    EXPECT_FALSE(has_ended(other)) << "empty again";
}

// A goroutine that cannot be had takes nothing with it: what was to run is gone before the exception arrives.
TEST(ApiEdges, ATaskThatDoesNotStartLeavesNothing) {
    auto held = std::make_shared<int>(1);
    rt0::go_options absurd{.stack_size = std::size_t{1} << 62};
    for (const bool starts : {true, false}) {
        absurd.stack_size = starts ? 0 : std::size_t{1} << 62;
        int got = 0;
        try {
            got = rt0::spawn(absurd, [held] { return *held; }).join();
        } catch (const std::length_error&) {
            got = -1;
        }
        EXPECT_EQ(got, starts ? 1 : -1);
        EXPECT_EQ(held.use_count(), 1);
    }
}

// ---- callables

struct last_call_only {
    int v;
    int operator()() && { return v; }
};
struct unsure_end {  // its destructor may throw; it does not
    int* n = nullptr;
    void operator()() const { ++*n; }
    ~unsure_end() noexcept(false) {}
};

TEST(ApiEdges, CallablesThatAreCalledAsRvalues) {
    EXPECT_EQ(rt0::spawn(last_call_only{3}).join(), 3);
    rt0::wait_group wg;
    wg.go(last_call_only{4});
    wg.wait();
    rt0::go(last_call_only{5});
}

TEST(ApiEdges, ThingsWhoseEndMayThrow) {
    int n = 0;
    rt0::select_set set;
    set.add(rt0::otherwise(unsure_end{&n}));
    set.select();
    EXPECT_EQ(n, 1);
    rt0::context c = rt0::context().with_value("key", unsure_end{&n});
    EXPECT_EQ(c.value<unsure_end>("key")->n, &n);
    rt0::timer(1h, unsure_end{&n}).stop();
}

// ---- stdout

// Longer than what the kernel writes in one piece, into a pipe that nobody reads at first, made non-blocking by somebody.
TEST(ApiEdges, LinesDoNotMix) {
    constexpr int writers = 4, each = 20, length = 30'000;
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    ASSERT_EQ(fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK), 0);
    std::fflush(stdout);
    const int before = dup(1);
    ASSERT_EQ(dup2(pipe_ends[1], 1), 1);
    std::string all;
    std::thread reader([&] {
        usleep(20'000);
        char some[5000];
        for (ssize_t k; (k = read(pipe_ends[0], some, sizeof some)) > 0;) all.append(some, static_cast<std::size_t>(k));
    });
    rt0::wait_group wg;
    for (char c = 'a'; c < 'a' + writers; c++)
        wg.go([c] {
            for (int i = 0; i < each; i++) rt0::println(std::string(length, c));
        });
    wg.wait();
    dup2(before, 1);
    close(before);
    close(pipe_ends[1]);
    reader.join();
    close(pipe_ends[0]);
    ASSERT_EQ(all.size(), std::size_t{writers} * each * (length + 1));
    for (std::size_t at = 0; at < all.size(); at += length + 1) {
        EXPECT_EQ(all.find_first_not_of(all[at], at), at + length);
        EXPECT_EQ(all[at + length], '\n');
    }
}

}  // namespace
