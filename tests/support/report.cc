// One predicate for each kind of line a report may have; see report.h.  No std::regex: it
// recurses for each character, and this runs on goroutines.
#include "tests/support/report.h"

#include <sstream>
#include <string_view>

namespace testing_support {

namespace {

using lines = std::vector<std::string>;

// ---- matching from the front: each takes what it knows from s, or says no
bool take(std::string_view& s, std::string_view prefix) {
    if (!s.starts_with(prefix)) return false;
    s.remove_prefix(prefix.size());
    return true;
}
bool take_digits(std::string_view& s, std::string* out, std::string_view digits = "0123456789") {
    std::size_t n = s.find_first_not_of(digits);
    if (n == std::string_view::npos) n = s.size();
    if (n == 0) return false;
    if (out) *out = s.substr(0, n);
    s.remove_prefix(n);
    return true;
}

bool is_header(std::string_view s) {
    if (s == "runtime stack:") return true;
    if (take(s, "thread ")) return take_digits(s, nullptr) && s == " [running, no goroutine]:";
    if (!take(s, "goroutine ") || !take_digits(s, nullptr) || !take(s, " [")) return false;
    return s.ends_with("]:") && s.find(']') == s.size() - 2 && s.size() > 2;
}
bool is_elided(std::string_view s) {
    return take(s, "...") && take_digits(s, nullptr) && s == " frames elided...";
}
// "f(int)", "f() const", "f()::{lambda()#1}::operator()() const"
bool is_function(std::string_view s) { return !s.empty() && s[0] != '\t' && s[0] != ' ' && s.find(')') != s.npos; }
// "created by F in goroutine N"
bool is_created_by(std::string_view s, report_block& b) {
    if (!take(s, "created by ")) return false;
    std::size_t at = s.rfind(" in goroutine ");
    if (at == s.npos || at == 0) return false;
    b.created_by = s.substr(0, at);
    s.remove_prefix(at);
    return take(s, " in goroutine ") && take_digits(s, &b.created_in) && s.empty();
}
// "\tFILE:LINE", with or without " +0xOFFSET"
bool is_place(std::string_view s, report_frame& f) {
    if (!take(s, "\t")) return false;
    if (std::size_t at = s.rfind(" +0x"); at != s.npos) {
        std::string_view offset = s.substr(at + 4);
        if (!take_digits(offset, nullptr, "0123456789abcdef") || !offset.empty()) return false;
        s = s.substr(0, at);
    }
    std::size_t colon = s.rfind(':');
    if (colon == s.npos || colon == 0) return false;
    f.file = s.substr(0, colon);
    s.remove_prefix(colon + 1);
    std::string line;
    if (!take_digits(s, &line) || !s.empty()) return false;
    f.line = std::stoi(line);
    return true;
}

// One line of a block, and for functions the one after; false when out of format.
bool parse_line(const lines& all, std::size_t& i, report_block& b) {
    const std::string& s = all[i++];
    if (s == "\tgoroutine running on other thread; stack unavailable") return b.unavailable = true;
    if (s == "\tgoroutine held by another dump; stack unavailable") return b.unavailable = b.held = true;
    if (is_elided(s)) return b.elided = true;
    if (!b.created_by.empty()) return false;  // nothing comes after "created by"
    bool created = is_created_by(s, b);
    report_frame f;
    if ((!created && !is_function(s)) || i == all.size() || !is_place(all[i++], f)) return false;
    f.function = s;
    if (!created) b.frames.push_back(f);
    return true;
}

void parse_blocks(const lines& all, std::size_t i, report& r) {
    while (i < all.size()) {
        if (!is_header(all[i])) {
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
