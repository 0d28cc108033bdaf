// Stand-in until the template thread lands.
#include "sched/template.h"

#include "sched/mstart.h"

namespace rt0::runtime {
void want_spare_ms(std::int32_t n) {
    for (; n > 0; n--) newm(nullptr, nullptr);
}
bool spare_ms_refused() { return false; }
}  // namespace rt0::runtime
