// The reference: a program run by one loop, without the runtime and without its ideas.
//
// There are no queues of waiters, no wake-ups and no locks here.  A process is a stack of places in its
// blocks; the statement at the top either can go or cannot, which is looked at anew each time.  A process
// that can go runs on until it cannot (or, by a coin, until another is looked for); the seed decides who
// is next.  A value of an unbuffered channel goes over when its sender runs and some process stands at a
// receive.  What is a race between clocks or calls on the runtime (try, timeouts, polling) is here the
// plain statement: the outcome must be the same.
#pragma once
#include <algorithm>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/stress/csp.h"

namespace csp {

class reference {
public:
    reference(const program& p, u64 schedule) : p_(p), r_(schedule) {
        channels_.resize(p.channels.size());
        requests_.resize(p.requests.size());
        o_.digests.resize(p.processes.size());
        o_.ends.resize(p.processes.size());
        o_.sums.resize(static_cast<std::size_t>(p.sinks));
        o_.counts.resize(static_cast<std::size_t>(p.sinks));
        o_.cells.resize(static_cast<std::size_t>(p.cells));
        o_.monitors.assign(p.monitors.begin(), p.monitors.end());
        o_.semaphores.assign(p.semaphores.begin(), p.semaphores.end());
        for (auto& g : p.groups) groups_.push_back(g.count);
        o_.contexts.resize(p.context_parents.size());
        onces_.resize(static_cast<std::size_t>(p.onces));
        mutexes_.resize(static_cast<std::size_t>(p.mutexes));
        shared_.resize(static_cast<std::size_t>(p.shared_mutexes));
    }

    // Throws std::logic_error if the program deadlocks, or never ends.
    outcome run() {
        start(p_.top, 0, nullptr, false);
        while (!live_.empty()) {
            std::size_t n = live_.size(), first = r_() % n, i = 0;
            while (i < n && !can_go(*live_[(first + i) % n])) i++;
            if (i == n) throw std::logic_error("the reference deadlocks:\n" + who_waits());
            instance* me = live_[(first + i) % n];
            do step(*me);
            while (!me->ended && r_() % 8 != 0 && can_go(*me));
            bury();
        }
        for (auto& c : channels_) {
            u64 sum = 0;
            for (u64 v : c.buffer) sum += v;
            o_.left.push_back(c.buffer.size()), o_.left_sum.push_back(sum), o_.closed.push_back(c.closed);
        }
        return o_;
    }
    u64 steps() const { return steps_; }

private:
    struct place {
        const block* b;
        std::size_t at;
        const stmt* owner;  // whose body this is; null: the process' own
        u64 round, v;       // of a repeat; of an attempt, v at its start
    };
    struct instance {
        int id;
        u64 v = 0, d = 0, turn = 0;
        std::vector<place> stack;
        instance* parent = nullptr;
        bool joined = false;  // by a task, which wants to know d
        int children = 0;
        u64 result = 0;
        bool asking = false, answered = false, met = false, ended = false;
        std::vector<instance*> askers;  // of the requests that it serves, innermost last
    };
    struct channel {
        std::deque<u64> buffer;
        bool closed = false;
    };
    struct request_queue {
        std::deque<instance*> buffer;
        bool closed = false;
    };
    struct rw {
        int readers = 0;
        bool writer = false;
    };
    using self = instance&;

    static std::size_t z(int i) { return static_cast<std::size_t>(i); }
    static const stmt* now(const instance& p) {
        const place& t = p.stack.back();
        return t.at < t.b->size() ? &(*t.b)[t.at] : nullptr;
    }
    void start(int id, u64 v, instance* parent, bool joined) {
        all_.push_back(std::make_unique<instance>());
        instance& n = *all_.back();
        n.id = id, n.v = v, n.parent = parent, n.joined = joined;
        n.stack.push_back({&p_.processes[z(id)].body, 0, nullptr, 0, 0});
        live_.push_back(&n);
    }
    void bury() {
        std::erase_if(live_, [](instance* i) { return i->ended; });
        std::erase_if(all_, [](auto& i) { return i->ended; });
    }
    std::string who_waits() const {
        std::string out;
        for (instance* i : live_) {
            const stmt* s = now(*i);
            std::string at = s ? names[static_cast<int>(s->what)] + (" " + std::to_string(s->a)) : "end";
            out += "  " + p_.processes[z(i->id)].name + ": " + at + "\n";
        }
        return out;
    }

