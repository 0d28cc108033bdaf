// soak_prog SECS GOROUTINES [SEED [FILE]]: everything for a long time, and nothing may be left behind.
//
// Rounds until SECS seconds are over and GOROUTINES goroutines have ended.  A round runs a few acts of the
// storm, a random program beside its reference (csp.h), and a swarm of short goroutines, as many as it takes
// to get through with both at about the same time.  What goes wrong inside is found by their own oracles.
// After each million: resident memory, threads and open files of the process, at a moment when only the main
// goroutine is left, and resident memory again when the process has been idle until no more of it went back to
// the kernel (bgscavenge).  Goroutines are counted by their ids, which Ps take in batches of 16: the count may be
// ahead by 16 for each P.  At the end:
//
//   SK1  resident memory at rest after each tenth million, and after the last one, is within 5 % of that after the 10th;
//        the greatest deviation is shown.  Each is the median of three rows, the tenth one and the two before it, before
//        which the threads that idle have ended too (SK2).  While it is busy a process keeps up to 16 MiB of stacks more
//        (cfg::scavenge_slack), and threads for as many calls as blocked at once of late; that is in the table too.  Two
//        things go back first that are bounded but vary.  What Ps keep for the next ones: up to 64 Gs with a page or two
//        of stack each, and freed objects, which hold the spans that they happen to come from (0.4 MiB to and fro, and
//        0.8 MiB more after 20 million than after 10).  And what malloc has free, which has one arena only, where
//        malloc_trim reaches all: of the 16 that glibc makes for two processors the upper ends stay, 3.2 MiB after
//        10 million, 4.0 to 5.2 after 20 to 100.  With fewer than 20 rows nothing is judged;
//   SK2  the threads are no more than the runtime keeps at rest (ID3);
//   SK3  as many files are open as then, but for those of the watchman, who keeps one for each P that there
//        ever was, to look at its thread (sysmon.cc).
// FILE: where the table goes, in Markdown.  Status 1 if one of them does not hold, 2 if an oracle says so.
#include <rt0/rt0.h>

#include <dirent.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mem/cache.h"
#include "mem/stack.h"
#include "sched/newproc.h"
#include "sched/sched.h"
#include "sched/upcross.h"
#include "tests/stress/csp_gen.h"
#include "tests/stress/csp_ref.h"
#include "tests/stress/csp_rt0.h"
#include "tests/stress/storm_acts.h"

