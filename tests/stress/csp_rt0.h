// The same program on the runtime: a goroutine per process.
#pragma once
#include <rt0/rt0.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/stress/csp_world.h"
#include "tests/support/join.h"

namespace csp {

struct tossed {
    u64 what;
};

class actor {
public:
    actor(world& w, u64 v) : w_(w), v_(v) {}

    // The process' digest, which a task hands on.
    static u64 run(world& w, int id, u64 v, bool may_leave) {
        const process& p = w.p.processes[static_cast<std::size_t>(id)];
        actor me(w, v);
        struct last {
            world& w;
            actor& a;
            std::size_t id;
            ~last() { w.digests[id] += mix(a.d_, 1), w.ends[id]++; }
        };
        {
            last l{w, me, static_cast<std::size_t>(id)};
            me.exec(p.body);
        }
        if (p.leaves && may_leave) rt0::this_goroutine::exit();
        return me.d_;
    }

private:
    static std::size_t z(int i) { return static_cast<std::size_t>(i); }

    void exec(const block& b) {
        for (const stmt& s : b)
            if (!communicate(s) && !scope(s) && !synchronise(s)) simple(s);
    }

    // ---- channels
    bool communicate(const stmt& s) {
        switch (s.what) {
        case op::send: send(s.a, s.mode); break;
        case op::recv: if (!recv(s.a, v_, s.mode)) v_ = nothing; break;
        case op::pair: {
            u64 x = nothing;
            recv(s.a, x, s.mode);
            v_ = mix(v_, x);
            break;
        }
        case op::range: range(s); break;
        case op::gather:
            while (recv(s.list[turn_ % s.list.size()], v_, 0)) turn_++, exec(s.body);
            break;
        case op::deal: send(s.list[turn_++ % s.list.size()], 0); break;
        case op::choose: choose(s); break;
        case op::merge: merge(s); break;
        case op::close: std::visit([](auto& c) { c.close(); }, w_.channels[z(s.a)]); break;
        case op::bounce: bounce(s.a, s.mode); break;
        case op::refuse: refuse(s.a); break;
        case op::call: {
            rt0::chan<u64> reply(z(s.mode));
            w_.requests[z(s.a)].send({v_, reply});
            v_ = *reply.recv();
            break;
        }
        case op::serve:
            for (request& q : w_.requests[z(s.a)]) {
                rt0::chan<u64> reply = std::move(q.reply);
                v_ = q.v;
                exec(s.body);
                reply.send(v_);
            }
            break;
        case op::hush: w_.requests[z(s.a)].close(); break;
        default: return false;
        }
        return true;
    }
    void send(int ch, int mode) {
        std::visit([&](auto& c) { send_way(c, v_, mode); }, w_.channels[z(ch)]);
    }
    bool recv(int ch, u64& v, int mode) {
        return std::visit([&](auto& c) { return recv_way(c, v, mode); }, w_.channels[z(ch)]);
    }
    void range(const stmt& s) {
        if (s.mode != 0) {
            while (recv(s.a, v_, s.mode)) exec(s.body);
            return;
        }
        std::visit([&](auto& c) {
            for (auto&& e : c) {
                v_ = value_of(e);
                exec(s.body);
            }
        }, w_.channels[z(s.a)]);
    }
    // The channels of a list if they carry the same kind of element and are few.
    template <class T>
    bool alike(const std::vector<int>& list, std::array<rt0::chan<T>, 4>& out) {
        if (list.size() > out.size()) return false;
        for (std::size_t i = 0; i < list.size(); i++) {
            auto* c = std::get_if<rt0::chan<T>>(&w_.channels[z(list[i])]);
            if (!c) return false;
            out[i] = *c;
        }
        return true;
    }
    void choose(const stmt& s) {
        std::visit([&]<class T>(rt0::chan<T>&) {
            std::array<rt0::chan<T>, 4> c;  // those beyond the list are nil
            int sent = 0;
            auto then = [&] { sent++; };
            if (s.mode < 3 && alike(s.list, c))
                while (!sent)
                    if (s.mode == 0)
                        rt0::select(rt0::send(c[0], T(v_), then), rt0::send(c[1], T(v_), then), rt0::send(c[2], T(v_), then));
                    else if (s.mode == 1)
                        rt0::select(rt0::send(c[0], T(v_), then), rt0::send(c[1], T(v_), then), rt0::send(c[2], T(v_), then),
                                    rt0::after(15us, [] {}));
                    else
                        rt0::select(rt0::send(c[0], T(v_), then), rt0::send(c[1], T(v_), then), rt0::send(c[2], T(v_), then),
                                    rt0::otherwise([] { rt0::this_goroutine::yield(); }));
            else
                choose_by_set(s, then);
            if (sent != 1) w_.wrong++;
        }, w_.channels[z(s.list[0])]);
    }
    template <class F>
    void choose_by_set(const stmt& s, F then) {
        rt0::select_set set;
        for (int ch : s.list)
            std::visit([&]<class T>(rt0::chan<T>& c) { set.add(rt0::send(c, T(v_), then)); }, w_.channels[z(ch)]);
        set.select();
    }
    void merge(const stmt& s) {
        std::visit([&]<class T>(rt0::chan<T>&) {
            std::array<rt0::chan<T>, 4> c;
            if (s.mode < 3 && alike(s.list, c)) merge_alike(s, c);
            else merge_by_set(s);
        }, w_.channels[z(s.list[0])]);
    }
    template <class T>
    void merge_alike(const stmt& s, std::array<rt0::chan<T>, 4>& c) {
        auto take = [&](std::size_t i) {
            return rt0::recv(c[i], [&, i](std::optional<T> e) {
                if (!e) return void(c[i] = {});  // nil: not chosen any more
                v_ = value_of(*e);
                exec(s.body);
            });
        };
        while (c[0] || c[1] || c[2] || c[3])
            if (s.mode == 0)
                rt0::select(take(0), take(1), take(2), take(3));
            else if (s.mode == 1)
                rt0::select(take(0), take(1), take(2), take(3), rt0::after(25us, [] {}));
            else
                rt0::select(take(0), take(1), take(2), take(3), rt0::otherwise([] { rt0::this_goroutine::yield(); }));
    }
    void merge_by_set(const stmt& s) {
        std::vector<int> open = s.list;
        while (!open.empty()) {  // a set until one of its channels is closed
            rt0::select_set set;
            int gone = -1;
            for (int ch : open)
                std::visit([&, ch]<class T>(rt0::chan<T>& c) {
                    set.add(rt0::recv(c, [&, ch](std::optional<T> e) {
                        if (!e) return void(gone = ch);
                        v_ = value_of(*e);
                        exec(s.body);
                    }));
                }, w_.channels[z(ch)]);
            if (s.mode == 4) set.add(rt0::after(30us, [] {}));
            if (s.mode == 5) set.add(rt0::otherwise([] { rt0::this_goroutine::yield(); }));
            while (gone < 0) set.select();
            std::erase(open, gone);
        }
    }
    void bounce(int ch, int mode) {
        std::visit([&]<class T>(rt0::chan<T>& c) {
            bool thrown = false;
            T e(v_);
            std::stop_source never;
            try {
                switch (mode) {
                case 0: c.send(std::move(e)); break;
                case 1: rt0::select(rt0::send(c, T(v_)), rt0::after(1h, [] {})); break;
                case 2: thrown = c.send_for(e, 1h) == rt0::op_status::closed; break;
                case 3: thrown = c.send(e, never.get_token()) == rt0::op_status::closed; break;
                default: select_send(c, v_, 7);
                }
            } catch (const rt0::closed_channel&) {
                thrown = true;
            }
            if (!thrown) w_.wrong++;
        }, w_.channels[z(ch)]);
    }
    void refuse(int ch) {
        std::visit([&]<class T>(rt0::chan<T>& c) {
            u64 thrown = 0;
            T e(v_);
            try { c.send(T(v_)); } catch (const rt0::closed_channel&) { thrown++; }
            try { c.close(); } catch (const rt0::closed_channel&) { thrown++; }
            if (c.try_send(e) != rt0::op_status::closed) w_.wrong++;
            d_ = mix(d_, thrown);
        }, w_.channels[z(ch)]);
    }

