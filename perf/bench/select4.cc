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
    std::int64_t sum = 0;
    std::int64_t chosen[4] = {};
    const auto take = [&sum](std::optional<std::int64_t> v) { sum += *v; };
    for (std::int64_t i = 0; i < n; ++i)
        ++chosen[rt0::select(rt0::recv(ch[0], take), rt0::recv(ch[1], take), rt0::recv(ch[2], take),
                             rt0::recv(ch[3], take))];
    const auto span = clock.stop();
    for (std::int64_t c : chosen)
        if (c != n / 4 || sum != n * (n - 1) / 2)
            report::fail("sum %ld, not %ld; one channel chosen %ld times, not %ld", sum, n * (n - 1) / 2, c, n / 4);
    report::line("select4", n, span);
}
