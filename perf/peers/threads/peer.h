// The frame of the workloads on plain threads: one std::thread for each goroutine of the
// twins, all of them on the first procs processors of those this process may use.  With
// more procs than processors they run on all.
#pragma once
#include <sched.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "perf/bench/common.h"

namespace peer {

/// The sizes on the command line, which usage names; bounds the process to procs.
inline std::vector<std::int64_t> args(int argc, char** argv, std::initializer_list<const char*> usage) {
    const auto sizes = report::parse("threads", {argv, static_cast<std::size_t>(argc)}, usage);
    cpu_set_t may, first;
    CPU_ZERO(&first);
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        report::fail("sched_getaffinity: %s", std::strerror(errno));
    for (int cpu = 0, left = report::procs; cpu < CPU_SETSIZE && left > 0; ++cpu)
        if (CPU_ISSET(cpu, &may)) {
            CPU_SET(cpu, &first);
            --left;
        }
    if (sched_setaffinity(0, sizeof first, &first) != 0)
        report::fail("sched_setaffinity: %s", std::strerror(errno));
    return sizes;
}

inline void join(std::vector<std::thread>& threads) {
    for (auto& t : threads)
        t.join();
    threads.clear();
}

/// The bounded queue of every textbook: a lock and two conditions.  Where the twins have
/// an unbuffered channel it stands with capacity 1.
template <class T>
class queue {
public:
    explicit queue(std::size_t capacity = 1) : capacity_(capacity) {}

    void push(T v) {
        {
            std::unique_lock hold(mu_);
            not_full_.wait(hold, [this] { return items_.size() < capacity_; });
            items_.push_back(std::move(v));
        }
        not_empty_.notify_one();
    }
    /// Nothing once the queue is closed and empty.
    std::optional<T> pop() {
        std::optional<T> v;
        {
            std::unique_lock hold(mu_);
            not_empty_.wait(hold, [this] { return !items_.empty() || closed_; });
            if (items_.empty())
                return v;
            v = std::move(items_.front());
            items_.pop_front();
        }
        not_full_.notify_one();
        return v;
    }
    void close() {
        {
            const std::lock_guard hold(mu_);
            closed_ = true;
        }
        not_empty_.notify_all();
    }

private:
    const std::size_t capacity_;
    std::mutex mu_;
    std::condition_variable not_full_, not_empty_;
    std::deque<T> items_;
    bool closed_ = false;
};

/// Holds back whoever waits until it is opened.
class gate {
public:
    void wait() {
        std::unique_lock hold(mu_);
        opened_.wait(hold, [this] { return open_; });
    }
    void open() {
        {
            const std::lock_guard hold(mu_);
            open_ = true;
        }
        opened_.notify_all();
    }

private:
    std::mutex mu_;
    std::condition_variable opened_;
    bool open_ = false;
};

}  // namespace peer
