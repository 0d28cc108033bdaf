// membarrier(2); membarrier.h says what for.
#include "kernel_if/membarrier.h"

#include <linux/membarrier.h>

#include "arch/model.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

int membarrier_register() {
    return static_cast<int>(sysc(inject::membarrier, SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
}

int membarrier_all() {
    if (auto* m = arch::model()) return m->membarrier(), 0;
    return static_cast<int>(sysc(inject::membarrier_all, SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
}

}  // namespace rt0::kernel
