// From a seed to a program whose outcome no schedule can change.
//
//   CG1  A stream is a channel with one writing side, closed when that is done, and one reading side.
//        Ordered: the sequence of its elements is determined.  Else the multiset is.
//   CG2  Where a stream is not ordered, or several processes share its reading side, what becomes of an
//        element depends on the element alone, and is added to a sink or a cell.
//   CG3  Streams are joined by merge, or in turn if nothing upstream is shared: no reader waits for one
//        stream while a writer upstream of it waits for the other.  So no program deadlocks.
//   CG4  On an unbuffered channel one side only polls: two that never stand still never meet.
//   CG5  Who holds a lock, a permit of a gate or runs a once waits for nothing but time and the lock it nests.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/stress/csp.h"

namespace csp {

class maker {
public:
    explicit maker(u64 seed) : r_(seed) {}

    program make() {
        kind_ = pick(r_, 0, element_kinds - 1);
        for (int i = pick(r_, 1, 3); i > 0; i--) consume(stream_of(pick(r_, 0, 4)));
        for (int i = pick(r_, 0, 4); i > 0; i--) act();
        std::shuffle(roots_.begin(), roots_.end(), r_);
        block body{all(roots_)};
        decorate(body);
        p_.top = define("top", std::move(body));
        for (process& q : p_.processes) let_meet(q.body);
        return std::move(p_);
    }

private:
    struct stream {
        int ch;
        bool ordered;
    };

    // ---- small change
    u64 key() { return r_() >> 16; }
    u64 up_to(int n) { return static_cast<u64>(pick(r_, 0, n)); }
    static stmt close(int ch) { return {.what = op::close, .a = ch}; }
    stmt fn() { return {.what = op::fn, .k = key()}; }
    int define(std::string name, block body) {
        p_.processes.push_back({name + std::to_string(p_.processes.size()), std::move(body), chance(r_, 10)});
        return static_cast<int>(p_.processes.size()) - 1;
    }
    void root(std::string name, block body) { roots_.push_back(define(std::move(name), std::move(body))); }
    int channel() {
        int capacity = chance(r_, 50) ? 0 : chance(r_, 90) ? pick(r_, 1, 8) : pick(r_, 9, 100);
        p_.channels.push_back({capacity, chance(r_, 70) ? kind_ : pick(r_, 0, element_kinds - 1)});
        return static_cast<int>(p_.channels.size()) - 1;
    }
    int monitor(int n) { return p_.monitors.push_back(n), static_cast<int>(p_.monitors.size()) - 1; }
    int semaphore(int n) { return p_.semaphores.push_back(n), static_cast<int>(p_.semaphores.size()) - 1; }
    stmt all(std::vector<int> list) { return {.what = op::par, .mode = pick(r_, 0, 4), .k = key(), .list = std::move(list)}; }
    stmt send(int ch) {
        return wrap({.what = op::send, .a = ch, .mode = chance(r_, 40) ? 0 : pick(r_, 1, ways - 1)});
    }
    stmt recv(op what, int ch, block body = {}) {
        return {.what = what, .a = ch, .mode = chance(r_, 40) ? 0 : pick(r_, 1, ways - 1), .body = std::move(body)};
    }
    // A statement seldom stands alone: on one thread, declared as blocking, where exceptions are caught.
    stmt wrap(stmt s) {
        switch (pick(r_, 0, 24)) {
        case 0: return {.what = op::blocking, .body = {std::move(s)}};
        case 1: return {.what = op::pinned, .body = {std::move(s)}};
        case 2: return {.what = op::attempt, .body = {std::move(s)}};
        default: return s;
        }
    }

