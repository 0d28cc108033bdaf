// The machine under a model run (MODE=model; tests/model): it stands in the place of processor and
// kernel for the threads that it runs, so that one seed is one interleaving, stale reads included.
// In other builds there is none, and what asks for it compiles to nothing.
#pragma once
#include <atomic>
#include <cstdint>
#include <string_view>

namespace rt0::arch {

class model_machine {
public:
    using word = std::uint64_t;  // the bytes of an atomic, zero-extended

    // ---- atomics; memory itself always holds the last store
    // Before an access: others may run first.
    virtual void point(const void* at) = 0;
    // A new object, or one built anew in the same place.
    virtual void created(const void* at) = 0;
    // What a load sees; last: what memory holds.
    virtual word load(const void* at, word last, std::memory_order order) = 0;
    virtual void store(const void* at, word last, word value, std::memory_order order) = 0;
    virtual void modify(const void* at, word last, word value, std::memory_order order) = 0;
    // A read-modify-write that modified nothing.
    virtual void missed(const void* at, word last, std::memory_order order) = 0;
    virtual bool weak_fails() = 0;
    virtual void fence(std::memory_order order) = 0;

    // ---- what kernel_if has otherwise; results as there
    virtual int futex_wait(const void* at, std::uint32_t val, std::int64_t deadline) = 0;  // ns, < 0: none
    virtual int futex_wake(const void* at, int n) = 0;
    virtual std::int64_t nanotime() = 0;
    virtual void osyield() = 0;
    virtual void usleep(std::uint32_t us) = 0;
    virtual void cpu_relax() = 0;
    virtual void membarrier() = 0;

    // A broken runtime, or a scenario's assertion: the run is over.
    [[noreturn]] virtual void fail(std::string_view what) = 0;

protected:
    ~model_machine() = default;
};

#ifdef RT_MODEL
extern thread_local constinit model_machine* model_now;  // null: this code is not under a model run
inline model_machine* model() { return model_now; }
#else
inline model_machine* model() { return nullptr; }
#endif

}  // namespace rt0::arch
