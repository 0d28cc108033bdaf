// The part of an M that the lowest layer may know: which locks it holds.
#pragma once
#include <cstdint>

#include "base/lockrank.h"
#include "base/watched.h"

namespace rt0::runtime {

struct mcore {
    watched<std::int32_t> locks;                 // runtime locks held, debug builds only [own:M]
    std::uint32_t held[lock_ranks] = {};         // per rank; select may hold thousands of one rank [own:M]
    const void* last_hchan = nullptr;            // the channel's lock that was taken last [own:M]
};

}  // namespace rt0::runtime