    // ---- blocks
    bool scope(const stmt& s) {
        switch (s.what) {
        case op::repeat:
            for (int i = 0; i < s.b; i++) {
                v_ = mix(s.k, static_cast<u64>(i));
                exec(s.body);
            }
            break;
        case op::only: if (chosen(v_, s.k)) exec(s.body); break;
        case op::par: par(s); break;
        case op::task: task(s); break;
        case op::blocking: rt0::blocking([&] { exec(s.body); }); break;
        case op::pinned: pinned(s.body); break;
        case op::attempt: {
            u64 before = v_;
            try { exec(s.body); } catch (const tossed& t) {
                if (t.what % 2) rt0::this_goroutine::yield();  // parks inside the catch block
                v_ = mix(before, t.what);
            }
            break;
        }
        case op::toss: throw tossed{v_};
        case op::lock: locked(s); break;
        case op::shared: shared(s); break;
        case op::once: w_.onces[z(s.a)].call([&] { exec(s.body); }); break;
        case op::gate: gate(s); break;
        default: return false;
        }
        return true;
    }
    void par(const stmt& s) {
        rt0::wait_group wg;
        std::vector<rt0::task<u64>> tasks;
        std::vector<std::thread> threads;
        {
            std::unique_ptr<rt0::nursery> nursery(s.mode == 3 ? new rt0::nursery : nullptr);
            for (std::size_t i = 0; i < s.list.size(); i++) {
                auto child = [&w = w_, id = s.list[i], v = mix(mix(v_, s.k), i)] { run(w, id, v, true); };
                switch (s.mode) {
                case 0: started_by_hand(wg, child); break;
                case 2: tasks.push_back(rt0::spawn([child] { return child(), u64{0}; })); break;
                case 3: nursery->go(child); break;
                case 4:
                    if (i % 4 == 1) {
                        threads.emplace_back([&w = w_, id = s.list[i], v = mix(mix(v_, s.k), i)] { run(w, id, v, false); });
                        break;
                    }
                    [[fallthrough]];
                default: wg.go(child);
                }
            }
        }
        wg.wait();
        for (auto& t : tasks)
            try { t.join(); } catch (const std::runtime_error&) {}  // it left
        for (auto& t : threads) rt0::blocking([&] { testing_support::join(t); });
    }
    template <class F>
    void started_by_hand(rt0::wait_group& wg, F& child) {
        wg.add();
        rt0::go({.name = "child", .stack_size = 256 * 1024}, [&wg, child] {
            struct leave {
                rt0::wait_group& wg;
                ~leave() { wg.done(); }
            } l{wg};
            child();
        });
    }
    void task(const stmt& s) {
        auto t = rt0::spawn([&w = w_, id = s.a, v = v_] { return run(w, id, v, true); });
        for (int i = 0; s.mode == 1 && i < 3 && !t.done(); i++) rt0::this_goroutine::yield();
        u64 result;
        try {
            result = t.join();
        } catch (const tossed& x) {
            result = x.what + 1;
        } catch (const std::runtime_error&) {
            result = left_empty;
        }
        v_ = mix(v_, result);
    }
    void pinned(const block& b) {
        struct pin {
            world& w;
            long tid;
            explicit pin(world& in) : w(in) {
                rt0::this_goroutine::lock_os_thread();
                tid = syscall(SYS_gettid);
            }
            ~pin() {
                if (syscall(SYS_gettid) != tid) w.wrong++;
                rt0::this_goroutine::unlock_os_thread();
            }
        } here(w_);
        exec(b);
    }
    void locked(const stmt& s) {
        rt0::mutex& m = w_.mutexes[z(s.a)];
        switch (s.mode) {
        case 0: m.lock(); break;
        case 1: while (!m.try_lock()) rt0::this_goroutine::yield(); break;
        case 2: if (!m.try_lock_for(1h)) w_.wrong++; break;
        default: while (!m.try_lock_for(20us)) {}
        }
        std::lock_guard held(m, std::adopt_lock);
        exec(s.body);
    }
    void shared(const stmt& s) {
        rt0::shared_mutex& m = w_.shared[z(s.a)];
        if (s.mode == 1) {
            std::lock_guard held(m);
            return exec(s.body);
        }
        m.lock_shared();
        exec(s.body);
        m.unlock_shared();
    }
    void gate(const stmt& s) {
        acquire(s);
        if (++w_.inside[z(s.a)] > static_cast<u64>(w_.p.semaphores[z(s.a)])) w_.wrong++;
        exec(s.body);
        w_.inside[z(s.a)]--;
        w_.semaphores[z(s.a)].release();
    }

