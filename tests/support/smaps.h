// What the kernel says of a mapping.
#pragma once
#include <cstdint>
#include <fstream>
#include <string>

namespace testing_support {

// The VmFlags of the mapping in which `at` lies ("rd wr mr ...", each with a blank before it); "" if there is none.
inline std::string vm_flags(std::uintptr_t at) {
    std::ifstream smaps("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(smaps, line);) {
        std::size_t dash = line.find('-');
        if (dash != std::string::npos && dash > 0 && line.find_first_not_of("0123456789abcdef") == dash)
            here = std::stoull(line, nullptr, 16) <= at && at < std::stoull(line.substr(dash + 1), nullptr, 16);
        else if (here && line.starts_with("VmFlags:"))
            return line.substr(8);
    }
    return "";
}

}  // namespace testing_support
