// Programs as children of a test: started, watched, their output and status captured.
// Blocks the calling thread.  Standard input is /dev/null.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace testing_support {

struct child_result {
    std::string out, err;         // everything written, up to 8 MiB each
    int status = -1;              // exit status; -1 when it did not exit by itself
    int signal = 0;               // that ended it, or 0
    bool core = false;            // the kernel dumped one
    bool timed_out = false;       // it was killed at the limit
    std::string summary() const;  // all of it, for failure messages
    std::string said() const;     // err without the line of a report that names the seed of chaos
};

struct child_options {
    int limit_s = 60;  // a hang must end somehow; no verdict but failure depends on it
    std::vector<std::pair<std::string, std::string>> env;  // set on top of ours; an empty value unsets
};

// argv[0] is a path.  The child gets its own process group, which is killed at the limit.
child_result run_child(const std::vector<std::string>& argv, const child_options& options = {});

std::string self_path();
// The program built from `source` ("tests/crash/fatal_prog") in the same build folder as this test.
std::string built_program(const std::string& source);

}  // namespace testing_support