    // ---- decoration: what may stand anywhere, and leaves v to depend on v alone
    stmt leaf() {
        switch (pick(r_, 0, 9)) {
        case 0: return {.what = op::sleep, .k = static_cast<u64>(pick(r_, 0, 60))};
        case 1: case 2: return {.what = op::spin, .k = static_cast<u64>(pick(r_, 0, 400))};
        case 3: return {.what = op::blocking, .body = {{.what = op::spin, .k = static_cast<u64>(pick(r_, 0, 400))}}};
        case 4: return {.what = op::pinned, .body = {{.what = op::yield}}};
        default: return {.what = op::yield};
        }
    }
    int cell() { return p_.cells++; }
    stmt guarded_add() {
        int m = p_.mutexes < 4 || chance(r_, 5) ? p_.mutexes++ : pick(r_, 0, p_.mutexes - 1);
        while (static_cast<int>(cell_of_.size()) <= m) cell_of_.push_back(cell());
        stmt s{.what = op::lock, .a = m, .mode = pick(r_, 0, 3)};
        if (chance(r_, 20)) s.body.push_back(leaf());
        s.body.push_back({.what = op::add, .a = cell_of_[static_cast<std::size_t>(m)], .k = key()});
        if (m > 0 && chance(r_, 20)) {  // nested, always towards lower numbers
            int n = pick(r_, 0, m - 1);
            int c = cell_of_[static_cast<std::size_t>(n)];
            s.body.push_back({.what = op::lock, .a = n, .body = {{.what = op::add, .a = c, .k = key()}}});
        }
        return s;
    }
    stmt twins() {  // two cells that are equal whenever the lock is not held exclusively
        int m = p_.shared_mutexes < 2 ? p_.shared_mutexes++ : pick(r_, 0, 1);
        while (static_cast<int>(twins_of_.size()) <= m) twins_of_.push_back(std::exchange(p_.cells, p_.cells + 2));
        int x = twins_of_[static_cast<std::size_t>(m)];
        stmt s{.what = op::shared, .a = m, .mode = pick(r_, 0, 1)};
        u64 k = key();
        if (s.mode == 1) s.body = {{.what = op::add, .a = x, .k = k}, {.what = op::add, .a = x + 1, .k = k}};
        s.body.push_back({.what = op::same, .a = x, .b = x + 1});
        if (s.mode == 0 && chance(r_, 30)) s.body.push_back(leaf());
        return s;
    }
    void one_of_all(block& b) {
        int o = p_.onces < 3 ? p_.onces++ : pick(r_, 0, 2);
        while (static_cast<int>(once_cell_.size()) <= o) once_cell_.push_back(cell());
        int c = once_cell_[static_cast<std::size_t>(o)];
        u64 k = 1000 + static_cast<u64>(o);
        b.push_back({.what = op::once, .a = o, .body = {leaf(), {.what = op::add, .a = c, .mode = 1, .k = k}}});
        b.push_back({.what = op::check, .a = c, .k = k});
    }
    stmt gated() {
        if (p_.semaphores.empty() || gates_ < 2) gates_++, gate_ = semaphore(pick(r_, 1, 3));
        return {.what = op::gate, .a = gate_, .mode = pick(r_, 0, 2), .body = {leaf()}};
    }
    // A process that is a function of the v it starts with.
    int function(int depth) {
        if (!functions_.empty() && (depth <= 0 || chance(r_, 50)))
            return functions_[static_cast<std::size_t>(pick(r_, 0, static_cast<int>(functions_.size()) - 1))];
        block b{fn()};
        decorate(b, depth - 1);
        b.push_back({.what = op::note});
        if (chance(r_, 50)) b.push_back(to_sink());
        if (chance(r_, 20)) b.push_back({.what = op::only, .k = key(), .body = {{.what = op::toss}}});
        bool throws = b.back().what == op::only;
        int id = define("function", std::move(b));
        (throws ? throwing_ : functions_).push_back(id);
        return id;
    }
    stmt to_sink() {
        if (p_.sinks < 6) p_.sinks++;
        return {.what = op::bag, .a = pick(r_, 0, p_.sinks - 1), .k = key()};
    }
    stmt children(int depth) {
        std::vector<int> list;
        for (int i = pick(r_, 1, 4); i > 0; i--) {
            int f = function(depth - 1);
            while (std::find(throwing_.begin(), throwing_.end(), f) != throwing_.end()) f = function(depth - 1);
            list.push_back(f);
        }
        return all(std::move(list));
    }
    void decorate(block& b, int depth = 2) {
        while (chance(r_, 35)) {
            int which = pick(r_, 0, depth > 0 ? 16 : 8);
            switch (which) {
            case 0: case 1: b.push_back(guarded_add()); break;
            case 2: b.push_back(twins()); break;
            case 3: one_of_all(b); break;
            case 4: b.push_back(gated()); break;
            case 5: if (chance(r_, 20)) b.push_back({.what = op::tick, .mode = pick(r_, 0, 7), .k = up_to(80)}); break;
            case 6: b.push_back(fn()); break;
            case 9: case 10: b.push_back({.what = op::task, .a = function(depth), .mode = pick(r_, 0, 1)}); break;
            case 11: b.push_back(children(depth)); break;
            case 12: case 13: case 14: b.push_back(scope(depth)); break;
            default: b.push_back(leaf());
            }
        }
    }
    stmt scope(int depth) {
        const op kinds[] = {op::blocking, op::pinned, op::attempt, op::attempt};
        stmt s{.what = kinds[pick(r_, 0, 3)]};
        decorate(s.body, depth - 1);
        if (s.what == op::attempt && chance(r_, 70)) s.body.push_back({.what = op::toss});
        if (s.body.empty()) s.body.push_back(leaf());
        return s;
    }
    // A block between decorations.
    block dressed(block core) {
        block b;
        decorate(b);
        for (stmt& s : core) b.push_back(std::move(s));
        decorate(b);
        return b;
    }