    // ---- who can go
    bool stands_at_receive(const instance& p, int ch) const {
        const stmt* s = now(p);
        if (!s || p.ended) return false;
        switch (s->what) {
        case op::recv: case op::range: case op::pair: return s->a == ch;
        case op::merge: return std::find(s->list.begin(), s->list.end(), ch) != s->list.end();
        case op::gather: return s->list[p.turn % s->list.size()] == ch;
        default: return false;
        }
    }
    instance* receiver(int ch) {
        std::size_t n = live_.size(), first = r_() % n;
        for (std::size_t i = 0; i < n; i++)
            if (stands_at_receive(*live_[(first + i) % n], ch)) return live_[(first + i) % n];
        return nullptr;
    }
    bool can_send(int ch) {
        const channel& c = channels_[z(ch)];
        int room = p_.channels[z(ch)].capacity;
        if (c.closed) throw std::logic_error("the program sends to a closed channel");
        return room > 0 ? c.buffer.size() < z(room) : receiver(ch) != nullptr;
    }
    bool can_recv(int ch) const { return !channels_[z(ch)].buffer.empty() || channels_[z(ch)].closed; }
    instance* server(int req) {
        for (instance* i : live_)
            if (const stmt* s = now(*i); s && s->what == op::serve && s->a == req) return i;
        return nullptr;
    }
    bool can_ask(const instance& p, const stmt& s) {
        if (p.asking) return p.answered;
        int room = p_.requests[z(s.a)];
        return room > 0 ? requests_[z(s.a)].buffer.size() < z(room) : server(s.a) != nullptr;
    }
    bool all_stand_at(int barrier) const {
        int n = 0;
        for (instance* i : live_)
            if (const stmt* s = now(*i); s && s->what == op::meet && s->a == barrier) n++;
        return n == p_.barriers[z(barrier)];
    }
    bool can_go(self p) {
        const stmt* s = now(p);
        if (!s) return true;
        switch (s->what) {
        case op::send: return can_send(s->a);
        case op::recv: case op::range: case op::pair: return can_recv(s->a);
        case op::choose: return std::any_of(s->list.begin(), s->list.end(), [&](int c) { return can_send(c); });
        case op::deal: return can_send(s->list[p.turn % s->list.size()]);
        case op::merge:
            return std::any_of(s->list.begin(), s->list.end(), [&](int c) { return !channels_[z(c)].buffer.empty(); }) ||
                   std::all_of(s->list.begin(), s->list.end(), [&](int c) { return channels_[z(c)].closed; });
        case op::gather: return can_recv(s->list[p.turn % s->list.size()]);
        case op::bounce: return channels_[z(s->a)].closed;
        case op::call: return can_ask(p, *s);
        case op::serve: return !requests_[z(s->a)].buffer.empty() || requests_[z(s->a)].closed;
        case op::par: case op::task: return !p.met || p.children == 0;
        case op::lock: return !mutexes_[z(s->a)];
        case op::shared: return !shared_[z(s->a)].writer && (s->mode == 0 || shared_[z(s->a)].readers == 0);
        case op::once: return onces_[z(s->a)] != 1;
        case op::take: return o_.monitors[z(s->a)] > 0;
        case op::gate: case op::acquire: return o_.semaphores[z(s->a)] > 0;
        case op::meet: return all_stand_at(s->a);
        case op::wait: return groups_[z(s->a)] == 0;
        case op::await: return o_.contexts[z(s->a)] != 0;
        default: return true;
        }
    }

    // ---- what a statement does
    void enter(self p, const stmt& s, u64 round = 0) { p.stack.push_back({&s.body, 0, &s, round, p.v}); }
    static void next(self p) { p.stack.back().at++; }

