// How a process may end that was refused something: with one clear line.
#pragma once
#include <sstream>
#include <string>

namespace testing_support {

// What sysmon could not have once, and then did without or got after all.
inline constexpr const char* no_spare = "rt0: warning: no further thread to run goroutines";

// "fatal error: ", "panic: " or "rt0: ", once, with facts before and traces behind.
inline bool one_clear_line(const std::string& err) {
    int clear = 0;
    std::istringstream in(err);
    for (std::string line; std::getline(in, line);)
        for (const char* head : {"fatal error: ", "panic: ", "rt0: "})
            if (line.rfind(no_spare, 0) != 0) clear += line.rfind(head, 0) == 0;
    return clear == 1 && err.find("failed again while reporting") == std::string::npos;
}

}  // namespace testing_support