namespace {

constexpr long million = 1'000'000;
constexpr int most_procs = 1024;  // of the storm's acts
constexpr int batch = 1000;  // of the swarm: so many at a time

[[maybe_unused]] const int one_arena = mallopt(M_ARENA_MAX, 1);  // before there is a second thread

template <class F>
int entries(const std::string& dir, F counts) {
    int n = 0;
    DIR* d = opendir(dir.c_str());
    if (!d) rt0::panic("soak: /proc is not there");
    while (const dirent* e = readdir(d))
        if (e->d_name[0] != '.') n += counts(dir + e->d_name);
    closedir(d);
    return n;
}
int threads() {
    return entries("/proc/self/task/", [](const std::string&) { return true; });
}
bool watchmans(const std::string& file) {
    char to[64] = {};
    return readlink(file.c_str(), to, sizeof to - 1) > 0 && std::string_view(to).ends_with("/syscall");
}
int files() {
    return entries("/proc/self/fd/", [](const std::string& f) { return !watchmans(f); }) - 1;  // the directory itself
}
int watch_files() { return entries("/proc/self/fd/", watchmans); }
long resident_kb() {
    long total = 0, resident = 0;
    FILE* f = std::fopen("/proc/self/statm", "r");
    if (!f || std::fscanf(f, "%ld %ld", &total, &resident) != 2) rt0::panic("soak: /proc/self/statm");
    std::fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

// The id of a goroutine made now: how many there have been.
long made() {
    return static_cast<long>(rt0::spawn([] { return rt0::this_goroutine::id(); }).join());
}

// ---- a swarm: goroutines that do one thing each
struct hive {
    rt0::chan<parcel> ch{16};
    rt0::mutex m;
    long plain = 0, caught = 0;
    std::atomic<long> ended{0};
    ledger books;
};

void one_thing(hive& h, int i) {
    rt0::chan<parcel> nil;
    parcel p(i);
    switch (i % 8) {
    case 0: h.books.in(p), h.ch.send(p); break;
    case 1: h.books.in(p), rt0::select(rt0::recv(nil, [] {}), rt0::send(h.ch, p)); break;
    case 2: {
        std::lock_guard l(h.m);
        h.plain++;
        break;
    }
    case 3:
        try { throw i; } catch (int) {
            std::lock_guard l(h.m);  // may park inside the catch block
            h.caught++;
        }
        break;
    case 4: if (rt0::spawn([i] { return i; }).join() != i) expect("swarm", "a result", 0, i); break;
    case 5: rt0::this_goroutine::yield(); break;
    default: break;
    }
    h.ended++;
}

void swarm(long n) {
    for (; n > 0; n -= batch) {
        hive h;
        rt0::wait_group bees, keeper;
        keeper.go([&] {
            for (parcel& p : rt0::chan<parcel>(h.ch)) h.books.out("swarm", p);
        });
        for (int i = 0; i < batch; i++) bees.go([&h, i] { one_thing(h, i); });
        bees.wait();
        h.ch.close();
        keeper.wait();
        expect("swarm", "the goroutines ended", h.ended, batch);
        expect("swarm", "the sum under the lock", h.plain + h.caught, batch / 4);
        h.books.settle("swarm");
    }
}

void random_program(std::uint64_t which) {
    csp::program p = csp::maker(which).make();
    csp::outcome want = csp::reference(p, 1).run();
    csp::world w(p);
    csp::actor::run(w, p.top, 0, false);
    if (w.result() == want) return;
    std::fprintf(stderr, "soak: the outcome of csp_prog's seed %llu\n", static_cast<unsigned long long>(which));
    expect("csp", "an outcome that agrees", 0, 1);
}

void round(rng& dice, long goroutines) {
    if (resizing) rt0::gomaxprocs(pick(dice, 1, 8));
    rt0::wait_group wg;
    for (int i = pick(dice, 1, 4); i > 0; i--) {
        const act& a = acts[static_cast<std::size_t>(pick(dice, 0, static_cast<int>(std::size(acts)) - 1))];
        wg.go([&a, own = rng(dice())] { a.run(own); });
    }
    wg.go([which = dice()] { random_program(which); });
    wg.go([goroutines] { swarm(goroutines); });
    wg.wait();
}

// ---- what is left
struct row {
    long goroutines, secs, kb, resting_kb, malloc_kb, gs;
    int threads, files;
};

// SK1: those of the other Ps when their number is changed, those of the one that is left by hand.
void drop_caches() {
    const int procs = rt0::gomaxprocs(1);
    {
        namespace rt = rt0::runtime;
        rt::runtime_call rc;
        rt::systemstack([] {
            rt::p* pp = rt::getg()->mp->pp;
            rt::gfpurge(pp);
            while (rt::gfshed(1000) != 0) {}
            pp->mcache->releaseAll();
            rt::stackcache_clear(pp->mcache);
        });
    }
    rt0::gomaxprocs(procs);
}

// Waits until resident memory has not fallen for 0.3 s, 10 s at most.
long settled_kb() {
    drop_caches();
    malloc_trim(0);
    long least = resident_kb();
    for (int i = 0, same = 0; i < 200 && same < 6; i++) {
        rt0::this_goroutine::sleep_for(50ms);
        long now = resident_kb();
        same = now < least ? 0 : same + 1;
        least = std::min(least, now);
    }
    return least;
}

// What malloc counts as given out: the programme's own, and what the caches of its threads keep.
long malloc_kb() { return static_cast<long>(mallinfo2().uordblks >> 10); }

// How many goroutines there ever were at once: a G is kept for the next one for good, 256 bytes and its place in lists.
long gs() {
    rt0::runtime::runtime_call rc;
    rt0::runtime::rcu_reader reading;
    return static_cast<long>(rt0::runtime::allgs().n);
}

row look(long goroutines, long secs) {
    return {goroutines, secs, resident_kb(), settled_kb(), malloc_kb(), gs(), threads(), files()};
}

// SK2: idle ones, the initial thread beside them, the one that asks, sysmon and the template thread.
int kept_at_rest(int procs) { return procs + rt0::runtime::cfg::idle_ms_kept + 4; }

// Waits until the threads are no more.  Each look wakes a few idle ones, which live on then: so none for longer than any
// lives idle.
int rest(int procs) {
    rt0::gomaxprocs(procs);
    int now = threads();
    for (int i = 0; i < 20 && now > kept_at_rest(procs); i++) {
        rt0::this_goroutine::sleep_for(6s);
        now = threads();
    }
    return now;
}

// Enough threads, files and memory for the resting numbers to be those of a process that has been busy: Ps, once made,
// are kept (PR1), 12 KiB each.
void warm_up(int procs) {
    rt0::gomaxprocs(most_procs);
    rt0::gomaxprocs(procs);
    rt0::wait_group wg;
    for (int i = 0; i < 64; i++) wg.go([] { rt0::blocking([] { usleep(20'000); }); });
    wg.wait();
    swarm(batch);
}

// SK1 looks at row i, from 0 on: it is a tenth one or one of the two before it.
bool judged(std::size_t i) { return i % 10 >= 7; }

long median_kb(std::vector<row>::const_iterator last) {  // of three rows
    long kb[3] = {last[-2].resting_kb, last[-1].resting_kb, last[0].resting_kb};
    std::sort(kb, kb + 3);
    return kb[1];
}

bool verdict(std::string& out, const char* what, bool holds, long got, long want) {
    char line[256];
    std::snprintf(line, sizeof line, "%s: %s: %ld; %ld\n", holds ? "ok" : "not ok", what, got, want);
    out += line;
    return holds;
}

// SK1.
bool steady(std::string& out, const std::vector<row>& rows) {
    if (rows.size() < 20) {
        out += "not judged: resident memory, with fewer than 20 rows\n";
        return true;
    }
    const long then = median_kb(rows.begin() + 9);
    long farthest = then, where = rows[9].goroutines;
    auto look_at = [&](std::size_t i) {
        const long kb = median_kb(rows.begin() + static_cast<long>(i));
        if (std::abs(kb - then) >= std::abs(farthest - then)) farthest = kb, where = rows[i].goroutines;
        char line[96];
        std::snprintf(line, sizeof line, "after %ld: %ld KiB at rest\n", rows[i].goroutines, kb);
        out += line;
    };
    for (std::size_t i = 9; i < rows.size(); i += 10) look_at(i);
    if (rows.size() % 10) look_at(rows.size() - 1);
    char what[128];
    std::snprintf(what, sizeof what, "resident memory at rest, KiB: the farthest (%+.1f %%, after %ld); after 10 million",
                  100.0 * static_cast<double>(farthest - then) / static_cast<double>(then), where);
    return verdict(out, what, std::abs(farthest - then) * 20 <= then, farthest, then);
}

constexpr const char* columns =
    "| goroutines | s | RSS, KiB | at rest | in malloc's use | most at once | threads | open files |\n"
    "|---|---|---|---|---|---|---|---|\n";
std::string line_of(const row& r) {
    char line[128];
    std::snprintf(line, sizeof line, "| %ld | %ld | %ld | %ld | %ld | %ld | %d | %d |\n", r.goroutines, r.secs, r.kb,
                  r.resting_kb, r.malloc_kb, r.gs, r.threads, r.files);
    return line;
}

void write_file(const char* path, const std::vector<row>& rows, const std::string& verdicts) {
    utsname u{};
    uname(&u);
    char day[32];
    std::time_t now = std::time(nullptr);
    std::strftime(day, sizeof day, "%Y-%m-%d", std::gmtime(&now));
    FILE* f = std::fopen(path, "w");
    if (!f) return std::perror(path);
    std::fprintf(f, "# Soak: what is left after everything has run for long\n\n");
    std::fprintf(f, "`soak_prog %s %s`, seed %llu, %s, %d processors, Linux %s.\n\n", rt0::args()[1], rt0::args()[2],
                 seed_ull(), day, rt0::num_cpu(), u.release);
    std::fprintf(f, "```\n%s```\n\n%s", verdicts.c_str(), columns);
    for (const row& r : rows) std::fputs(line_of(r).c_str(), f);
    std::fclose(f);
}

}  // namespace

void main_main() {
    auto argv = rt0::args();
    const double secs = argv.size() > 1 ? std::atof(argv[1]) : 60;
    const long goal = argv.size() > 2 ? std::atol(argv[2]) : million;
    seed = argv.size() > 3 && *argv[3] ? std::strtoull(argv[3], nullptr, 0) : std::random_device()();
    std::printf("soak: %g s and %ld goroutines, seed %llu\n", secs, goal, seed_ull());
    std::fflush(stdout);
    const int procs = rt0::gomaxprocs();
    warm_up(procs);
    rest(procs);
    rt0::this_goroutine::sleep_for(6s);
    const int resting_files = files();
    resizing = !std::getenv("RT0_MAXPROCS");

    rng dice(seed);
    const auto start = std::chrono::steady_clock::now();
    auto passed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    std::vector<row> rows;
    long first = made(), done = 0, next = million;
    double per_round = 0.05;
    while (done < goal || passed() < secs) {
        const double begun = passed(), left = std::max(secs - begun, 0.1);
        const double per_second = static_cast<double>(goal - done) / left;
        long n = std::clamp(static_cast<long>(per_second * per_round), 2L * batch, 200L * batch);
        round(dice, n);
        per_round = passed() - begun;
        done = made() - first;
        if (done < next && (done < goal || passed() < secs)) continue;
        const long at = static_cast<long>(passed());
        const bool rested = judged(rows.size()) || done > goal - 3 * million;
        rows.push_back(look(done, at));
        if (rested) rest(procs), rows.back().resting_kb = settled_kb();
        std::printf("%s%s", rows.size() == 1 ? columns : "", line_of(rows.back()).c_str());
        std::fflush(stdout);
        while (next <= done) next += million;
    }

    std::string out;
    bool good = true;
    good &= steady(out, rows);
    const int now = rest(procs), kept = kept_at_rest(procs);
    good &= verdict(out, "threads at rest in the end; that may be kept", now <= kept, now, kept);
    good &= verdict(out, "open files in the end; at the start", files() == resting_files, files(), resting_files);
    const int most = std::max(procs, most_procs);
    good &= verdict(out, "files of the watchman; Ps there ever were", watch_files() <= most, watch_files(), most);
    std::printf("%s", out.c_str());
    if (argv.size() > 4) write_file(argv[4], rows, out);
    rt0::exit(good ? 0 : 1);
}
