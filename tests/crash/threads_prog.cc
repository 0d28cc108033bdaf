// A program with a plain main, whose threads use the runtime in turn, together, at odd
// moments: threads_prog HOW.  HOW "static" boots in static constructors.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <rt0/chan.h>
#include <rt0/context.h>
#include <rt0/go.h>
#include <rt0/select.h>
#include <rt0/sync.h>
#include <rt0/time.h>

#include "sched/template.h"
#include "tests/support/every_call.h"
#include "tests/support/locked_at_the_limit.h"

using namespace std::chrono_literals;
namespace this_goroutine = rt0::this_goroutine;

namespace {

void must(bool ok, const char* what) {
    if (ok) return;
    std::fprintf(stderr, "not so: %s\n", what);
    _exit(99);
}

// Something of everything.
void use_everything() {
    std::uint64_t id = this_goroutine::id();
    rt0::chan<int> a(0), b(2);
    rt0::go([=]() mutable {
        a.send(1);
        b.send(2);
    });
    must(a.recv().value() == 1, "recv");
    int got = 0;
    rt0::select(rt0::recv(b, [&](std::optional<int> v) { got = v.value_or(0); }), rt0::recv(a, [&](std::optional<int>) {}));
    must(got == 2, "select");
    rt0::mutex m;
    int n = 0;
    rt0::wait_group wg;
    wg.add(10);
    for (int i = 0; i < 10; i++)
        rt0::go([&] {
            std::lock_guard l(m);
            n++;
            wg.done();
        });
    wg.wait();
    must(n == 10, "wait_group and mutex");
    must(rt0::spawn([] { return 5; }).join() == 5, "join");
    int v;
    must(a.recv_for(v, 1ms) == rt0::op_status::timeout, "recv_for");
    this_goroutine::lock_os_thread();
    this_goroutine::sleep_for(10us);
    this_goroutine::unlock_os_thread();
    must(rt0::blocking([] { return rt0::num_goroutine(); }) >= 1, "blocking");
    bool caught = false;
    try {
        rt0::blocking([] { throw 1; });
    } catch (int) {
        caught = true;
    }
    must(caught, "exceptions out of blocking");
    must(this_goroutine::id() == id, "one id for the thread");
}

std::atomic<int> booted_from{0};
struct early {
    std::vector<std::thread> ts;
    std::atomic<bool> go{false};
    explicit early(int n) {
        if (!std::getenv("RT0_TEST_STATIC")) return;
        for (int i = 0; i < n; i++)
            ts.emplace_back([this] {
                while (!go.load()) {}
                use_everything();
                booted_from++;
            });
        go = true;  // all at the same time, while the other constructors run
        if (n == 1) ts[0].join(), ts.clear();
    }
    ~early() {
        for (auto& t : ts) t.join();
    }
};
early two_threads(2), one_thread(1);

// Main boots the runtime with the first call there is, and makes them all; so does a thread, and main again beside it.
void every_call_of_main() {
    auto all = [] {
        for (auto& c : every_call::calls) try {
                c.make();
            } catch (const std::exception& e) {
                must(false, e.what());
            }
    };
    all();
    std::thread t(all);
    all();
    t.join();
}

// They exist before the runtime does.
void before_boot() {
    std::atomic<bool> go{false};
    std::vector<std::thread> ts;
    for (int i = 0; i < 8; i++)
        ts.emplace_back([&] {
            while (!go.load()) usleep(100);
            use_everything();
        });
    use_everything();
    go = true;
    for (auto& t : ts) t.join();
}

// The only user comes and goes; main does not use the runtime, or only afterwards.
void in_turn() {
    for (int i = 0; i < 20; i++) std::thread(use_everything).join();
    use_everything();
}

// No thread-specific key is left for the runtime's hook.
void no_keys() {
    pthread_key_t k;
    int keys = 0;
    while (pthread_key_create(&k, nullptr) == 0) keys++;
    must(keys > 100, "there were keys");
    int before = 0;
    for (int i = 0; i < 60; i++) {
        std::thread([] {
            rt0::chan<int> c(0);
            rt0::go([=]() mutable { c.send(1); });
            must(c.recv().value() == 1, "recv");
            this_goroutine::yield();
        }).join();
        int now = rt0::num_thread();
        if (i == 10) before = now;
        must(i <= 10 || now <= before + 8, "threads leave their Ms");
    }
}

// More goroutines block than there may be threads, until somebody who needs no processor lets one after the other go on;
// some are locked to their threads, and threads of the program's own ask those.
void at_the_limit() {
    constexpr int locked = 4, readers = 40, threads = 20, rounds = 100;
    use_everything();
    rt0::set_max_threads(rt0::num_thread() + locked + 4);
    int fd[2];
    must(pipe(fd) == 0, "pipe");
    rt0::chan<int> ask(0), answer(0);
    std::atomic<int> read_by{0};
    std::thread feeder([&] {
        while (!rt0::runtime::spare_ms_refused()) usleep(1000);  // the limit was met
        for (int i = 0; i < readers; i++) {
            usleep(5000);
            must(write(fd[1], "x", 1) == 1, "write");
        }
    });
    rt0::wait_group all;
    for (int i = 0; i < locked; i++)
        all.go([=]() mutable {
            this_goroutine::lock_os_thread();
            const pid_t here = gettid();
            while (auto n = ask.recv()) answer.send(gettid() == here ? *n : -1);
        });
    for (int i = 0; i < readers; i++)
        all.go([&, i] {
            char c;
            read_by += i % 2 ? read(fd[0], &c, 1) == 1 : rt0::blocking([&] { return read(fd[0], &c, 1) == 1; });
        });
    std::atomic<int> answered{0};
    std::vector<std::thread> ts;
    for (int i = 0; i < threads; i++)
        ts.emplace_back([&, ask, answer]() mutable {
            for (int k = 1; k <= rounds; k++) {
                ask.send(k);
                answered += answer.recv().value() > 0;
            }
        });
    for (auto& t : ts) t.join();
    feeder.join();
    ask.close();
    all.wait();
    must(read_by == readers && answered == threads * rounds, "all went on");
}

// More block than there may be threads from now on.
void lowered_while_they_block() {
    rt0::gomaxprocs(1);
    int fd[2];
    must(pipe(fd) == 0, "pipe");
    std::atomic<int> reading{0};
    for (int i = 0; i < 40; i++)
        rt0::go([&] {
            char c;
            reading++;
            (void)!read(fd[0], &c, 1);
        });
    while (reading < 20) usleep(100);
    rt0::set_max_threads(8);
}

// The thread ends while the process does: its hook must not wait for anything.
struct joined_at_the_end {
    std::atomic<bool> end{false};
    std::thread t;
    ~joined_at_the_end() {
        end = true;
        if (t.joinable()) t.join();
    }
} joiner;
void exit_and_join(bool by_rt0) {
    std::atomic<bool> used{false};
    joiner.t = std::thread([&used] {
        use_everything();
        used = true;
        while (!joiner.end.load()) {}
    });
    while (!used.load()) this_goroutine::sleep_for(100us);
    std::puts("done");
    std::fflush(stdout);
    if (by_rt0) rt0::exit(0);
    std::exit(0);
}

void main_leaves() {
    static std::atomic<bool> gone{false};
    std::thread([] {
        while (!gone.load()) usleep(100);
        use_everything();
        std::puts("done");
        rt0::exit(0);
    }).detach();
    use_everything();
    struct at_exit {
        ~at_exit() { gone = true; }
    } a;
    pthread_exit(nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    auto how = [&](const char* s) { return argc > 1 && !std::strcmp(argv[1], s); };
    if (how("static")) {
        use_everything();
        while (booted_from.load() < 3) this_goroutine::sleep_for(100us);
    } else if (how("before_boot")) {
        before_boot();
    } else if (how("every_call")) {
        every_call_of_main();
    } else if (how("in_turn")) {
        in_turn();
    } else if (how("at_the_limit")) {
        at_the_limit();
    } else if (how("asks_the_locked")) {
        use_everything();
        must(testing_support::asks_the_locked(), "answered by another");
    } else if (how("lowered")) {
        lowered_while_they_block();
    } else if (how("limit_first")) {
        rt0::set_max_threads(std::atoi(argv[2]));
    } else if (how("no_keys")) {
        no_keys();
    } else if (how("rt0_exit_and_join")) {
        exit_and_join(true);
    } else if (how("exit_and_join")) {
        exit_and_join(false);
    } else if (how("main_leaves")) {
        main_leaves();
    } else {
        return 98;
    }
    std::puts("done");
    return 0;
}