    // ---- the other objects
    bool synchronise(const stmt& s) {
        switch (s.what) {
        case op::give: {
            auto& m = w_.monitors[z(s.a)];
            std::lock_guard held(m.m);
            m.n++;
            s.mode == 1 ? m.changed.notify_all() : m.changed.notify_one();
            break;
        }
        case op::take: take(s); break;
        case op::acquire: acquire(s); break;
        case op::release: w_.semaphores[z(s.a)].release(); break;
        case op::meet: w_.barriers[z(s.a)].arrive_and_wait(); break;
        case op::done:
            if (auto& g = w_.groups[z(s.a)]; g.latch) g.latch->count_down();
            else g.wg.done();
            break;
        case op::wait:
            if (auto& g = w_.groups[z(s.a)]; g.latch) g.latch->wait();
            else g.wg.wait();
            break;
        case op::cancel: w_.contexts[z(s.a)].cancel(); break;
        case op::await: await(w_.contexts[z(s.a)], s.mode); break;
        case op::tick: tick(s.mode, std::chrono::microseconds(s.k)); break;
        default: return false;
        }
        return true;
    }
    void take(const stmt& s) {
        auto& m = w_.monitors[z(s.a)];
        std::unique_lock held(m.m);
        auto there = [&] { return m.n > 0; };
        switch (s.mode) {
        case 0: m.changed.wait(held, there); break;
        case 1: while (!there()) m.changed.wait(held); break;
        case 2: if (!m.changed.wait_for(held, 1h, there)) w_.wrong++; break;
        default: while (!there()) m.changed.wait_for(held, 50us);
        }
        m.n--;
    }
    void acquire(const stmt& s) {
        rt0::semaphore& sem = w_.semaphores[z(s.a)];
        switch (s.mode) {
        case 0: sem.acquire(); break;
        case 1: while (!sem.try_acquire()) rt0::this_goroutine::yield(); break;
        case 2: if (!sem.acquire_for(1h)) w_.wrong++; break;
        default: while (!sem.acquire_for(30us)) {}
        }
    }
    void await(const rt0::context& c, int mode) {
        rt0::chan<u64> quiet(0), nil;
        u64 x = 0;
        std::stop_token st = c.stop_token();
        switch (mode) {
        case 0: rt0::select(rt0::done(st, [] {})); break;
        case 1: if (nil.recv(x, st) != rt0::op_status::canceled) w_.wrong++; break;
        case 2: rt0::select(rt0::recv(nil, [] {}), rt0::done(st, [] {}), rt0::after(1h, [&] { w_.wrong++; })); break;
        case 3: while (!st.stop_requested()) rt0::this_goroutine::sleep_for(20us); break;
        default: if (quiet.send(x, st) != rt0::op_status::canceled) w_.wrong++;
        }
        if (!st.stop_requested()) w_.wrong++;
    }
    void tick(int mode, std::chrono::microseconds d) {
        rt0::chan<u64> quiet(0);
        u64 x = 0;
        switch (mode) {
        case 0: if (!rt0::timer(d).channel().recv()) w_.wrong++; break;
        case 1: if (!rt0::timer(1h).stop()) w_.wrong++; break;
        case 2: {
            rt0::timer t(1h);
            if (!t.reset(d) || !t.channel().recv()) w_.wrong++;
            break;
        }
        case 3: if (quiet.recv_for(x, d) != rt0::op_status::timeout) w_.wrong++; break;
        case 4: if (rt0::select(rt0::recv(quiet, [] {}), rt0::after(d, [] {})) != 1) w_.wrong++; break;
        case 5: {
            rt0::ticker t(d + 1us);
            if (!t.channel().recv() || !t.channel().recv()) w_.wrong++;
            t.stop();
            break;
        }
        case 6: {
            rt0::timer t(d, [quiet] { quiet.close(); });
            quiet.recv();
            break;
        }
        default: await(rt0::context().child(d), 0);
        }
    }
    void simple(const stmt& s) {
        switch (s.what) {
        case op::fn: v_ = mix(v_, s.k); break;
        case op::note: d_ = mix(d_, v_); break;
        case op::bag: w_.sums[z(s.a)] += mix(v_, s.k), w_.counts[z(s.a)]++; break;
        case op::add: {
            u64 before = w_.cells[z(s.a)], by = s.mode == 1 ? s.k : mix(v_, s.k);
            if (by % 8 == 1) rt0::this_goroutine::yield();
            w_.cells[z(s.a)] = before + by;
            break;
        }
        case op::check: if (w_.cells[z(s.a)] != s.k) w_.wrong++; break;
        case op::same: if (w_.cells[z(s.a)] != w_.cells[z(s.b)]) w_.wrong++; break;
        case op::sleep: rt0::this_goroutine::sleep_for(std::chrono::microseconds(s.k)); break;
        case op::spin: for (u64 i = 0; i < s.k; i++) asm volatile(""); break;
        default: rt0::this_goroutine::yield();
        }
    }

    world& w_;
    u64 v_, d_ = 0, turn_ = 0;
};

}  // namespace csp
