// rt0::stack_dump: all goroutines as text, while they run on.
//
//   SD1  Collecting runs inside a runtime_call, a batch at a time, and symbolising on a large stack, of the system's: neither
//        calls operator new, which is the program's and may call us.  What a goroutine's text needs room for is
//        found by writing it; where the room is short it is written once more.
//   SD2  allgs never shrinks, so an index into it stays good between batches.  A
//        goroutine started meanwhile may be missing, none is shown twice.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

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
    std::vector<char> room = std::vector<char>(16 << 10);
    std::size_t needed = 0;  // of room, by what is written now
    goroutine_info info[batch];
    running_stack self;
};

void append(void* to, std::string_view s) {
    auto* d = static_cast<dump*>(to);
    if (d->needed + s.size() <= d->room.size()) s.copy(d->room.data() + d->needed, s.size());
    d->needed += s.size();
}

// Adds what put(out) writes, on a large stack.
template <class F>
void add(dump& d, F put) {
    for (;;) {
        d.needed = 0;
        on_large_stack([&] {
            sink out(append, &d);
            put(out);
            out.flush();
        });
        if (d.needed <= d.room.size()) break;
        d.room.resize(2 * d.needed);
    }
    d.text.append(d.room.data(), d.needed);
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
    g* self = getg();
    if (self && self->foreign) self = nullptr;
    collect_running(&d->self);
    add(*d, [&](sink& out) { put_self(out, *d, self, plumbing); });
    std::size_t next = 0;
    while (std::size_t n = collect_batch(*d, &next, self))
        for (std::size_t i = 0; i < n; i++) add(*d, [&](sink& out) { put_goroutine(out, d->info[i], plumbing); });
    d->text.erase(0, 1);  // the empty line before the first
    return std::move(d->text);
}

}  // namespace rt0
