// What a dying program wrote, taken apart: strictly, so that a line which is not Go's
// format fails the test that reads it.
#pragma once
#include <string>
#include <vector>

namespace testing_support {

struct report_frame {
    std::string function, file;
    int line = 0;
};
struct report_block {
    std::string header;                // "goroutine 1 [running]:"
    std::vector<report_frame> frames;  // "created by" not among them
    bool elided = false;               // "...N frames elided..." stood among them
    bool unavailable = false;          // no stack: it ran on another thread,
    bool held = false;                 //   or another dump had it
    std::string created_by;            // function, empty: no such line
    std::string created_in;            // number of the goroutine

    // Whether a frame's function is called so, arguments aside, and stands in that file.
    bool has(const std::string& function, const std::string& file_end) const;
};
struct report {
    std::string head;  // up to the first empty line
    std::vector<report_block> blocks;
    std::string error;  // the first line that is out of format, or empty

    const report_block* find(const std::string& header_end) const;  // "[chan receive]:"
    int count(const std::string& header_end) const;
};

report parse_report(const std::string& text);
// The same for stack_dump(), which has no head.
report parse_dump(const std::string& text);

}  // namespace testing_support
