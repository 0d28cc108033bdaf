// Atomics of the runtime.  The memory orders are std's, and every use says ORDER(label) and
// what it pairs with.
//
// MODE=model puts its own machine (arch/model.h) under every access: there atomic<T> is a class of
// the same size and layout that asks the machine, while one runs this code, which thread goes on, and
// what a load sees.  Memory holds the last store all along, for whoever reads it outside of a run.
#pragma once
#include <atomic>

#ifdef RT_MODEL
#include <cstring>
#include <type_traits>

#include "arch/model.h"
#endif

namespace rt0::runtime {

using std::atomic_signal_fence;
using std::memory_order;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

#ifndef RT_MODEL

using std::atomic_thread_fence;
template <class T>
using atomic = std::atomic<T>;

#else

template <class T>
class atomic : public std::atomic<T> {
    using raw = std::atomic<T>;
    using word = arch::model_machine::word;
    static_assert(sizeof(T) <= sizeof(word) && std::is_trivially_copyable_v<T>);

    static word pack(T v) {
        word w = 0;
        std::memcpy(&w, &v, sizeof v);
        return w;
    }
    static T unpack(word w) {
        T v;
        std::memcpy(&v, &w, sizeof v);
        return v;
    }
    T last() const { return raw::load(memory_order_relaxed); }  // relaxed: one thread of the system runs the model
    void put(T v) { raw::store(v, memory_order_relaxed); }

    template <class F>
    T modify(memory_order o, F f) {
        arch::model_machine* m = arch::model();
        m->point(this);
        T old = last(), now = f(old);
        m->modify(this, pack(old), pack(now), o);
        put(now);
        return old;
    }
    bool cas(T& expected, T desired, memory_order yes, memory_order no, bool weak) {
        arch::model_machine* m = arch::model();
        m->point(this);
        T old = last();
        if (pack(old) != pack(expected) || (weak && m->weak_fails())) {
            m->missed(this, pack(old), no);
            expected = old;
            return false;
        }
        m->modify(this, pack(old), pack(desired), yes);
        put(desired);
        return true;
    }
    static constexpr memory_order on_failure(memory_order o) {
        return o == memory_order_acq_rel ? memory_order_acquire : o == memory_order_release ? memory_order_relaxed : o;
    }

public:
    constexpr atomic() : atomic(T{}) {}
    constexpr atomic(T v) : raw(v) {
        if (!std::is_constant_evaluated())
            if (auto* m = arch::model()) m->created(this);
    }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(memory_order o = memory_order_seq_cst) const {
        arch::model_machine* m = arch::model();
        if (!m) return raw::load(o);
        m->point(this);
        return unpack(m->load(this, pack(last()), o));
    }
    void store(T v, memory_order o = memory_order_seq_cst) {
        arch::model_machine* m = arch::model();
        if (!m) return raw::store(v, o);
        m->point(this);
        m->store(this, pack(last()), pack(v), o);
        put(v);
    }
    T exchange(T v, memory_order o = memory_order_seq_cst) {
        return arch::model() ? modify(o, [v](T) { return v; }) : raw::exchange(v, o);
    }
    bool compare_exchange_strong(T& e, T d, memory_order yes, memory_order no) {
        return arch::model() ? cas(e, d, yes, no, false) : raw::compare_exchange_strong(e, d, yes, no);
    }
    bool compare_exchange_strong(T& e, T d, memory_order o = memory_order_seq_cst) {
        return compare_exchange_strong(e, d, o, on_failure(o));
    }
    bool compare_exchange_weak(T& e, T d, memory_order yes, memory_order no) {
        return arch::model() ? cas(e, d, yes, no, true) : raw::compare_exchange_weak(e, d, yes, no);
    }
    bool compare_exchange_weak(T& e, T d, memory_order o = memory_order_seq_cst) {
        return compare_exchange_weak(e, d, o, on_failure(o));
    }
    template <class D>
    T fetch_add(D d, memory_order o = memory_order_seq_cst) {
        return arch::model() ? modify(o, [d](T v) { return static_cast<T>(v + d); }) : raw::fetch_add(d, o);
    }
    template <class D>
    T fetch_sub(D d, memory_order o = memory_order_seq_cst) {
        return arch::model() ? modify(o, [d](T v) { return static_cast<T>(v - d); }) : raw::fetch_sub(d, o);
    }
    T fetch_or(T d, memory_order o = memory_order_seq_cst) {
        return arch::model() ? modify(o, [d](T v) { return v | d; }) : raw::fetch_or(d, o);
    }
    T fetch_and(T d, memory_order o = memory_order_seq_cst) {
        return arch::model() ? modify(o, [d](T v) { return v & d; }) : raw::fetch_and(d, o);
    }
    operator T() const { return load(); }
    T operator=(T v) {
        store(v);
        return v;
    }
    // A compare-and-exchange that is not locked, whatever it says: a load, and a store of what it read or of `desired`.
    // What others do in between is what a load of an old value has missed, and the store then passes over.
    bool cas_unlocked(T& expected, T desired) {
        arch::model_machine* m = arch::model();
        if (!m) return raw::compare_exchange_strong(expected, desired);
        m->point(this);
        T old = unpack(m->load(this, pack(last()), memory_order_acquire));  // ORDER(gstatus): as amd64 has it, see casgstatus
        const bool equal = pack(old) == pack(expected);
        T now = equal ? desired : old;
        m->store(this, pack(last()), pack(now), memory_order_release);  // ORDER(gstatus): the same
        put(now);
        if (!equal) expected = old;
        return equal;
    }
};
// An object: a function would stand beside std's, which the argument's namespace brings in.
inline constexpr auto atomic_thread_fence = [](memory_order o) {
    if (arch::model_machine* m = arch::model()) m->fence(o);
    else std::atomic_thread_fence(o);
};
}  // namespace rt0::runtime

namespace rt0::arch {
// In the place of the processor's (GS4 in sched/gstatus.h), for words that the machine knows.
inline bool local_cas(runtime::atomic<std::uint32_t>* word, std::uint32_t& seen, std::uint32_t to) {
    return word->cas_unlocked(seen, to);
}
}  // namespace rt0::arch

namespace rt0::runtime {
static_assert(sizeof(atomic<bool>) == 1 && sizeof(atomic<void*>) == sizeof(void*) && alignof(atomic<void*>) == alignof(void*));

#endif

}  // namespace rt0::runtime
