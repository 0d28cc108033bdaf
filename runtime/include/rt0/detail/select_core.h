// What select's templates stand on: a list of erased cases, and the choice among them.
//
//   EC1  A case object (recv_case, send_case …) fills an scase by prepare() before the
//        choice and runs its handler by run() after it, both outside the runtime.
//   EC2  A receive case's storage holds an element only between the choice and run().
//   EC3  Up to select_inline cases need no memory beyond the stack; more bring a
//        select_scratch, which may serve many selects over the same list.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <rt0/chan.h>

namespace rt0::detail {

enum class case_kind : std::uint8_t { recv, send, after, done, otherwise };

struct scase {
    hchan* c = nullptr;              // recv, send; null: never chosen
    union {
        void* elem = nullptr;        // recv: raw storage; send: the value
        std::int64_t ns;             // after: from the start of the select
        const std::stop_token* stop; // done
    };
    case_kind kind = case_kind::otherwise;
};

struct select_outcome {
    std::uint32_t index;  // of the case that was chosen
    bool ok;              // recv: a value came; send: it went; false: the channel is closed
};

struct select_scratch {
    void* mem = nullptr;   // select_scratch_bytes() of it, aligned as new aligns
    std::uint32_t nsorted = 0;  // it holds the lock order of this list already, of so many channels
};

inline constexpr std::uint32_t select_inline = 16;
std::size_t select_scratch_bytes(std::size_t n, std::size_t ndone) noexcept;  // n cases, ndone of them `done`
// Blocks until one case can go (or at once, with otherwise).  big: null for n <= select_inline.
select_outcome selectgo(scase* cases, std::uint32_t n, select_scratch* big) noexcept;
[[noreturn]] void select_nothing() noexcept;  // select {}

// ---- case objects
struct case_base {};
template <class C>
concept select_case = std::is_base_of_v<case_base, std::remove_cvref_t<C>>;

// A channel named by a case: borrowed from the caller's handle, or owned.
class case_chan {
public:
    case_chan(hchan* c, bool own) noexcept : c_(c), own_(own) {
        if (own) ref_chan(c);
    }
    case_chan(case_chan&& o) noexcept : c_(o.c_), own_(std::exchange(o.own_, false)) {}
    case_chan& operator=(case_chan&&) = delete;
    ~case_chan() {
        if (own_) unref_chan(c_);
    }
    void own() noexcept {
        if (!std::exchange(own_, true)) ref_chan(c_);
    }
    hchan* get() const noexcept { return c_; }

private:
    hchan* c_;
    bool own_;
};

template <class T, class F>
class recv_case : public case_base {
public:
    static constexpr case_kind kind = case_kind::recv;
    recv_case(hchan* c, bool own, F f) : f_(std::move(f)), c_(c, own) {}
    recv_case(recv_case&& o) noexcept(std::is_nothrow_move_constructible_v<F>) : f_(std::move(o.f_)), c_(std::move(o.c_)) {}

    void own() noexcept { c_.own(); }
    template <bool keep>
    void prepare(scase& k) noexcept {
        k.kind = kind;
        k.c = c_.get();
        k.elem = const_cast<void*>(static_cast<const volatile void*>(std::addressof(slot_.value)));
    }
    void run(bool ok) {
        if constexpr (!std::is_invocable_v<F&, std::optional<T>>) {
            if (ok) drop();
            static_cast<void>(f_());
        } else if constexpr (std::is_member_pointer_v<F>) {
            static_cast<void>(std::invoke(f_, ok ? take() : nothing()));
        } else if (ok) {
            static_cast<void>(f_(take()));
        } else {
            static_cast<void>(f_(nothing()));
        }
    }

private:
    void drop() noexcept {
        if constexpr (is_boxed<T>) delete slot_.value;
        else std::destroy_at(std::addressof(slot_.value));
    }
    std::optional<T> take() noexcept(!is_boxed<T>) {
        if constexpr (is_boxed<T>) {
            std::unique_ptr<T> b(slot_.value);
            return std::optional<T>(std::move(*b));
        } else {
            destroy_guard<T> end(std::addressof(slot_.value));
            return std::optional<T>(std::move(slot_.value));
        }
    }
    // nullopt, which the compiler must not see through: it would warn of every handler
    // that looks at the value without asking, in the program's own name.
    static std::optional<T> nothing() noexcept {
        std::optional<T> v;
        asm("" : "+m"(v));
        return v;
    }

