// std::thread::join for programs that are pelted with signals (pelt.h).
//
// ThreadSanitizer's pthread_join lets handlers run at once, also inside the free() of what the thread had, where they wait
// for a lock of the sanitizer's that this free holds (seen with clang 14's: SlotLock under MetaMap::FreeBlock).  So not there.
#pragma once
#include <pthread.h>
#include <signal.h>

#include <thread>

#include "tests/support/kthreads.h"

namespace testing_support {

inline void join(std::thread& t) {
    sigset_t pelts, before;
    sigemptyset(&pelts);
    sigaddset(&pelts, SIGUSR2);
    if (test::tsan) pthread_sigmask(SIG_BLOCK, &pelts, &before);
    t.join();
    if (test::tsan) pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace testing_support
