// rt0::stack_dump: all goroutines as text, while they run on.
//
//   SD1  Collecting runs inside a runtime_call, a batch at a time, and allocates nothing;
//        symbolising and the string's growth run outside.
//   SD2  allgs never shrinks, so an index into it stays good between batches.  A
//        goroutine started meanwhile may be missing, none is shown twice.
#include <cstddef>
#include <memory>
#include <new>
#include <string>

#include <rt0/go.h>

#include "debug/traceback.h"
#include "kernel_if/thread.h"
#include "sched/upcross.h"

namespace rt0 {

namespace runtime {
namespace {

constexpr std::size_t batch = 32;  // goroutines, 1 KiB each

struct dump {
    std::string text;
    bool exhausted = false;
    goroutine_info info[batch];
    running_stack self;
};

// The string grows inside systemstack, through which no exception may pass.
void append(void* to, std::string_view s) {
    auto* d = static_cast<dump*>(to);
    try {
        d->text.append(s);
    } catch (const std::bad_alloc&) {
        d->exhausted = true;
    }
}

// Collects up to a batch from allgs()[*next] on; how many.
std::size_t collect_batch(dump& d, std::size_t* next, const g* self) {
    runtime_call rc;
    rcu_reader reading;
    auto gs = allgs();
    std::size_t n = 0;
    for (; *next < gs.n && n < batch; ++*next) {
        g* gp = gs.data[*next];
        if (!gp || gp == self || (gp->is_system && traceback < traceback_level::system)) continue;
        if (collect(gp, &d.info[n])) n++;
    }
    return n;
}

void put_self(sink& out, dump& d, const g* self, bool plumbing) {
    if (!self) {
        out << "\nthread " << kernel::gettid() << " [running, no goroutine]:\n";
        put_frames(out, d.self.user, plumbing);
        return;
    }
    goroutine_info& i = d.info[0];
    i = {};
    collect_identity(self, &i);
    i.status = grunning;
    i.has_stack = true;
    i.stack = d.self.user;
    put_goroutine(out, i, plumbing);
}

}  // namespace
}  // namespace runtime

std::string stack_dump() {
    using namespace runtime;
    bool plumbing = traceback == traceback_level::system;
    auto d = std::make_unique<dump>();
    sink out(append, d.get());
    g* self = getg();
    if (self && self->foreign) self = nullptr;
    collect_running(&d->self);
    on_large_stack([&] { put_self(out, *d, self, plumbing); });
    std::size_t next = 0;
    while (std::size_t n = collect_batch(*d, &next, self))
        on_large_stack([&] {
            for (std::size_t i = 0; i < n; i++) put_goroutine(out, d->info[i], plumbing);
        });
    out.flush();
    if (d->exhausted) throw std::bad_alloc();
    d->text.erase(0, 1);  // the empty line before the first
    return std::move(d->text);
}

}  // namespace rt0
