// Takes a fatal report apart (report.h).
#include "tests/support/report.h"

#include <regex>
#include <sstream>

namespace testing_support {

namespace {

const std::regex goroutine_header(R"re((goroutine \d+ \[[^\]]*\]|runtime stack|thread \d+ \[running, no goroutine\]):)re");
const std::regex function_line(R"re([^\t ].*\).*)re");  // "f() const", "f()::{lambda()#1}::operator()() const"
const std::regex created_line(R"re(created by (.*) in goroutine (\d+))re");
const std::regex place_line(R"re(\t(.*):(\d+)( \+0x[0-9a-f]+)?)re");
const std::regex elided_line(R"re(\.\.\.\d+ frames elided\.\.\.)re");

using lines = std::vector<std::string>;

// One line of a block, and for functions the one after; false when out of format.
bool parse_line(const lines& all, std::size_t& i, report_block& b) {
    const std::string& s = all[i++];
    std::smatch m, place;
    if (s == "\tgoroutine running on other thread; stack unavailable") return b.unavailable = true;
    if (std::regex_match(s, elided_line)) return b.elided = true;
    bool created = std::regex_match(s, m, created_line);
    if (!created && !std::regex_match(s, function_line)) return false;
    if (i == all.size() || !std::regex_match(all[i], place, place_line)) return false;
    i++;
    if (created) {
        b.created_by = m[1];
        b.created_in = m[2];
    } else if (!b.created_by.empty()) {
        return false;  // frames end with "created by"
    } else {
        b.frames.push_back({s, place[1], std::stoi(place[2])});
    }
    return true;
}

void parse_blocks(const lines& all, std::size_t i, report& r) {
    while (i < all.size()) {
        if (!std::regex_match(all[i], goroutine_header)) {
            r.error = "header: " + all[i];
            return;
        }
        report_block& b = r.blocks.emplace_back();
        b.header = all[i++];
        while (i < all.size() && !all[i].empty()) {
            std::size_t at = i;
            if (!parse_line(all, i, b)) {
                r.error = "frame: " + all[at];
                return;
            }
        }
        if (i < all.size() && ++i == all.size()) r.error = "an empty line at the end";
    }
}

lines split(const std::string& text, report& r) {
    if (!text.empty() && text.back() != '\n') r.error = "no line end at the end";
    lines all;
    std::istringstream in(text);
    for (std::string s; std::getline(in, s);) all.push_back(s);
    return all;
}

}  // namespace

report parse_report(const std::string& text) {
    report r;
    lines all = split(text, r);
    std::size_t i = 0;
    for (; i < all.size() && !all[i].empty(); i++) r.head += (i ? "\n" : "") + all[i];
    if (r.error.empty() && i < all.size()) parse_blocks(all, i + 1, r);
    return r;
}

report parse_dump(const std::string& text) {
    report r;
    lines all = split(text, r);
    if (r.error.empty()) parse_blocks(all, 0, r);
    return r;
}

bool report_block::has(const std::string& function, const std::string& file_end) const {
    for (const report_frame& f : frames) {
        std::size_t at = f.function.find(function);
        if (at == std::string::npos || !f.file.ends_with(file_end)) continue;
        char before = at == 0 ? ' ' : f.function[at - 1];
        char after = at + function.size() < f.function.size() ? f.function[at + function.size()] : ' ';
        if ((before == ' ' || before == ':') && (after == '(' || after == '<' || after == ' ')) return true;
    }
    return false;
}

const report_block* report::find(const std::string& header_end) const {
    for (const report_block& b : blocks)
        if (b.header.ends_with(header_end)) return &b;
    return nullptr;
}

int report::count(const std::string& header_end) const {
    int n = 0;
    for (const report_block& b : blocks) n += b.header.ends_with(header_end);
    return n;
}

}  // namespace testing_support
