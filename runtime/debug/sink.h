// Where reports and dumps are written to: a buffer in front of a file descriptor or of
// a string.  Never allocates by itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/throw.h"

namespace rt0::runtime {

class sink {
public:
    using write_fn = void (*)(void* to, std::string_view text);

    constexpr sink(write_fn write, void* to) : write_(write), to_(to) {}
    sink(const sink&) = delete;
    sink& operator=(const sink&) = delete;

    sink& operator<<(std::string_view s) {
        for (char c : s) {
            if (n_ >= sizeof buf_) flush();
            buf_[n_++] = c;
        }
        return *this;
    }
    sink& operator<<(const char* s) { return *this << std::string_view(s); }
    template <class T>
    requires requires(textbuf t, T v) { t << v; }
    sink& operator<<(T v) { return *this << (textbuf() << v).view(); }
    void flush() {
        std::size_t n = n_;
        n_ = 0;  // first: should the write fail and the report come back here, the text is not written twice
        if (n) mid_line_ = buf_[n - 1] != '\n';
        if (n) write_(to_, {buf_, n});
    }
    void end_line() {
        if (n_ ? buf_[n_ - 1] != '\n' : mid_line_) *this << '\n';
        flush();
    }

private:
    write_fn write_;
    void* to_;
    std::size_t n_ = 0;
    bool mid_line_ = false;  // what was flushed ended within a line
    char buf_[4096] = {};
};

}  // namespace rt0::runtime