    // A value arrives at a process that stands at a receive.
    void deliver(self p, u64 v) {
        const stmt& s = *now(p);
        switch (s.what) {
        case op::recv: p.v = v; return next(p);
        case op::pair: p.v = mix(p.v, v); return next(p);
        case op::gather: p.turn++; [[fallthrough]];
        default: p.v = v; enter(p, s);
        }
    }
    void put(self p, int ch) {
        next(p);
        if (p_.channels[z(ch)].capacity > 0) return channels_[z(ch)].buffer.push_back(p.v);
        deliver(*receiver(ch), p.v);
    }
    void get(self p, int ch) {
        channel& c = channels_[z(ch)];
        if (!c.buffer.empty()) {
            u64 v = c.buffer.front();
            c.buffer.pop_front();
            return deliver(p, v);
        }
        switch (now(p)->what) {  // closed
        case op::recv: case op::pair: return deliver(p, nothing);
        default: next(p);
        }
    }
    void get_any(self p, const stmt& s) {
        std::vector<int> ready;
        for (int c : s.list) if (!channels_[z(c)].buffer.empty()) ready.push_back(c);
        if (ready.empty()) return next(p);
        get(p, ready[r_() % ready.size()]);
    }
    void put_any(self p, const stmt& s) {
        std::vector<int> ready;
        for (int c : s.list) if (can_send(c)) ready.push_back(c);
        put(p, ready[r_() % ready.size()]);
    }
    void ask(self p, const stmt& s) {
        if (p.answered) {
            p.asking = p.answered = false;
            return next(p);
        }
        p.asking = true;
        if (p_.requests[z(s.a)] > 0) return requests_[z(s.a)].buffer.push_back(&p);
        hand_to(*server(s.a), &p);
    }
    void hand_to(self server, instance* asker) {
        server.v = asker->v;
        server.askers.push_back(asker);
        enter(server, *now(server));
    }
    void serve(self p, const stmt& s) {
        auto& q = requests_[z(s.a)];
        if (q.buffer.empty()) return next(p);
        instance* asker = q.buffer.front();
        q.buffer.pop_front();
        hand_to(p, asker);
    }
    void fork(self p, const stmt& s) {
        if (!p.met) {
            p.met = true;
            if (s.what == op::task) return p.children = 1, start(s.a, p.v, &p, true);
            p.children = static_cast<int>(s.list.size());
            for (std::size_t i = 0; i < s.list.size(); i++) start(s.list[i], mix(mix(p.v, s.k), i), &p, false);
            return;
        }
        p.met = false;
        if (s.what == op::task) p.v = mix(p.v, p.result);
        next(p);
    }
    void end(self p, u64 result) {
        p.ended = true;
        o_.digests[z(p.id)] += mix(p.d, 1);
        o_.ends[z(p.id)]++;
        if (!p.parent) return;
        p.parent->children--;
        if (p.joined) p.parent->result = result;
    }
    // The end of the innermost block, by itself or by an exception.
    const stmt* leave(self p) {
        const stmt* s = p.stack.back().owner;
        p.stack.pop_back();
        if (!s) return nullptr;
        switch (s->what) {
        case op::lock: mutexes_[z(s->a)] = false; break;
        case op::shared: s->mode == 1 ? void(shared_[z(s->a)].writer = false) : void(shared_[z(s->a)].readers--); break;
        case op::once: onces_[z(s->a)] = 2; break;
        case op::gate: o_.semaphores[z(s->a)]++; break;
        default: break;
        }
        return s;
    }
    void end_of_block(self p) {
        place t = p.stack.back();
        const stmt* s = leave(p);
        if (!s) return end(p, p_.processes[z(p.id)].leaves ? left_empty : p.d);
        switch (s->what) {
        case op::range: case op::merge: case op::gather: return;  // the statement comes again
        case op::serve:
            p.askers.back()->v = p.v, p.askers.back()->answered = true;
            return p.askers.pop_back();
        case op::repeat:
            if (++t.round == z(s->b)) return next(p);
            p.v = mix(s->k, t.round);
            return enter(p, *s, t.round);
        default: next(p);
        }
    }
    void toss(self p) {
        u64 what = p.v;
        for (;;) {
            u64 before = p.stack.back().v;
            const stmt* s = leave(p);
            if (!s) return end(p, what + 1);
            if (s->what != op::attempt) continue;
            p.v = mix(before, what);
            return next(p);
        }
    }
    void cancel(int c) {
        o_.contexts[z(c)] = 1;
        for (std::size_t i = 0; i < p_.context_parents.size(); i++)
            if (p_.context_parents[i] == c && !o_.contexts[i]) cancel(static_cast<int>(i));
    }
    void meet(int barrier) {
        for (instance* i : live_)
            if (const stmt* s = now(*i); s && s->what == op::meet && s->a == barrier) next(*i);
    }
    // Statements with a body that is run once, at once.
    bool scope(self p, const stmt& s) {
        switch (s.what) {
        case op::lock: mutexes_[z(s.a)] = true; break;
        case op::shared: s.mode == 1 ? void(shared_[z(s.a)].writer = true) : void(shared_[z(s.a)].readers++); break;
        case op::gate: o_.semaphores[z(s.a)]--; break;
        case op::once:
            if (onces_[z(s.a)] == 2) return next(p), true;
            onces_[z(s.a)] = 1;
            break;
        case op::only:
            if (!chosen(p.v, s.k)) return next(p), true;
            break;
        case op::repeat:
            if (s.b == 0) return next(p), true;
            p.v = mix(s.k, 0);
            break;
        case op::blocking: case op::pinned: case op::attempt: break;
        default: return false;
        }
        enter(p, s);
        return true;
    }
    bool communicate(self p, const stmt& s) {
        switch (s.what) {
        case op::send: return put(p, s.a), true;
        case op::recv: case op::range: case op::pair: return get(p, s.a), true;
        case op::choose: return put_any(p, s), true;
        case op::deal: return put(p, s.list[p.turn++ % s.list.size()]), true;
        case op::merge: return get_any(p, s), true;
        case op::gather: return get(p, s.list[p.turn % s.list.size()]), true;
        case op::call: return ask(p, s), true;
        case op::serve: return serve(p, s), true;
        case op::par: case op::task: return fork(p, s), true;
        case op::toss: return toss(p), true;
        case op::meet: return meet(s.a), true;
        default: return false;
        }
    }
    void simple(self p, const stmt& s) {
        switch (s.what) {
        case op::fn: p.v = mix(p.v, s.k); break;
        case op::note: p.d = mix(p.d, p.v); break;
        case op::bag: o_.sums[z(s.a)] += mix(p.v, s.k), o_.counts[z(s.a)]++; break;
        case op::close: channels_[z(s.a)].closed = true; break;
        case op::refuse: p.d = mix(p.d, 2); break;  // both calls throw
        case op::hush: requests_[z(s.a)].closed = true; break;
        case op::add: o_.cells[z(s.a)] += s.mode == 1 ? s.k : mix(p.v, s.k); break;
        case op::check: o_.wrong += o_.cells[z(s.a)] != s.k; break;
        case op::same: o_.wrong += o_.cells[z(s.a)] != o_.cells[z(s.b)]; break;
        case op::give: o_.monitors[z(s.a)]++; break;
        case op::take: o_.monitors[z(s.a)]--; break;
        case op::acquire: o_.semaphores[z(s.a)]--; break;
        case op::release: o_.semaphores[z(s.a)]++; break;
        case op::done: groups_[z(s.a)]--; break;
        case op::cancel: cancel(s.a); break;
        default: break;  // bounce, wait, await, and what takes time only
        }
        next(p);
    }
    void step(self p) {
        if (++steps_ > 20'000'000) throw std::logic_error("the program does not end");
        const stmt* s = now(p);
        if (!s) return end_of_block(p);
        if (!communicate(p, *s) && !scope(p, *s)) simple(p, *s);
    }

    const program& p_;
    rng r_;
    outcome o_;
    std::vector<channel> channels_;
    std::vector<request_queue> requests_;
    std::vector<int> groups_, onces_;  // a once: 0 fresh, 1 running, 2 done
    std::vector<char> mutexes_;
    std::vector<rw> shared_;
    std::vector<std::unique_ptr<instance>> all_;
    std::vector<instance*> live_;
    u64 steps_ = 0;
};

}  // namespace csp
