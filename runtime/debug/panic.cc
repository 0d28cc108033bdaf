// Panics and uncaught exceptions.
//
//   PN1  An exception that nothing catches is reported where it was thrown: the entry of
//        a goroutine has no catch-all, so the unwinder finds no handler and calls
//        std::terminate with the stack still standing.
//   PN2  On threads that rt0 did not make, std::terminate does what it did before.
#include <cxxabi.h>
#include <unwind.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#include <rt0/go.h>

#include "base/upcall.h"
#include "debug/report.h"
#include "debug/symbolise.h"
#include "debug/traceback.h"

namespace rt0::runtime {

namespace {

std::terminate_handler previous_handler = nullptr;

// ": value" of the exception being handled, where its type says how.
void put_value(sink& out) noexcept {
    try {
        throw;
    } catch (const std::exception& e) {
        out << ": " << e.what();
    } catch (const std::string& s) {
        out << ": " << std::string_view(s);
    } catch (std::string_view s) {
        out << ": " << s;
    } catch (const char* s) {
        out << ": " << (s ? s : "(null)");
    } catch (bool v) {
        out << ": " << (v ? "true" : "false");
    } catch (char v) {
        out << ": " << v;
    } catch (int v) {
        out << ": " << v;
    } catch (unsigned v) {
        out << ": " << v;
    } catch (long v) {
        out << ": " << std::int64_t{v};
    } catch (unsigned long v) {
        out << ": " << std::uint64_t{v};
    } catch (long long v) {
        out << ": " << std::int64_t{v};
    } catch (unsigned long long v) {
        out << ": " << std::uint64_t{v};
    } catch (...) {  // the type says it all
    }
}

void put_exception(sink& out) {
    if (!std::current_exception()) {  // none, or one that is not C++'s
        auto* caught = reinterpret_cast<void**>(abi::__cxa_get_globals());
        if (getg()->goexiting) out << "this_goroutine::exit may not pass a noexcept function";
        else if (*caught) out << "std::terminate called while a forced unwind or a foreign exception was handled";
        else out << "std::terminate called without an active exception";
        return;
    }
    const std::type_info* type = abi::__cxa_current_exception_type();
    on_large_stack([&] { put_type(out, type->name()); });
    put_value(out);
}

[[noreturn]] void on_terminate() {
    g* gp = getg();
    if (!gp || gp->foreign) {  // PN2
        if (previous_handler) previous_handler();
        std::abort();
    }
    report_begin();
    report_sink << "panic: ";
    put_exception(report_sink);
    report_sink << '\n';
    report_sink.flush();
    report_seed();
    report_stacks(report_kind::panic);
    report_end();
}

}  // namespace

void upcall_tracebackinit() {
    previous_handler = std::set_terminate(on_terminate);
    // The unwinder sets itself up once, under a lock: not for the first time in a signal handler.
    _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_END_OF_STACK; }, nullptr);
    const char* value = std::getenv("RT0TRACEBACK");
    if (!value || !*value) return;
    std::string_view v(value);
    if (v == "none" || v == "0") traceback = traceback_level::none;
    else if (v == "single") traceback = traceback_level::single;
    else if (v == "all" || v == "1") traceback = traceback_level::all;
    else if (v == "system" || v == "2") traceback = traceback_level::system;
    else warn(textbuf() << "RT0TRACEBACK=" << v << ": not one of none, single, all, system; ignored");
}

}  // namespace rt0::runtime

namespace rt0 {

void panic(std::string_view what) {
    using namespace runtime;
    report_begin();
    report_sink << "panic: " << what << '\n';
    report_sink.flush();
    report_seed();
    report_stacks(report_kind::panic);
    report_end();
}

}  // namespace rt0
