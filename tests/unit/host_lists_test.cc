// allg and allm under their readers: lists that are read without a lock while they grow and shrink.  (allp: sched_stress_test.)
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "kernel_if/clock.h"
#include "sched/lists.h"
#include "tests/support/fake_sched.h"

using namespace rt0::runtime;
using testing_support::fake_m;
using testing_support::tokens;

namespace {

TEST(Lists, ReadersAgainstGrowth) {
    fake_m me;
    constexpr std::size_t n = 20'000;
    std::size_t before;
    {
        rcu_reader r;
        before = allgs().n;
    }
    static tokens gs(n, gdead);  // allgs keeps them for the life of the process
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, ready{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; i++)
        readers.emplace_back([&] {
            rcu_thread_enter();
            ready++;
            std::size_t last = 0;
            while (!stop.load()) {
                rcu_reader r;
                auto all = allgs();
                if (all.n < last) wrong++;
                last = all.n;
                for (std::size_t k = before; k < all.n; k++)
                    if (all.data[k] != gs[k - before]) wrong++;
            }
            rcu_thread_leave();
        });
    while (ready.load() < 3) rt0::kernel::osyield();
    for (std::size_t i = 0; i < n; i++) {
        allg_add(gs[i]);
        if (i % 512 == 0) reclaim_retired();
    }
    stop = true;
    for (auto& t : readers) t.join();
    reclaim_retired();
    EXPECT_EQ(wrong.load(), 0);
    rcu_reader r;
    EXPECT_EQ(allgs().n, before + n);
}

TEST(Lists, ReadersAgainstMsThatComeAndGo) {
    fake_m me;
    constexpr std::size_t fixed = 70;
    std::vector<std::unique_ptr<m>> stay, come_and_go;
    for (std::size_t i = 0; i < fixed; i++) {
        stay.push_back(std::make_unique<m>());
        come_and_go.push_back(std::make_unique<m>());
        allm_add(stay.back().get());
    }
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, looks{0};
    std::thread reader([&] {
        rcu_thread_enter();
        while (!stop.load()) {
            rcu_reader r;
            std::size_t seen = 0;
            for (m* mp : allm()) {
                if (!mp) wrong++;
                for (auto& s : stay) seen += s.get() == mp;
            }
            if (seen != fixed) wrong++;
            looks++;
        }
        rcu_thread_leave();
    });
    for (int round = 0; round < 40 || looks.load() < 100; round++) {
        for (auto& mp : come_and_go) allm_add(mp.get());
        for (auto& mp : come_and_go) allm_remove(mp.get());
        reclaim_retired();
    }
    stop = true;
    reader.join();
    EXPECT_EQ(wrong.load(), 0);
    for (auto& mp : stay) allm_remove(mp.get());
}

}  // namespace
