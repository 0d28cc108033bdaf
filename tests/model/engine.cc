// The machine of engine.h: fibres, time, futexes, and the loop over schedules.
//
//   ME1  One fibre runs at a time; it hands over straight to the next, with its getg().
//   ME2  While a fibre runs model_now is the machine; outside, and inside the machine, atomics are plain.
//   ME3  Time is a count: a step is 1 ns, a PAUSE 20, a look at the clock 1000.  So bounded spinning ends soon.
//   ME4  A run that fails is left where it stands: its fibres are not unwound.
#include "tests/model/engine.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "arch/arch.h"
#include "sched/g.h"

namespace model {

void world::thread(std::function<void()> f, rt0::runtime::g* g) { threads_.push_back({std::move(f), g, false}); }
void world::lasting(std::function<void()> f, rt0::runtime::g* g) { threads_.push_back({std::move(f), g, true}); }

namespace {

using rt0::arch::model_now;
constexpr std::size_t stack_bytes = 256 << 10;
constexpr unsigned fair_after = 500;  // steps without a switch: a loop may wait for somebody without saying so
constexpr int timer_of = 128;  // in a list of threads: that thread's sleep times out

struct failed_outside {};  // thrown by fail() in `after`

}  // namespace

class machine final : public rt0::arch::model_machine {
public:
    explicit machine(const options& o) : o_(o) {}
    // True: the run held what the scenario asks of it.
    bool run(strategy& s, const std::function<void(world&)>& scenario);
    const std::string& failure() const { return failure_; }
    const schedule& choices() const { return choices_; }
    void trace(bool on) { trace_ = on; }
    bool plain(plain_access& a, bool write) { return write ? mem_.plain_write(now_, a) : mem_.plain_read(now_, a); }

    void point(const void* at) override;
    void created(const void* at) override { mem_.created(at); }
    word load(const void* at, word last, std::memory_order o) override;
    void store(const void* at, word last, word value, std::memory_order o) override;
    void modify(const void* at, word last, word value, std::memory_order o) override;
    void missed(const void* at, word last, std::memory_order o) override;
    bool weak_fails() override { return early(); }
    void fence(std::memory_order o) override;
    int futex_wait(const void* at, std::uint32_t val, std::int64_t deadline) override;
    int futex_wake(const void* at, int n) override;
    std::int64_t nanotime() override { return clock_ += 1000; }
    void osyield() override { cpu_relax(); }
    void usleep(std::uint32_t us) override;
    void cpu_relax() override;
    void membarrier() override;
    [[noreturn]] void fail(std::string_view what) override;

private:
    struct fibre {
        rt0::arch::gobuf context;
        char* stack = nullptr;
        std::function<void()> f;
        rt0::runtime::g* g = nullptr;
        bool lasting = false, ended = true, relaxing = false;
        const void* futex = nullptr;  // sleeps on it
        std::int64_t deadline = -1;   // < 0: none
        int result = 0;               // of the sleep
    };
    static void enter(void* f);
    void start(world& w);
    void switch_to(fibre* from, fibre& to);
    void reschedule(kind k);
    int list(kind k, int* threads);
    void nobody_can_go_on();
    void wake(fibre& f, int result);
    unsigned choose(kind k, unsigned n, const int* threads);
    bool early();
    void say(const char* what, const void* at, word value, std::memory_order o, unsigned k);
    void out(std::string what);
    bool is_constant(const void* at) const { return std::find(constants_.begin(), constants_.end(), at) != constants_.end(); }

