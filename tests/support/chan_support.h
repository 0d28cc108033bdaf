// What the tests of channels and select share: element types that keep count, goroutines
// that can be waited for, a look at who is parked.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rt0/chan.h>
#include <rt0/go.h>

#include "chan/hchan.h"
#include "sched/upcross.h"

namespace chantest {

// Counts its lives; its move may not throw.
struct counted {
    static inline std::atomic<long> alive{0};
    static inline std::atomic<long> moves{0};
    int v;
    bool valid = true;
    explicit counted(int n = 0) : v(n) { alive++; }
    counted(counted&& o) noexcept : v(o.v), valid(o.valid) {
        o.valid = false;
        alive++;
        moves++;
    }
    counted& operator=(counted&& o) noexcept {
        v = o.v;
        valid = std::exchange(o.valid, false);
        return *this;
    }
    ~counted() { alive--; }
};

// A copy constructor that throws when told to, and no move constructor: boxed.
struct throwing {
    static inline std::atomic<long> alive{0};
    static inline std::atomic<int> fuse{-1};  // copies until one throws; < 0: never
    int v;
    static void burn() {
        if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("copy");
    }
    explicit throwing(int n = 0) : v(n) { alive++; }
    throwing(const throwing& o) : v(o.v) {
        burn();
        alive++;
    }
    throwing& operator=(const throwing& o) {
        burn();
        v = o.v;
        return *this;
    }
    ~throwing() { alive--; }
};

// Move-only, and the move may throw.
struct throwing_move {
    static inline std::atomic<int> fuse{-1};
    std::unique_ptr<int> p;
    explicit throwing_move(int n = 0) : p(new int(n)) {}
    throwing_move(throwing_move&& o) noexcept(false) {
        if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("move");
        p = std::move(o.p);
    }
    throwing_move& operator=(throwing_move&& o) noexcept(false) {
        p = std::move(o.p);
        return *this;
    }
    int get() const { return p ? *p : -1; }
};

// Waits, by yielding, until pred holds.
template <class F>
void until(F pred) {
    while (!pred()) rt0::this_goroutine::yield();
}
// A goroutine that says when it has ended.
struct joined {
    std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(false);
    template <class F>
    explicit joined(F f) {
        rt0::go([f = std::move(f), e = ended]() mutable {
            f();
            e->store(true);
        });
    }
    bool done() const { return ended->load(); }
    void join() const {
        until([this] { return done(); });
    }
};
// Lets others run until they have parked, or nearly so; no test depends on "so".
inline void settle() {
    for (int i = 0; i < 50; i++) rt0::this_goroutine::yield();
}

// How many sudogs wait on a channel: white-box, so that a test can wait for a park.
inline std::uint32_t parked_on(rt0::runtime::hchan* c) {
    rt0::runtime::runtime_call rc;
    rt0::runtime::lockchan(c);
    const std::uint32_t n = c->npark;
    rt0::runtime::unlockchan(c);
    return n;
}

}  // namespace chantest
