// What the processes of a program share when it runs on the runtime: rt0's own objects, and the books.
#pragma once
#include <rt0/rt0.h>

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "tests/stress/csp_ways.h"

namespace csp {

struct request {
    u64 v = 0;
    rt0::chan<u64> reply;
};

// What processes share, and what they leave.
struct world {
    struct monitor {
        rt0::mutex m;
        rt0::condition_variable changed;
        u64 n = 0;
    };
    struct group {
        rt0::wait_group wg;
        std::unique_ptr<rt0::latch> latch;  // instead, if there
    };
    using counter = std::atomic<u64>;

    explicit world(const program& prog);
    outcome result();

    const program& p;
    std::deque<counter> digests, ends, sums, counts, inside;
    std::vector<u64> cells;
    std::vector<port> channels;
    std::vector<rt0::chan<request>> requests;
    std::deque<rt0::mutex> mutexes;
    std::deque<rt0::shared_mutex> shared;
    std::deque<rt0::once> onces;
    std::deque<monitor> monitors;
    std::deque<rt0::semaphore> semaphores;
    std::deque<rt0::barrier<>> barriers;
    std::deque<group> groups;
    std::vector<rt0::context> contexts;
    counter wrong{0};
};

inline world::world(const program& prog)
    : p(prog), digests(prog.processes.size()), ends(prog.processes.size()), sums(static_cast<std::size_t>(prog.sinks)),
      counts(static_cast<std::size_t>(prog.sinks)), inside(prog.semaphores.size()), cells(static_cast<std::size_t>(prog.cells)),
      mutexes(static_cast<std::size_t>(prog.mutexes)), shared(static_cast<std::size_t>(prog.shared_mutexes)),
      onces(static_cast<std::size_t>(prog.onces)), monitors(prog.monitors.size()), groups(prog.groups.size()) {
    for (auto& c : p.channels) channels.push_back(make_port(c));
    for (int n : p.requests) requests.emplace_back(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < monitors.size(); i++) monitors[i].n = static_cast<u64>(p.monitors[i]);
    for (int n : p.semaphores) semaphores.emplace_back(n);
    for (int n : p.barriers) barriers.emplace_back(n);
    for (std::size_t i = 0; i < groups.size(); i++)
        if (p.groups[i].latch)
            groups[i].latch = std::make_unique<rt0::latch>(p.groups[i].count);
        else
            groups[i].wg.add(p.groups[i].count);
    rt0::context root;
    for (int parent : p.context_parents) {
        const rt0::context& above = parent < 0 ? root : contexts[static_cast<std::size_t>(parent)];
        contexts.push_back(contexts.size() % 2 ? above.child(1h) : above.child());
    }
}

inline outcome world::result() {
    outcome o;
    auto copy = [](auto& from, std::vector<u64>& to) { for (auto& x : from) to.push_back(x); };
    copy(digests, o.digests), copy(ends, o.ends), copy(sums, o.sums), copy(counts, o.counts);
    o.cells = cells;
    for (auto& m : monitors) o.monitors.push_back(m.n);
    for (auto& s : semaphores) {
        u64 n = 0;
        while (s.try_acquire()) n++;
        o.semaphores.push_back(n);
    }
    for (auto& c : contexts) o.contexts.push_back(c.stop_token().stop_requested());
    for (port& any : channels)
        std::visit([&]<class T>(rt0::chan<T>& c) {
            u64 n = 0, sum = 0, len = c.len();
            T e{};
            rt0::op_status s;
            while ((s = c.try_recv(e)) == rt0::op_status::ok) n++, sum += value_of(e);
            o.left.push_back(n), o.left_sum.push_back(sum), o.closed.push_back(s == rt0::op_status::closed);
            if (n != len) wrong++;
        }, any);
    o.wrong = wrong;
    return o;
}

}  // namespace csp