    static void aim(block& b, int ch) {  // the send without a channel
        for (stmt& s : b) {
            if (s.what == op::send && s.a == -1) s.a = ch;
            aim(s.body, ch);
        }
    }

    // CG4: polling is for senders on channels of even number, for receivers on the others.
    bool may_poll(int ch, bool sends) const {
        return p_.channels[static_cast<std::size_t>(ch)].capacity > 0 || (ch % 2 == 0) == sends;
    }
    bool may_poll(const std::vector<int>& list, bool sends) const {
        return std::all_of(list.begin(), list.end(), [&](int ch) { return may_poll(ch, sends); });
    }
    void let_meet(block& b) {
        for (stmt& s : b) {
            bool polls = s.mode == 1 || s.mode == 10;
            switch (s.what) {
            case op::send: if (polls && !may_poll(s.a, true)) s.mode = 0; break;
            case op::recv: case op::pair: case op::range: if (polls && !may_poll(s.a, false)) s.mode = 0; break;
            case op::choose: if (s.mode == 2 && !may_poll(s.list, true)) s.mode = 0; break;
            case op::merge: if ((s.mode == 2 || s.mode == 5) && !may_poll(s.list, false)) s.mode -= 2; break;
            default: break;
            }
            let_meet(s.body);
        }
    }

