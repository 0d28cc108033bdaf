// The frame of Boost.Fiber's workloads: procs threads under the work-stealing algorithm,
// as the library's documentation sets them up, main's thread and fiber among them.  The
// algorithm's other mode, suspend, lets idle threads sleep but wakes none of them to
// steal; the default, polling, is what stands here.  One thread has the library's default,
// round robin: alone, work stealing looks for a victim for ever.
#pragma once
#include <boost/fiber/all.hpp>

#include <thread>

#include "perf/bench/common.h"

namespace peer {

/// Starts the threads, and ends them when main is through with its fibers.
class workers {
public:
    explicit workers(int procs) {
        for (int i = 1; i < procs; ++i)
            threads_.emplace_back([this, procs] {
                join_stealing(procs);
                std::unique_lock hold(mu_);
                end_.wait(hold, [this] { return ended_; });
            });
        join_stealing(procs);
    }
    ~workers() {
        {
            const std::lock_guard hold(mu_);
            ended_ = true;
        }
        end_.notify_all();
        for (auto& t : threads_)
            t.join();
    }
    workers(const workers&) = delete;
    workers& operator=(const workers&) = delete;

private:
    // Returns when all procs threads have come here.
    static void join_stealing(int procs) {
        if (procs > 1)
            boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(
                static_cast<std::uint32_t>(procs));
    }
    boost::fibers::mutex mu_;
    boost::fibers::condition_variable end_;
    bool ended_ = false;
    std::vector<std::thread> threads_;
};

/// A fiber that runs f.  16 KiB of stack instead of the default 128: Boost's own skynet
/// takes 8, a failing check needs a little more to print.
template <class F>
boost::fibers::fiber go(F&& f) {
    return boost::fibers::fiber(std::allocator_arg, boost::fibers::fixedsize_stack(16 * 1024), std::forward<F>(f));
}

/// The sizes on the command line, which usage names.
inline std::vector<std::int64_t> args(int argc, char** argv, std::initializer_list<const char*> usage) {
    return report::parse("fiber", {argv, static_cast<std::size_t>(argc)}, usage);
}

}  // namespace peer
