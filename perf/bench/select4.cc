// select4: a select over 4 unbuffered channels, each fed by a producer of its own.
// ops: elements.
#include "report.h"

void main_main() {
    const std::int64_t n = report::args({"elements"})[0] / 4 * 4;
    rt0::chan<std::int64_t> ch[4];
    for (auto& c : ch)
        c = rt0::chan<std::int64_t>(0);
    report::stopwatch clock;
    for (std::int64_t p = 0; p < 4; ++p)
        rt0::go([c = ch[p], p, n]() mutable {
            for (std::int64_t i = p; i < n; i += 4)
                c.send(i);
        });
    std::int64_t next[4] = {0, 1, 2, 3};
    const auto take = [&next](int c) {
        return [&due = next[c]](std::optional<std::int64_t> v) {
            if (v != due)
                report::fail("%ld where %ld is due", v.value_or(-1), due);
            due += 4;
        };
    };
    const auto a = take(0), b = take(1), c = take(2), d = take(3);
    for (std::int64_t i = 0; i < n; ++i)
        rt0::select(rt0::recv(ch[0], a), rt0::recv(ch[1], b), rt0::recv(ch[2], c), rt0::recv(ch[3], d));
    const auto span = clock.stop();
    for (std::int64_t k = 0; k < 4; ++k)
        if (next[k] != n + k)
            report::fail("%ld due in the end, not %ld", next[k], n + k);
    report::line("select4", n, span);
}