    // ---- streams
    stream stream_of(int depth) {
        if (depth <= 0 || roots_.size() > 40) return chance(r_, 80) ? source() : ring();
        switch (pick(r_, 0, 12)) {
        case 0: return map(stream_of(depth - 1));
        case 1: return filter(stream_of(depth - 1));
        case 2: case 3: return workers(stream_of(depth - 1));
        case 4: case 5: return merged(depth);
        case 6: return served(stream_of(depth - 1));
        case 7: return zip(depth);
        case 8: return in_turn(stream_of(depth - 1));
        case 9: return scattered(stream_of(depth - 1));
        case 10: return doubled(stream_of(depth - 1));
        case 11: return chain(depth);
        default: return crowd();
        }
    }
    stream source() {
        int out = channel(), n = chance(r_, 10) ? pick(r_, 0, 1) : pick(r_, 2, 60);
        root("source", {{.what = op::repeat, .b = n, .k = key(), .body = dressed({send(out)})}, close(out)});
        return {out, true};
    }
    stream crowd() {  // several writers of one channel
        int out = channel(), n = pick(r_, 0, 20);
        int one = define("writer", {{.what = op::repeat, .b = n, .k = key(), .body = dressed({send(out)})}});
        root("crowd", {all(std::vector<int>(static_cast<std::size_t>(pick(r_, 1, 5)), one)), close(out)});
        return {out, false};
    }
    stream ring() {  // a token that goes round; the first node shows it to the outside each time
        int out = channel(), n = pick(r_, 2, 6), rounds = pick(r_, 1, 15);
        std::vector<int> ch;
        for (int i = 0; i < n; i++) ch.push_back(channel());
        root("ring", {fn(),
                      {.what = op::repeat, .b = rounds, .k = key(), .body = {send(ch[0]), recv(op::recv, ch.back()), send(out)}},
                      close(ch[0]), close(out)});
        for (std::size_t i = 1; i < ch.size(); i++)
            root("node", {recv(op::range, ch[i - 1], dressed({fn(), send(ch[i])})), close(ch[i])});
        return {out, true};
    }
    stream map(stream in) {
        int out = channel();
        root("map", {recv(op::range, in.ch, dressed({fn(), send(out)})), close(out)});
        return {out, in.ordered};
    }
    stream filter(stream in) {
        int out = channel();
        block more = chance(r_, 30) ? block{send(out), send(out)} : block{send(out)};
        root("filter", {recv(op::range, in.ch, {{.what = op::only, .k = key(), .body = dressed(std::move(more))}}), close(out)});
        return {out, in.ordered};
    }
    stream workers(stream in) {
        int out = channel();
        block each = dressed({fn(), send(out)});
        if (chance(r_, 50)) each.push_back(to_sink());
        int one = define("worker", {recv(op::range, in.ch, std::move(each))});
        root("workers", {all(std::vector<int>(static_cast<std::size_t>(pick(r_, 1, 6)), one)), close(out)});
        return {out, false};
    }
    // The reading of several channels by one select.
    stream join(std::vector<int> in) {
        int out = channel();
        root("merge", {{.what = op::merge, .mode = pick(r_, 0, 5), .list = std::move(in), .body = dressed({send(out)})},
                       close(out)});
        return {out, false};
    }
    stream merged(int depth) {
        std::vector<int> in;
        for (int i = pick(r_, 1, 4); i > 0; i--) in.push_back(stream_of(pick(r_, 0, depth - 1)).ch);
        return join(std::move(in));
    }
    stream scattered(stream in) {  // to whoever is ready, and together again
        std::vector<int> mid, back;
        for (int i = pick(r_, 2, 3); i > 0; i--) mid.push_back(channel());
        block b{recv(op::range, in.ch, dressed({{.what = op::choose, .mode = pick(r_, 0, 3), .list = mid}}))};
        for (int ch : mid) b.push_back(close(ch));
        root("scatter", std::move(b));
        return join(std::move(mid));
    }
    stream doubled(stream in) {  // each element on two ways, by way of which one may be lost
        int x = channel(), y = channel();
        root("tee", {recv(op::range, in.ch, dressed({send(x), send(y)})), close(x), close(y)});
        stream one{x, in.ordered}, two{y, in.ordered};
        return join({map(one).ch, chance(r_, 50) ? filter(two).ch : two.ch});
    }
    stream in_turn(stream in) {  // dealt to channels in turn, gathered in turn: the order is kept
        std::vector<int> there, back;
        block dealer{recv(op::range, in.ch, dressed({{.what = op::deal, .list = {}}}))};
        for (int i = pick(r_, 1, 5); i > 0; i--) there.push_back(channel());
        for (stmt& s : dealer[0].body) if (s.what == op::deal) s.list = there;
        for (int ch : there) dealer.push_back(close(ch));
        block lane = dressed({fn(), send(-1)});  // alike in all, CG2
        for (int ch : there) {
            back.push_back(channel());
            block own = lane;
            aim(own, back.back());
            root("lane", {recv(op::range, ch, std::move(own)), close(back.back())});
        }
        root("deal", std::move(dealer));
        int out = channel();
        block b{{.what = op::gather, .list = back, .body = dressed({send(out)})}};
        for (int ch : back) b.push_back(recv(op::range, ch));
        b.push_back(close(out));
        root("gather", std::move(b));
        return {out, in.ordered};
    }
    stream zip(int depth) {
        stream x = ordered(depth - 1), y = ordered(depth - 2);
        int out = channel();
        block both = dressed({recv(op::pair, y.ch), send(out)});
        root("zip", {recv(op::range, x.ch, std::move(both)), recv(op::range, y.ch), close(out)});
        return {out, true};
    }
    stream chain(int depth) {  // one after the other
        stream x = stream_of(depth - 1), y = stream_of(pick(r_, 0, depth - 1));
        int out = channel();
        block one = dressed({send(out)}), two = dressed({send(out)});
        root("chain", {recv(op::range, x.ch, std::move(one)), recv(op::range, y.ch, std::move(two)), close(out)});
        return {out, x.ordered && y.ordered};
    }
    stream ordered(int depth) {
        stream s = source();
        for (int i = pick(r_, 0, std::max(depth, 0)); i > 0; i--)
            s = chance(r_, 40) ? map(s) : chance(r_, 50) ? filter(s) : in_turn(s);
        return s;
    }
    stream served(stream in) {  // by clients who ask servers
        p_.requests.push_back(chance(r_, 60) ? 0 : pick(r_, 1, 4));
        int req = static_cast<int>(p_.requests.size()) - 1, out = channel(), clients = pick(r_, 1, 5);
        block asks = dressed({{.what = op::call, .a = req, .mode = pick(r_, 0, 1)}, send(out)});
        int one = define("client", {recv(op::range, in.ch, std::move(asks))});
        int server = define("server", {{.what = op::serve, .a = req, .body = dressed({fn()})}});
        for (int i = pick(r_, 1, 3); i > 0; i--) roots_.push_back(server);
        root("clients", {all(std::vector<int>(static_cast<std::size_t>(clients), one)), {.what = op::hush, .a = req}, close(out)});
        return {out, in.ordered && clients == 1};
    }
    void consume(stream in) {
        block b = dressed({in.ordered ? stmt{.what = op::note} : to_sink()});
        root("sink", {recv(op::range, in.ch, std::move(b))});
    }

