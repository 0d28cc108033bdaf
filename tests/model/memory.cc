// What a load may see; MM1-MM5 in memory.h.
#include "tests/model/memory.h"

namespace model {

namespace {

constexpr std::uint64_t drain_ns = 1000;  // config.h: a store buffer drains in less than 1 us

bool acquires(std::memory_order o) {
    return o == std::memory_order_acquire || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
}
bool releases(std::memory_order o) {
    return o == std::memory_order_release || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
}

}  // namespace

void memory::reset() {
    for (auto& c : clocks_) c = {};
    for (auto& f : fenced_) f = {};
    fences_ = {};
    index_.clear();
    used_ = 0;
    drained_ = 0;
    run_++;
}

memory::location& memory::find(const void* at, word last) {
    auto [it, fresh] = index_.try_emplace(at, used_);
    if (fresh) {  // what was there before the run happened before all of it
        if (used_ == pool_.size()) pool_.emplace_back();
        location& l = pool_[used_++];
        l.n = 1;
        l.r[0] = {last, drained_, {}, {}, false, false};
    }
    return pool_[it->second];
}

bool memory::must_see(int t, const record& r, order o) const {
    if (o == std::memory_order_seq_cst && r.seq_cst) return true;
    if (drained_ - r.drained > drain_ns) return true;
    for (int u = 0; u < max_threads; u++)
        if (r.seen[u] != 0 && (r.seen[u] <= clocks_[t].at[u] || r.seen[u] <= fenced_[t].at[u])) return true;
    return false;
}

unsigned memory::choices(int t, const void* at, word last, order o) {
    const location& l = find(at, last);
    unsigned k = 0;
    while (k + 1 < l.n && !must_see(t, l.back(k), o)) k++;
    return k + 1;
}

memory::word memory::load(int t, const void* at, unsigned k, order o) {
    record& r = pool_[index_.at(at)].back(k);
    std::uint32_t now = tick(t);
    if (r.seen[t] == 0) r.seen[t] = now;
    if (acquires(o) && r.releases) clocks_[t].join(r.release);
    return r.value;
}

memory::record& memory::append(location& l, int t, word value, order o) {
    if (l.n == location::kept) {
        for (unsigned i = 1; i < l.n; i++) l.r[i - 1] = l.r[i];
        l.n--;
    }
    record& r = l.r[l.n++];
    r = {value, drained_, {}, {}, releases(o), o == std::memory_order_seq_cst};
    r.seen[t] = tick(t);
    if (r.releases) r.release = clocks_[t];
    return r;
}

void memory::store(int t, const void* at, word last, word value, order o) { append(find(at, last), t, value, o); }

void memory::modify(int t, const void* at, word last, word value, order o) {
    location& l = find(at, last);
    load(t, at, 0, o);
    const record before = l.back(0);
    record& r = append(l, t, value, o);
    if (before.releases) {  // MM3
        r.releases = true;
        r.release.join(before.release);
    }
}

void memory::membarrier() {
    for (unsigned i = 0; i < used_; i++) {
        location& l = pool_[i];
        l.r[0] = l.back(0);
        l.n = 1;
    }
}

void memory::fence(int t) {
    fences_.join(clocks_[t]);
    fenced_[t].join(fences_);
}

bool memory::plain_read(int t, plain_access& a) {
    if (a.run != run_) a = {run_, -1, 0, {}};
    a.read.at[t] = tick(t);
    return a.writer < 0 || a.written <= clocks_[t].at[a.writer];
}

bool memory::plain_write(int t, plain_access& a) {
    if (a.run != run_) a = {run_, -1, 0, {}};
    bool ordered = a.writer < 0 || a.written <= clocks_[t].at[a.writer];
    for (int u = 0; u < max_threads; u++) ordered &= a.read.at[u] <= clocks_[t].at[u];
    a.writer = t;
    a.written = tick(t);
    return ordered;
}

}  // namespace model
