// RT0DEBUG=schedtrace=ms,scheddetail=1: the scheduler's books in Go's line format
// (Go 1.12 to 1.19), from sysmon.
//
//   ST1  Takes no lock: it must come out when the scheduler is wedged, too, whoever holds
//        sched.lock then.  What it reads changes meanwhile, so numbers that belong
//        together may not fit; Gs, Ms and Ps are never freed (RL4).
//   ST2  One write(2) a report, so that those of several processes, or other output, do
//        not cut it.  The buffer is a mapping made for it: a report of 100,000
//        goroutines has 6 MB.  Without memory for that the report comes in pieces.
//
// A P's run queue counts newborns too (born.h): they are runnable as the others are.
//
// Source: Go's proc.go (schedtrace).
#include <cstring>
#include <optional>

#include "base/upcall.h"
#include "debug/sink.h"
#include "kernel_if/clock.h"
#include "kernel_if/memory.h"
#include "kernel_if/sys.h"
#include "sched/born.h"
#include "sched/runq.h"
#include "sched/sched.h"

namespace rt0::runtime {

namespace {

constexpr int stderr_fd = 2;
constexpr std::size_t page = 64 << 10;  // bytes; a multiple of every page size

// ST1: a word that another thread may be writing.
template <class T>
T racy(const watched<T>& field) {
    return field;
}
template <class T>
T racy(const atomic<T>& field) {
    return field.load(memory_order_relaxed);  // relaxed: a report, not a decision
}

// The whole report; grown up to `cap` by the kernel as it is touched.
class report {
public:
    explicit report(std::size_t cap) : cap_((cap + page - 1) & ~(page - 1)) {
        text_ = static_cast<char*>(kernel::sys_reserve(cap_, 4096));
    }
    ~report() {
        if (!text_) return;
        kernel::write_all(stderr_fd, text_, n_);
        kernel::sys_free(text_, cap_);
    }
    report(const report&) = delete;
    report& operator=(const report&) = delete;
    static void add(void* self, std::string_view s) {
        auto* r = static_cast<report*>(self);
        std::size_t n = r->text_ && s.size() <= r->cap_ - r->n_ ? s.size() : 0;
        if (n) std::memcpy(r->text_ + r->n_, s.data(), n);
        r->n_ += n;
        if (n == 0) kernel::write_all(stderr_fd, s.data(), s.size());
    }

private:
    char* text_;
    std::size_t cap_, n_ = 0;
};

const char* yes(bool b) { return b ? "true" : "false"; }
std::int64_t id_of(const m* mp) { return mp ? mp->id : -1; }
std::int64_t goid_of(const g* gp) { return gp ? static_cast<std::int64_t>(racy(gp->goid)) : -1; }

std::uint32_t queued(const p* pp) {
    std::uint32_t ring = racy(pp->runqtail) - racy(pp->runqhead);
    if (ring > cfg::runq_size) ring = 0;  // read apart
    return ring + born_len(pp) + (racy(pp->runnext) != nullptr);
}

// Not analysed, here and in put_p: no lock is taken, each word is read as racy() does (ST1).
void put_totals(sink& out, bool detailed) NO_THREAD_SAFETY_ANALYSIS {
    std::int64_t ms = (kernel::nanotime() - sched.starttime) / 1'000'000;
    out << "SCHED " << ms << "ms: gomaxprocs=" << racy(gomaxprocs_now) << " idleprocs=" << racy(sched.npidle)
        << " threads=" << racy(sched.mnext) - racy(sched.nmfreed) << " spinningthreads=" << racy(sched.nmspinning)
        << " idlethreads=" << racy(sched.nmidle) << " runqueue=" << racy(sched.runqsize);
    if (!detailed) return;
    out << " gcwaiting=" << racy(sched.gcwaiting) << " nmidlelocked=" << racy(sched.nmidlelocked)
        << " stopwait=" << racy(sched.stopwait) << " sysmonwait=" << racy(sched.sysmonwait) << '\n';
}

void put_queues(sink& out, published<p> ps) {
    const char* before = " [";
    for (p* pp : ps) {
        if (racy(pp->status) == pdead) continue;
        out << before << queued(pp);
        before = " ";
    }
    out << "]\n";
}

void put_p(sink& out, const p* pp) NO_THREAD_SAFETY_ANALYSIS {
    out << "  P" << pp->id << ": status=" << racy(pp->status) << " schedtick=" << racy(pp->schedtick)
        << " syscalltick=" << racy(pp->syscalltick) << " m=" << id_of(racy(pp->mp)) << " runqsize=" << queued(pp)
        << " gfreecnt=" << racy(pp->gfree_n) << " timerslen=" << racy(pp->timers.len) << '\n';
}

void put_m(sink& out, const m* mp) {
    const p* pp = racy(mp->pp);
    out << "  M" << mp->id << ": p=" << (pp ? pp->id : -1) << " curg=" << goid_of(racy(mp->curg))
        << " mallocing=0 throwing=" << racy(panicking) << " preemptoff= locks=" << racy(mp->locks)
        << " dying=0 spinning=" << yes(racy(mp->spinning)) << " blocked=" << yes(racy(mp->blocked))
        << " lockedg=" << goid_of(racy(mp->lockedg)) << '\n';
}

void put_g(sink& out, const g* gp) {
    std::uint32_t status = readgstatus(gp);
    out << "  G" << goid_of(gp) << ": status=" << status << '(' << waitreason_text(racy(gp->waitreason))
        << ") m=" << id_of(racy(gp->mp)) << " lockedm=" << id_of(racy(gp->lockedm)) << '\n';
}

}  // namespace

void upcall_schedtrace(bool detailed) {
    std::optional<report> whole;  // outlives the reader: to write it may block, and for a reader burials wait (in pieces they do)
    rcu_reader reading;
    auto ps = allp();
    auto ms = allm();
    auto gs = allgs();
    constexpr std::size_t line = 192;  // bytes; the longest have 160
    whole.emplace(4 * line + ps.n * line + (detailed ? ms.n * line + gs.n * line / 2 : 0));
    sink out(report::add, &*whole);
    put_totals(out, detailed);
    if (detailed) {
        for (const p* pp : ps)
            if (racy(pp->status) != pdead) put_p(out, pp);
        for (const m* mp : ms) put_m(out, mp);
        for (const g* gp : gs) put_g(out, gp);
    } else {
        put_queues(out, ps);
    }
    out.flush();
}

}  // namespace rt0::runtime