    elem_storage<passed_t<T>> slot_;
    [[no_unique_address]] F f_;
    case_chan c_;  // last: the move of a case that throws leaves the channel with the old one
};

// What a send case sends.  `keep`: the case will be used again, so a T that can be copied
// is sent as a copy, and one that cannot once only.
template <class T>
class outgoing {
public:
    explicit outgoing(T&& v) : value_(std::move(v)) {}
    outgoing(outgoing&&) = default;

    template <bool keep>
    void* prepare() {
        if constexpr (kind_of<T> == elem_kind::plain) {
            return std::addressof(value_);
        } else if constexpr (is_boxed<T>) {
            if (!box_) {
                if constexpr (keep && copies<T>) box_.reset(new T(std::as_const(value_)));
                else box_.reset(new T(std::move(value_)));
            }
            boxed_ = box_.get();
            return &boxed_;
        } else {
            if constexpr (keep && copies<T>) {
                if (!copy_) copy_.emplace(std::as_const(value_));
                return std::addressof(*copy_);
            } else {
                return std::addressof(value_);
            }
        }
    }
    void sent() noexcept {
        static_cast<void>(box_.release());
        copy_.reset();
        spent_ = kind_of<T> != elem_kind::plain && !copies<T>;
    }
    bool spent() const noexcept { return spent_; }

private:
    struct none {
        void reset() noexcept {}
        void* release() noexcept { return nullptr; }
    };
    T value_;
    T* boxed_ = nullptr;
    bool spent_ = false;
    [[no_unique_address]] std::conditional_t<is_boxed<T>, std::unique_ptr<T>, none> box_;
    [[no_unique_address]] std::conditional_t<kind_of<T> == elem_kind::moved, std::optional<T>, none> copy_;
};

template <class T, class F>
class send_case : public case_base {
public:
    static constexpr case_kind kind = case_kind::send;
    send_case(hchan* c, bool own, T&& v, F f) : out_(std::move(v)), f_(std::move(f)), c_(c, own) {}
    send_case(send_case&&) = default;

    void own() noexcept { c_.own(); }
    template <bool keep>
    void prepare(scase& k) {
        k.kind = kind;
        k.c = out_.spent() ? nullptr : c_.get();  // a nil channel is never chosen
        if (k.c) k.elem = out_.template prepare<keep>();
    }
    void run(bool ok) {
        if (!ok) throw_closed_channel(chan_misuse::send_closed);
        out_.sent();
        static_cast<void>(std::invoke(f_));
    }

private:
    outgoing<T> out_;
    [[no_unique_address]] F f_;
    case_chan c_;  // last: the move of a case that throws leaves the channel with the old one
};

template <class F>
class after_case : public case_base {
public:
    static constexpr case_kind kind = case_kind::after;
    after_case(std::int64_t ns, F f) : ns_(ns), f_(std::move(f)) {}
    void own() noexcept {}
    template <bool keep>
    void prepare(scase& k) noexcept {
        k.kind = kind;
        k.ns = ns_;
    }
    void run(bool) { static_cast<void>(std::invoke(f_)); }

private:
    std::int64_t ns_;
    [[no_unique_address]] F f_;
};

template <class F>
class done_case : public case_base {
public:
    static constexpr case_kind kind = case_kind::done;
    done_case(std::stop_token st, F f) : st_(std::move(st)), f_(std::move(f)) {}
    void own() noexcept {}
    template <bool keep>
    void prepare(scase& k) noexcept {
        k.kind = kind;
        k.stop = &st_;
    }
    void run(bool) { static_cast<void>(std::invoke(f_)); }

private:
    std::stop_token st_;
    [[no_unique_address]] F f_;
};

template <class F>
class otherwise_case : public case_base {
public:
    static constexpr case_kind kind = case_kind::otherwise;
    explicit otherwise_case(F f) : f_(std::move(f)) {}
    void own() noexcept {}
    template <bool keep>
    void prepare(scase& k) noexcept {
        k.kind = kind;
    }
    void run(bool) { static_cast<void>(std::invoke(f_)); }

private:
    [[no_unique_address]] F f_;
};

struct no_handler {
    void operator()() const noexcept {}
};

// A case in a select_set.
struct set_case {
    virtual ~set_case() = default;
    virtual void prepare(scase& k) = 0;
    virtual void run(bool ok) = 0;
};
template <class C>
struct set_case_of final : set_case {
    C c;
    explicit set_case_of(C&& from) : c(std::move(from)) { c.own(); }
    ~set_case_of() noexcept override {}  // whatever C's says
    void prepare(scase& k) override { c.template prepare<true>(k); }
    void run(bool ok) override { c.run(ok); }
};

}  // namespace rt0::detail