    // ---- scenes beside the streams
    void act() {
        switch (pick(r_, 0, 9)) {
        case 0: return bounded(op::take, op::give, monitor(pick(r_, 1, 3)), monitor(0));
        case 1: return bounded(op::acquire, op::release, semaphore(pick(r_, 1, 3)), semaphore(0));
        case 2: return phases();
        case 3: return awaited();
        case 4: return cancelled();
        case 5: return leftovers();
        case 6: return family();
        case 7: return rally();
        case 8: return evicted();
        default: return quarrel();
        }
    }
    // A buffer of which only the counts are there: as many are put in as are taken out.
    void bounded(op get, op put, int room, int used) {
        int n = pick(r_, 1, 4), each = pick(r_, 1, 25);
        auto one = [&](const char* name, int from, int to) {
            block b{{.what = get, .a = from, .mode = pick(r_, 0, 3)}};
            decorate(b);
            b.push_back({.what = put, .a = to, .mode = pick(r_, 0, 1)});
            return define(name, {{.what = op::repeat, .b = each, .k = key(), .body = std::move(b)}});
        };
        int producer = one("producer", room, used), consumer = one("consumer", used, room);
        for (int i = 0; i < n; i++) roots_.push_back(producer), roots_.push_back(consumer);
    }
    void phases() {  // after each barrier all of the phase before is there, and nothing of the next
        int n = pick(r_, 1, 8), m = p_.mutexes++, c = cell();
        while (static_cast<int>(cell_of_.size()) <= m) cell_of_.push_back(cell());
        p_.barriers.push_back(n);
        stmt meet{.what = op::meet, .a = static_cast<int>(p_.barriers.size()) - 1};
        block b;
        for (u64 round = 1, last = static_cast<u64>(pick(r_, 1, 5)); round <= last; round++) {
            decorate(b);
            b.push_back({.what = op::lock, .a = m, .body = {{.what = op::add, .a = c, .mode = 1, .k = 7}}});
            b.push_back(meet);
            b.push_back({.what = op::check, .a = c, .k = 7 * round * static_cast<u64>(n)});
            b.push_back(meet);
        }
        int one = define("phase", std::move(b));
        for (int i = 0; i < n; i++) roots_.push_back(one);
    }
    void awaited() {  // a group's waiters see what was done before done
        int n = pick(r_, 1, 8), m = p_.mutexes++, c = cell();
        while (static_cast<int>(cell_of_.size()) <= m) cell_of_.push_back(cell());
        p_.groups.push_back({n, chance(r_, 50)});
        int g = static_cast<int>(p_.groups.size()) - 1;
        stmt adds{.what = op::lock, .a = m, .body = {{.what = op::add, .a = c, .mode = 1, .k = 3}}};
        int one = define("doer", dressed({std::move(adds), {.what = op::done, .a = g}}));
        for (int i = 0; i < n; i++) roots_.push_back(one);
        stmt sees{.what = op::check, .a = c, .k = 3 * static_cast<u64>(n)};
        int waiter = define("waiter", dressed({{.what = op::wait, .a = g}, std::move(sees), {.what = op::note}}));
        for (int i = pick(r_, 1, 4); i > 0; i--) roots_.push_back(waiter);
    }
    void cancelled() {  // a tree, one node of it cancelled: those below it end, the others do not
        int first = static_cast<int>(p_.context_parents.size()), n = pick(r_, 1, 10);
        for (int i = 0; i < n; i++) p_.context_parents.push_back(i == 0 || chance(r_, 20) ? -1 : first + pick(r_, 0, i - 1));
        int victim = first + pick(r_, 0, n - 1);
        for (int i = first; i < first + n; i++) {
            int a = i;
            while (a != -1 && a != victim) a = p_.context_parents[static_cast<std::size_t>(a)];
            if (a == victim) root("subject", dressed({{.what = op::await, .a = i, .mode = pick(r_, 0, 4)}, {.what = op::note}}));
        }
        root("tyrant", dressed({{.what = op::cancel, .a = victim}}));
    }
    void leftovers() {  // nobody receives: what was sent is in the buffer at the end
        p_.channels.push_back({pick(r_, 1, 20), pick(r_, 0, element_kinds - 1)});
        int ch = static_cast<int>(p_.channels.size()) - 1, n = pick(r_, 0, p_.channels.back().capacity);
        block b{{.what = op::repeat, .b = n, .k = key(), .body = dressed({send(ch)})}};
        if (chance(r_, 60)) {
            b.push_back(close(ch));
            b.push_back({.what = op::refuse, .a = ch});
            if (chance(r_, 50)) b.push_back(recv(op::recv, ch)), b.push_back({.what = op::note});
        }
        root("hoarder", std::move(b));
    }
    void family() {  // generations of goroutines, each waiting for the next
        int child = define("youngest", dressed({to_sink()}));
        for (int level = pick(r_, 1, 3); level > 0; level--)
            child = define("parent", dressed({all(std::vector<int>(static_cast<std::size_t>(pick(r_, 1, 4)), child)), to_sink()}));
        roots_.push_back(child);
    }
    void rally() {  // two who answer each other
        int there = channel(), back = channel(), n = pick(r_, 1, 60);
        block serves = dressed({send(there), recv(op::recv, back), {.what = op::note}});
        root("serving", {{.what = op::repeat, .b = n, .k = key(), .body = std::move(serves)}, close(there)});
        root("returning", {recv(op::range, there, dressed({fn(), send(back)})), close(back)});
    }
    void evicted() {  // senders on a channel without receivers, which is closed
        p_.channels.push_back({0, pick(r_, 0, element_kinds - 1)});
        int ch = static_cast<int>(p_.channels.size()) - 1;
        int one = define("sender", dressed({{.what = op::bounce, .a = ch, .mode = pick(r_, 0, 4)}, {.what = op::note}}));
        for (int i = pick(r_, 1, 5); i > 0; i--) roots_.push_back(one);
        root("evictor", dressed({{.what = op::sleep, .k = up_to(60)}, close(ch)}));
    }
    void quarrel() {  // many at the same few locks
        block b;
        for (int i = pick(r_, 1, 4); i > 0; i--) b.push_back(chance(r_, 60) ? guarded_add() : twins());
        decorate(b);
        int one = define("party", {{.what = op::repeat, .b = pick(r_, 1, 40), .k = key(), .body = std::move(b)}});
        for (int i = pick(r_, 2, 8); i > 0; i--) roots_.push_back(one);
    }

    rng r_;
    program p_;
    std::vector<int> roots_, functions_, throwing_, cell_of_, twins_of_, once_cell_;
    int kind_ = 0, gates_ = 0, gate_ = 0;
};

}  // namespace csp
