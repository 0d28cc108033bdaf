// RT0DEBUG, the boot trace, and the number of Ps asked for by the environment.
#include "sched/debugvars.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/chaos.h"
#include "base/config.h"
#include "base/lock.h"
#include "base/seeded.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/sys.h"
#include "sched/choose.h"

namespace rt0::runtime {

constinit debugvars debug;

namespace {

struct key {
    std::string_view name;
    std::int32_t* v32;
    std::int64_t* v64;
};
constinit const key keys[] = {
    {"boottrace", &debug.boottrace, nullptr}, {"schedtrace", &debug.schedtrace, nullptr},
    {"scheddetail", &debug.scheddetail, nullptr}, {"gctrace", &debug.gctrace, nullptr},
    {"chaos", nullptr, &debug.chaos}, {"schedseed", nullptr, &debug.schedseed},
    {"dumpsignal", &debug.dumpsignal, nullptr}, {"hogidle", &debug.hogidle, nullptr},
};

template <class T>
bool parse_number(std::string_view s, T* out) {
    auto [end, err] = std::from_chars(s.data(), s.data() + s.size(), *out);
    return err == std::errc{} && end == s.data() + s.size() && !s.empty();
}

void complain(std::string_view what, std::string_view item) {
    textbuf t;
    t << "RT0DEBUG: " << what << " '" << item << "' ignored";
    warn(t);
}

void set(std::string_view item) {
    std::size_t eq = item.find('=');
    if (eq == std::string_view::npos) return complain("malformed item", item);
    for (const key& k : keys) {
        if (k.name != item.substr(0, eq)) continue;
        std::int64_t v;
        if (!parse_number(item.substr(eq + 1), &v) || ((k.v32 || k.v64 == &debug.schedseed) && v < 0) || (k.v32 && v > INT32_MAX))
            return complain("bad value in", item);
        if (k.v32) *k.v32 = static_cast<std::int32_t>(v);
        else *k.v64 = v;
        return;
    }
    complain("unknown key in", item);
}

// ---- boot trace

struct station {
    const char* name;
    std::int64_t when;
};
constinit station early[32] = {};
int nearly = 0;
bool parsed = false;
std::int64_t boot_start = 0;

void print(const station& s) {
    char text[96];
    std::int64_t us = (s.when - boot_start) / 1000;
    textbuf t;
    t << "rt0: boot ";
    auto [end, err] = std::to_chars(text, text + sizeof text, us);
    for (auto pad = end - text; pad < 7; pad++) t << ' ';
    t << std::string_view(text, static_cast<std::size_t>(end - text)) << " us  " << s.name << '\n';
    std::string_view v = t;
    report_write(v);
}

}  // namespace

void boottrace(const char* name) {
    if (parsed && !debug.boottrace) return;
    station s{name, kernel::nanotime()};
    if (boot_start == 0) boot_start = s.when;
    if (parsed) print(s);
    else if (nearly < static_cast<int>(sizeof early / sizeof early[0])) early[nearly++] = s;
}

void parsedebugvars(const char* text) {
    std::string_view rest = text ? text : "";
    while (!rest.empty()) {
        std::size_t comma = rest.find(',');
        std::string_view item = rest.substr(0, comma);
        if (!item.empty()) set(item);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    }
    parsed = true;
    chaos_state.store(static_cast<std::uint64_t>(debug.chaos), memory_order_relaxed);  // relaxed: one thread so far
    if (debug.schedseed >= 0) seeded_start(debug.schedseed);
    choose_start();
    if (debug.boottrace)
        for (int i = 0; i < nearly; i++) print(early[i]);
}

std::int32_t maxprocs_from_environment() {
    if (seeded()) return 1;
    for (const char* name : {"RT0_MAXPROCS", "GOMAXPROCS"}) {
        const char* text = std::getenv(name);
        if (!text || !*text) continue;
        std::int32_t n;
        if (parse_number(std::string_view(text), &n) && n > 0 && n <= cfg::max_procs) return n;
        textbuf t;
        t << name << "='" << text << "' is not a number from 1 to " << cfg::max_procs << ", ignored";
        warn(t);
    }
    return ncpu <= cfg::max_procs ? ncpu : cfg::max_procs;
}

}  // namespace rt0::runtime