    const options& o_;
    memory mem_;
    fibre fibres_[max_threads];
    int n_ = 0, now_ = 0;
    rt0::arch::gobuf outside_;
    strategy* s_ = nullptr;
    schedule choices_;
    std::string failure_;
    std::vector<const void*> constants_;
    std::int64_t clock_ = 0;
    unsigned steps_ = 0, early_ = 0, timeouts_ = 0;
    unsigned alone_ = 0;  // steps since the last switch
    bool trace_ = false;
};

namespace {
machine* current = nullptr;  // during a run
}

// ---- fibres

void machine::enter(void* arg) {
    auto* f = static_cast<fibre*>(arg);
    f->f();
    f->ended = true;
    current->reschedule(kind::block);
    std::abort();
}

void machine::start(world& w) {
    n_ = 0;
    for (auto& t : w.threads_) {
        fibre& f = fibres_[n_++];
        if (!f.stack) {
            void* m = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (m == MAP_FAILED) throw std::bad_alloc();
            f.stack = static_cast<char*>(m);
        }
        char* stack = f.stack;
        f = fibre{};
        f.stack = stack;
        f.f = std::move(t.f);
        f.g = t.g;
        f.lasting = t.lasting;
        f.ended = false;
        f.context.sp = rt0::arch::make_context(reinterpret_cast<std::uintptr_t>(stack + stack_bytes), rt0_goentry, enter, &f);
    }
}

bool machine::run(strategy& s, const std::function<void(world&)>& scenario) {
    world w;
    scenario(w);
    if (w.threads_.size() > max_threads) throw std::length_error("a scenario of too many threads");
    mem_.reset();
    s_ = &s;
    choices_.clear();
    failure_.clear();
    constants_ = std::move(w.constants_);
    clock_ = 1'000'000;
    steps_ = early_ = timeouts_ = alone_ = 0;
    s.begin();
    start(w);
    current = this;
    int threads[max_threads];
    for (int i = 0; i < n_; i++) threads[i] = i;
    now_ = n_ == 1 ? 0 : threads[choose(kind::block, static_cast<unsigned>(n_), threads)];
    rt0::runtime::g* g = rt0::runtime::getg();
    rt0::runtime::setg(fibres_[now_].g);
    model_now = this;
    rt0_switch(&outside_, &fibres_[now_].context);
    model_now = nullptr;
    rt0::runtime::setg(g);
    try {
        if (failure_.empty() && w.after_) w.after_();
    } catch (const failed_outside&) {
    }
    current = nullptr;
    return failure_.empty();
}

void machine::switch_to(fibre* from, fibre& to) {
    from->g = rt0::runtime::getg();
    rt0::runtime::setg(to.g);
    now_ = static_cast<int>(&to - fibres_);
    alone_ = 0;
    if (trace_) std::fprintf(stderr, "-- T%d\n", now_);
    rt0_switch(&from->context, &to.context);
}

void machine::out(std::string what) {
    failure_ = std::move(what);
    if (!model_now) throw failed_outside{};
    rt0_switch(&fibres_[now_].context, &outside_);
}

void machine::fail(std::string_view what) {
    out(std::string(what) + " (T" + std::to_string(now_) + ")");
    std::abort();
}

unsigned machine::choose(kind k, unsigned n, const int* threads) {
    unsigned c = s_->choose(k, n, now_, threads);
    if (c == not_deterministic) fail("the scenario depends on more than its schedule");
    choices_.push_back(static_cast<std::uint8_t>(c));
    return c;
}

bool machine::early() {
    if (early_ >= o_.early || choose(kind::early, 2, nullptr) == 0) return false;
    early_++;
    return true;
}

// Who may run next, the dull choice first.
int machine::list(kind k, int* threads) {
    int n = 0;
    if (k == kind::go_on) threads[n++] = now_;
    for (int i = 1; i < n_; i++) {
        const fibre& f = fibres_[(now_ + i) % n_];
        if (!f.ended && !f.futex) threads[n++] = (now_ + i) % n_;
    }
    if (k == kind::yield) threads[n++] = now_;
    if (n > 0 && timeouts_ < o_.timeouts)
        for (int i = 0; i < n_; i++)
            if (fibres_[i].futex && fibres_[i].deadline >= 0 && (k != kind::block || i != now_)) threads[n++] = timer_of + i;
    return n;
}

void machine::reschedule(kind k) {
    if (++steps_ > o_.steps) fail("no end in sight: a livelock, or a scenario that needs more steps");
    int threads[2 * max_threads];
    int n = list(k, threads);
    if (n == 0) return nobody_can_go_on();
    int next = n == 1 ? threads[0] : threads[choose(k, static_cast<unsigned>(n), threads)];
    if (next >= timer_of) {
        timeouts_++;
        next -= timer_of;
        wake(fibres_[next], -ETIMEDOUT);
    }
    if (next != now_) switch_to(&fibres_[now_], fibres_[next]);
}

void machine::nobody_can_go_on() {
    fibre* first = nullptr;
    bool all_may_stay = true;
    for (int i = 0; i < n_; i++) {
        fibre& f = fibres_[i];
        if (f.ended) continue;
        all_may_stay &= f.lasting;
        if (f.deadline >= 0 && (!first || f.deadline < first->deadline)) first = &f;
    }
    if (first) {
        wake(*first, -ETIMEDOUT);
        if (first != &fibres_[now_]) switch_to(&fibres_[now_], *first);
        return;
    }
    if (all_may_stay) {
        rt0_switch(&fibres_[now_].context, &outside_);
        std::abort();
    }
    std::string who;
    for (int i = 0; i < n_; i++)
        if (!fibres_[i].ended) who += " T" + std::to_string(i);
    fail("deadlock: asleep for good:" + who);
}

void machine::wake(fibre& f, int result) {
    if (result == -ETIMEDOUT) clock_ = std::max(clock_, f.deadline);
    f.futex = nullptr;
    f.deadline = -1;
    f.result = result;
}

// ---- accesses

void machine::point(const void* at) {
    if (is_constant(at)) return;
    clock_++;
    mem_.drain(1);
    fibres_[now_].relaxing = false;
    reschedule(++alone_ % fair_after ? kind::go_on : kind::yield);
}

void machine::say(const char* what, const void* at, word value, std::memory_order o, unsigned k) {
    static const char* const orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
    Dl_info i{};
    const bool named = dladdr(at, &i) && i.dli_sname;
    std::fprintf(stderr, "T%d %-7s %p %s+%td %s %#llx%s\n", now_, what, at, named ? i.dli_sname : "",
                 named ? static_cast<const char*>(at) - static_cast<const char*>(i.dli_saddr) : 0,
                 orders[static_cast<int>(o)], static_cast<unsigned long long>(value), k ? " (an old one)" : "");
}

machine::word machine::load(const void* at, word last, std::memory_order o) {
    unsigned n = o_.old_reads ? mem_.choices(now_, at, last, o) : (mem_.choices(now_, at, last, o), 1);
    unsigned k = n == 1 ? 0 : choose(kind::see, n, nullptr);
    word v = mem_.load(now_, at, k, o);
    if (trace_) say("load", at, v, o, k);
    return v;
}

void machine::store(const void* at, word last, word value, std::memory_order o) {
    if (trace_) say("store", at, value, o, 0);
    mem_.store(now_, at, last, value, o);
}

void machine::modify(const void* at, word last, word value, std::memory_order o) {
    if (trace_) say("modify", at, value, o, 0);
    mem_.modify(now_, at, last, value, o);
}

void machine::missed(const void* at, word last, std::memory_order o) {
    if (trace_) say("missed", at, last, o, 0);
    mem_.missed(now_, at, last, o);
}

void machine::fence(std::memory_order o) {
    if (o != std::memory_order_seq_cst) fail("a fence that is not seq_cst: not modelled (MM5)");
    point(this);
    if (trace_) std::fprintf(stderr, "T%d fence\n", now_);
    mem_.fence(now_);
}

// ---- the kernel

int machine::futex_wait(const void* at, std::uint32_t val, std::int64_t deadline) {
    point(at);
    if (*static_cast<const std::uint32_t*>(at) != val) return -EAGAIN;
    if (early()) return 0;
    fibre& f = fibres_[now_];
    f.futex = at;
    f.deadline = deadline;
    if (trace_) say("sleep", at, val, std::memory_order_relaxed, 0);
    reschedule(kind::block);
    return f.result;
}

int machine::futex_wake(const void* at, int n) {
    point(at);
    int woken = 0;
    for (int i = 1; i < n_ && woken < n; i++) {
        fibre& f = fibres_[(now_ + i) % n_];
        if (f.ended || f.futex != at) continue;
        wake(f, 0);
        woken++;
    }
    if (trace_) say("wake", at, static_cast<word>(woken), std::memory_order_relaxed, 0);
    return woken;
}

void machine::cpu_relax() {
    clock_ += 20;
    mem_.drain(20);
    if (fibres_[now_].relaxing) return;
    fibres_[now_].relaxing = true;
    reschedule(kind::yield);
}

void machine::usleep(std::uint32_t us) {
    clock_ += std::int64_t{us} * 1000;
    mem_.drain(std::uint64_t{us} * 1000);
    reschedule(kind::yield);
}

void machine::membarrier() {
    point(this);
    if (trace_) std::fprintf(stderr, "T%d membarrier\n", now_);
    mem_.membarrier();
}

// ---- the loop over schedules

void fail(const std::string& what) {
    if (!current) throw std::logic_error(what);
    current->fail(what);
}

bool plain_ok(plain_access& a, bool write) { return !rt0::arch::model() || current->plain(a, write); }

namespace {

unsigned from_environment(const char* name, unsigned otherwise) {
    const char* v = std::getenv(name);
    return v ? static_cast<unsigned>(std::strtoul(v, nullptr, 10)) : otherwise;
}

// Runs until one fails, or there are no more; how many.
unsigned all(machine& m, strategy& s, const std::function<void(world&)>& scenario) {
    unsigned runs = 0;
    do runs++;
    while (m.run(s, scenario) && s.next());
    return runs;
}

}  // namespace

std::string first_failure(const options& o, const std::function<void(world&)>& scenario) {
    machine m(o);
    const unsigned times = from_environment("RT_MODEL_RUNS", 1), seed = from_environment("RT_MODEL_SEED", 1);
    bounds deep = o.dfs;
    const unsigned even = o.evenly && deep.runs > 1 ? deep.runs / 2 : 0;
    deep.runs -= even;
    struct {
        const char* name;
        unsigned runs;
        std::unique_ptr<strategy> s;
    } by[] = {
        {"depth first", deep.runs, exhaustive(deep)},
        {"evenly", times * even, evenly(seed, o.dfs, times * even)},
        {"at random", times * o.random_runs, random_walk(seed, times * o.random_runs)},
        {"by priorities", times * o.pct_runs, priorities(seed, times * o.pct_runs, o.pct_depth)},
    };
    if (const char* text = std::getenv("RT_MODEL_SCHEDULE")) {
        m.trace(std::getenv("RT_MODEL_TRACE") != nullptr);
        by[0] = {"replayed", 1, replay(parse_schedule(text))};
        by[1].runs = by[2].runs = by[3].runs = 0;
    }
    std::string said;
    for (auto& [name, runs, s] : by) {
        if (runs == 0 || (&s == &by[1].s && by[0].s->complete())) continue;
        const std::string ran = std::to_string(all(m, *s, scenario)) + ' ' + name;
        if (!m.failure().empty())
            return m.failure() + "\nrun " + ran + "; to see it again:\n  RT_MODEL_TRACE=1 RT_MODEL_SCHEDULE=" +
                   to_string(m.choices());
        said += (said.empty() ? "    " : ", ") + ran + s->covered();
    }
    std::puts(said.c_str());
    return "";
}

void explore(const options& o, const std::function<void(world&)>& scenario) {
    if (std::string f = first_failure(o, scenario); !f.empty()) {
        auto* t = testing::UnitTest::GetInstance()->current_test_info();
        ADD_FAILURE() << f << " ... --gtest_filter=" << t->test_suite_name() << '.' << t->name();
    }
}

}  // namespace model
