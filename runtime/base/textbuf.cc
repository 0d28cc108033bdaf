// textbuf: numbers and text into a fixed buffer.
#include <cstring>

#include "base/throw.h"

namespace rt0::runtime {

textbuf& textbuf::operator<<(std::string_view s) {
    std::size_t n = s.size() < capacity - n_ ? s.size() : capacity - n_;
    if (n != 0) std::memcpy(buf_ + n_, s.data(), n);  // an empty view has no data
    n_ += n;
    return *this;
}

textbuf& textbuf::operator<<(std::uint64_t v) {
    char digits[20];  // 2^64 - 1 has twenty
    char* p = digits + sizeof digits;
    do *--p = static_cast<char>('0' + v % 10);
    while (v /= 10);
    return *this << std::string_view(p, static_cast<std::size_t>(digits + sizeof digits - p));
}

textbuf& textbuf::operator<<(std::int64_t v) {
    if (v >= 0) return *this << static_cast<std::uint64_t>(v);
    return *this << '-' << (~static_cast<std::uint64_t>(v) + 1);
}

textbuf& textbuf::operator<<(const void* ptr) {
    auto v = reinterpret_cast<std::uintptr_t>(ptr);
    char digits[2 * sizeof v];
    char* p = digits + sizeof digits;
    do *--p = "0123456789abcdef"[v % 16];
    while (v /= 16);
    return *this << "0x" << std::string_view(p, static_cast<std::size_t>(digits + sizeof digits - p));
}

}  // namespace rt0::runtime
