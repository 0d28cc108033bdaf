// The primitives between goroutines and a thread that rt0 did not make.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <rt0/sync.h>

using namespace std::chrono_literals;
namespace tg = rt0::this_goroutine;

namespace {

// Threads that rt0 did not make wait and wake on everything, too.
TEST(Threads, WaitAndWakeOnEverything) {
    rt0::mutex m;
    rt0::condition_variable cv;
    rt0::semaphore s(0), back(0);
    rt0::latch l(2);
    rt0::barrier<> b(2);
    rt0::once o;
    rt0::wait_group wg;
    bool flag = false;
    int ran = 0, seen = 0;
    wg.add(1);
    std::thread t([&] {
        {
            std::unique_lock lk(m);
            cv.wait(lk, [&] { return flag; });
            EXPECT_EQ(cv.wait_for(lk, 1ms), std::cv_status::timeout);
        }
        s.acquire();
        EXPECT_FALSE(s.acquire_for(1ms));
        back.release();
        l.arrive_and_wait();
        b.arrive_and_wait();
        o.call([&] { ran++; });
        seen = rt0::spawn([] { return 5; }).join();
        wg.done();
    });
    tg::sleep_for(1ms);
    {
        std::lock_guard g(m);
        flag = true;
    }
    cv.notify_all();
    s.release();
    back.acquire();
    l.arrive_and_wait();
    b.arrive_and_wait();
    o.call([&] { ran++; });
    wg.wait();
    rt0::blocking([&] { t.join(); });
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(seen, 5);
}

}  // namespace
