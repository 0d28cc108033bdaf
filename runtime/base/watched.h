// watched: a word with one writer at a time, its owner or the holder of a lock, that others look at whenever
// they like: requesters, scanners, reports.  What they see may be old, and says nothing about other words: so
// accesses are relaxed, and who needs more has it from elsewhere (a status, a lock, a stop).  ++ and += are
// for the writer alone, no read-modify-writes.  Where a looker goes on to what a pointer leads to, the writer
// publishes and the looker follows: else he might find it unmade.
#pragma once
#include <atomic>
#include <cstddef>

#include "base/atomic.h"

namespace rt0::runtime {

template <class T>
class watched {
public:
    constexpr watched() = default;
    watched(const watched&) = delete;
    watched& operator=(const watched& from) { return *this = static_cast<T>(from); }
    watched& operator=(T v) {
        word_.store(v, memory_order_relaxed);  // relaxed: see above
        return *this;
    }
    T get() const { return word_.load(memory_order_relaxed); }  // relaxed: see above
    operator T() const { return get(); }
    T operator->() const { return get(); }
    // ORDER(watched): release; pairs with the acquire in follow().
    void publish(T v) { word_.store(v, memory_order_release); }
    // ORDER(watched): acquire; pairs with the release in publish().
    T follow() const { return word_.load(memory_order_acquire); }
    watched& operator+=(T d) { return *this = static_cast<T>(*this + d); }
    watched& operator++() { return *this += T{1}; }
    watched& operator--() { return *this = static_cast<T>(*this - T{1}); }
    T operator++(int) {
        T was = *this;
        *this = static_cast<T>(was + 1);
        return was;
    }
    T operator--(int) {
        T was = *this;
        *this = static_cast<T>(was - 1);
        return was;
    }

private:
    atomic<T> word_{T{}};
};

// The same for text: from or to what others may look at, or write, meanwhile.
inline void watched_copy(char* to, const char* from, std::size_t n) {
    for (std::size_t i = 0; i < n; i++) {
        char c = std::atomic_ref<char>(const_cast<char&>(from[i])).load(memory_order_relaxed);  // relaxed: see above
        std::atomic_ref<char>(to[i]).store(c, memory_order_relaxed);                            // relaxed: see above
    }
}

}  // namespace rt0::runtime
