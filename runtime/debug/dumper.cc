// Dumps on demand: RT0DEBUG=dumpsignal=1 makes SIGUSR1 (another number: that signal) write
// all goroutines to standard error, and the process goes on.
//
// The thread is an M without a P; it takes no lock of the scheduler, so it reports a wedged
// scheduler too.  Goroutines that run at that moment are named, not unwound: asking their
// threads would take a signal, and user code would see an EINTR.
#include "base/throw.h"
#include "base/upcall.h"
#include "debug/traceback.h"

namespace rt0::runtime {

namespace {

constinit sink dump_sink{[](void*, std::string_view s) { report_write(s); }, nullptr};
goroutine_info dumped;

void dump_all() {
    bool plumbing = traceback == traceback_level::system;
    std::uint64_t n = 0;
    dump_sink << "rt0: dump of all goroutines\n";
    // The lists of goroutines only grow; each look at them is a reader of its own, since
    // printing one may take long and would hold up who frees them.
    for (std::size_t i = 0; panicking.load(memory_order_relaxed) == 0; i++) {  // relaxed: not into a report, if we see one
        {
            rcu_reader reading;
            auto gs = allgs();
            if (i >= gs.n) break;
            g* gp = gs.data[i];
            if (!gp || (gp->is_system && !plumbing) || !collect(gp, &dumped)) continue;
        }
        put_goroutine(dump_sink, dumped, plumbing);
        dump_sink.flush();
        n++;
    }
    if (panicking.load(memory_order_relaxed) != 0) return;  // relaxed: as above
    dump_sink << "\nrt0: end of dump, " << n << " goroutines\n";
    dump_sink.flush();
}

}  // namespace

void upcall_dumper() {
    for (;;) {
        wait_for_dump_request();
        dump_all();
    }
}

}  // namespace rt0::runtime
