// What the C++ programs of all peers share: the command line `<workload> <procs> <size…>`,
// the clocks, the memory readings, the one line of output,
// `workload peer procs ops seconds ns_per_op key=value…`, and the answers to check.
// Each peer's own report.h adds how it is held to procs processors.
// perf/peers/go/report is the same for Go; what one measures the other measures in the
// same way.
#pragma once
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace report {

inline const char* program = "";  // argv[0]
inline const char* peer = "";
inline int procs = 0;

/// Ends the program because its answer is wrong.
template <class... T>
[[noreturn]] inline void fail(const char* format, T... values) {
    std::fprintf(stderr, "%s: ", program);
    if constexpr (sizeof...(values) == 0)
        std::fputs(format, stderr);
    else
        std::fprintf(stderr, format, values...);
    std::fputc('\n', stderr);
    std::_Exit(1);
}

/// Reads the command line: sets procs, returns the sizes, which usage names.
inline std::vector<std::int64_t> parse(const char* who, std::span<char* const> argv,
                                       std::initializer_list<const char*> usage) {
    program = argv[0];
    peer = who;
    if (argv.size() != 2 + usage.size()) {
        std::fprintf(stderr, "usage: %s procs", program);
        for (const char* u : usage)
            std::fprintf(stderr, " %s", u);
        std::fputc('\n', stderr);
        std::_Exit(2);
    }
    std::vector<std::int64_t> v;
    for (const char* a : argv.subspan(1)) {
        std::int64_t n = 0;
        const char* end = a + std::strlen(a);
        if (auto [p, ec] = std::from_chars(a, end, n); ec != std::errc{} || p != end || n <= 0)
            fail("not a positive number: %s", a);
        v.push_back(n);
    }
    procs = static_cast<int>(v.front());
    v.erase(v.begin());
    return v;
}

/// A stretch of wall and processor time, seconds; cpu is user + system of the process.
struct span {
    double wall = 0, cpu = 0;
    span operator+(span o) const { return {wall + o.wall, cpu + o.cpu}; }
};

/// Measures from its construction.
class stopwatch {
public:
    span stop() const {
        const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - wall_;
        return {wall.count(), cpu_time() - cpu_};
    }

private:
    static double cpu_time() {
        rusage u;
        if (getrusage(RUSAGE_SELF, &u) != 0)
            fail("getrusage: %s", std::strerror(errno));
        return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
    }
    std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
    double cpu_ = cpu_time();
};

using key_value = std::pair<const char*, double>;

/// Prints the result; every line has cpu_ns_per_op after the fixed columns.
inline void line(std::string_view workload, std::int64_t ops, span s, std::initializer_list<key_value> more = {}) {
    const double n = static_cast<double>(ops);
    std::printf("%.*s %s %d %lld %.6f %.2f cpu_ns_per_op=%.2f", static_cast<int>(workload.size()), workload.data(), peer,
                procs, static_cast<long long>(ops), s.wall, s.wall * 1e9 / n, s.cpu * 1e9 / n);
    for (auto [key, value] : more)
        std::printf(" %s=%.2f", key, value);
    std::printf("\n");
}

/// 100000 as 100k, 1000000 as 1M.
inline std::string brief(std::int64_t n) {
    if (n % 1'000'000 == 0)
        return std::to_string(n / 1'000'000) + "M";
    if (n % 1000 == 0)
        return std::to_string(n / 1000) + "k";
    return std::to_string(n);
}

/// Sum of the given fields of a /proc status file; missing ones count 0.
inline std::int64_t status(const std::string& path, std::initializer_list<std::string_view> fields) {
    std::ifstream in(path);  // a thread that has just ended has none
    std::int64_t sum = 0;
    for (std::string text; std::getline(in, text);) {
        const auto colon = text.find(':');
        if (colon == text.npos)
            continue;
        if (std::find(fields.begin(), fields.end(), std::string_view(text).substr(0, colon)) != fields.end())
            sum += std::strtoll(text.c_str() + colon + 1, nullptr, 10);
    }
    return sum;
}

/// Resident set and page tables, bytes.
inline std::int64_t resident_bytes() { return 1024 * status("/proc/self/status", {"VmRSS", "VmPTE"}); }

/// Largest resident set so far, KiB.
inline std::int64_t peak_kib() { return status("/proc/self/status", {"VmHWM"}); }

/// How often the process's threads have left the processor of their own accord, hence
/// how often they have been woken.
inline std::int64_t wakeups() {
    std::int64_t sum = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
        sum += status(task.path() / "status", {"voluntary_ctxt_switches"});
    return sum;
}

/// The value that the fraction q of v stays below; sorts v.
inline double percentile(std::vector<std::int64_t>& v, double q) {
    std::sort(v.begin(), v.end());
    return static_cast<double>(v[static_cast<std::size_t>(q * static_cast<double>(v.size() - 1))]);
}

// What several peers compute alike.

/// 0 + 1 + … + (n - 1).
constexpr std::int64_t sum_below(std::int64_t n) { return n * (n - 1) / 2; }

/// skynet: fails unless n leaves are a power of ten, 10 at least: each inner node has ten children.
inline void check_leaves(std::int64_t n) {
    std::int64_t power = 10;
    while (power < n)
        power *= 10;
    if (power != n)
        fail("%ld leaves: not a power of ten", n);
}

/// The n-th Fibonacci number, fibonacci(1) = fibonacci(2) = 1.
constexpr std::int64_t fibonacci(std::int64_t n) {
    std::int64_t a = 0, b = 1;
    for (std::int64_t i = 0; i < n; ++i)
        a = std::exchange(b, a + b);
    return a;
}

/// The k-th sleep of sleeper i in `timers`: a hash (splitmix64) into 1..100 ms.
constexpr std::chrono::nanoseconds sleep_length(std::int64_t i, std::int64_t k) {
    std::uint64_t x = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15 + static_cast<std::uint64_t>(k) * 0xd1b54a32d192ed03;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;
    return std::chrono::nanoseconds(1'000'000 + x % 99'000'000);
}

/// Fails unless v holds the first primes in their order.
inline void check_primes(const std::vector<std::int64_t>& v) {
    const auto is_prime = [](std::int64_t n) {
        for (std::int64_t d = 2; d * d <= n; ++d)
            if (n % d == 0)
                return false;
        return true;
    };
    std::int64_t want = 1;
    for (std::int64_t prime : v) {
        do
            ++want;
        while (!is_prime(want));
        if (prime != want)
            fail("%ld where the next prime is %ld", prime, want);
    }
}

/// A mark for each of n that are to come: a wait that ends too early, or somebody who goes before he is let go, shows.
class roll {
public:
    explicit roll(std::int64_t n) : came_(n) {}
    void came(std::int64_t i) { came_[i] = 1; }
    void check_none() const { check(0); }
    void check_all() const { check(static_cast<std::int64_t>(came_.size())); }

private:
    void check(std::int64_t want) const {
        if (const std::int64_t n = std::count(came_.begin(), came_.end(), 1); n != want)
            fail("%ld have run, not %ld", n, want);
    }
    std::vector<char> came_;
};

/// What a receiver of the elements 0 .. n - 1 sees of one of size producers, the i-th of which sends i, i + size ...: they rise.
template <std::int64_t size>
class rising {
public:
    void take(std::int64_t v) {
        if (v < 0 || v <= last_[v % size])
            fail("%ld, which is not after the last one of its producer", v);
        last_[v % size] = v;
    }

private:
    std::int64_t last_[size] = {-1, -1, -1, -1};
    static_assert(size == 4);
};

/// yield: how many turns each of n has had.  After every eighth it looks whether the next one has had some since: on one processor
/// a yield that comes back at once would be fast.
class turn_counts {
public:
    explicit turn_counts(std::int64_t n) : had_(n) {}

    /// The i-th one's turns.
    template <class Yield>
    void take(std::int64_t i, std::int64_t each, Yield yield) {
        constexpr auto relaxed = std::memory_order_relaxed;
        auto& own = had_[i];
        const auto& next = had_[(i + 1) % std::ssize(had_)];
        std::int64_t seen = next.load(relaxed), moved = 0;
        for (std::int64_t k = 1; k <= each; ++k) {
            yield();
            own.store(own.load(relaxed) + 1, relaxed);
            if (k % 8 == 0) {
                const std::int64_t now = next.load(relaxed);
                moved += std::exchange(seen, now) != now;
            }
        }
        moved_ += moved;
    }
    /// often: the least share of the looks that have to have seen a turn, on one processor.
    void check(std::int64_t each, double often = 0.25) const {
        for (std::size_t i = 0; i < had_.size(); ++i)
            if (had_[i] != each)
                fail("number %zu yielded %ld times, not %ld", i, had_[i].load(), each);
        const auto looks = static_cast<double>(std::ssize(had_) * (each / 8));
        if (procs == 1 && had_.size() > 1 && each >= 16 && static_cast<double>(moved_) < often * looks)
            fail("of %.0f looks %ld saw another's turn: as if nobody yielded", looks, moved_.load());
    }

private:
    std::vector<std::atomic<std::int64_t>> had_;
    std::atomic<std::int64_t> moved_{0};
};

/// late: by how much each ended after its time, ns.
inline void check_none_early(std::span<const std::int64_t> late) {
    for (std::int64_t l : late)
        if (l < 0)
            fail("%ld ns too early", -l);
}

// Ends that several peers have alike: the answer checked, the line printed.

/// wake: late holds by how much each of n wake-ups was late, ns.
inline void wake_line(std::int64_t n, std::vector<std::int64_t>& late, span s) {
    if (static_cast<std::int64_t>(late.size()) != n)
        fail("%zu wake-ups, not %ld", late.size(), n);
    line("wake", n, s,
         {{"p50_us", percentile(late, 0.50) / 1e3},
          {"p99_us", percentile(late, 0.99) / 1e3},
          {"cpu_percent", 100 * s.cpu / s.wall}});
}

/// timersN: late holds by how much each of n * each sleeps ended late, ns.
inline void timers_line(std::int64_t n, std::int64_t each, std::vector<std::int64_t>& late, span s) {
    check_none_early(late);
    line("timers" + brief(n), n * each, s,
         {{"sleeps_per_s", static_cast<double>(n * each) / s.wall},
          {"lateness_p50_us", percentile(late, 0.50) / 1e3},
          {"lateness_p99_us", percentile(late, 0.99) / 1e3}});
}

/// chan_mpmc: how many of the elements 0 .. n - 1 each consumer had, and their sum.
inline void mpmc_line(std::int64_t n, std::span<const std::int64_t> count, std::span<const std::int64_t> sum, span s) {
    const std::int64_t had = std::accumulate(count.begin(), count.end(), std::int64_t{0});
    const std::int64_t in_all = std::accumulate(sum.begin(), sum.end(), std::int64_t{0});
    if (had != n || in_all != sum_below(n))
        fail("received %ld elements with sum %ld, not %ld with %ld", had, in_all, n, sum_below(n));
    line("chan_mpmc", n, s);
}

/// syscall: reader i of a pair takes the bytes 0, 1, 2 ...; the odd one passes each on as it is, the
/// even one the next.  read is the peer's read(2).
template <class Read>
void relay(std::int64_t i, std::int64_t n, int in, int out, Read read) {
    for (std::int64_t k = 0; k < n; ++k) {
        unsigned char byte = 0;
        if (read(in, &byte, 1) != 1)
            fail("read: %s", std::strerror(errno));
        if (byte != k % 256)
            fail("byte %d, not %ld", byte, k % 256);
        if (i % 2 == 0)
            ++byte;
        if (::write(out, &byte, 1) != 1)
            fail("write: %s", std::strerror(errno));
    }
}

}  // namespace report
