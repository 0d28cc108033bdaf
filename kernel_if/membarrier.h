// membarrier(2), private expedited: a full memory barrier on every thread of the process
// that runs at this moment, so that the other side of a store-buffering pair needs none.
#pragma once

namespace rt0::kernel {

// Once, before the first membarrier_all.  0, or -errno: ENOSYS before Linux 4.14, EPERM under some
// seccomp filters.
int membarrier_register();

// Every running thread of the process has passed a full barrier between call and return.  Does not
// block; 1.2 us beside one other thread on one socket, 50 us between virtual processors.  0 or -errno.
int membarrier_all();

}  // namespace rt0::kernel
