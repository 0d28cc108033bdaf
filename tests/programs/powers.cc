// Power series as streams of coefficients, after M. D. McIlroy, "Squinting at Power
// Series" (1990): an operator is a goroutine that reads its arguments' channels and
// writes its result's.  Products and the recursive definitions below need a series more
// than once: `split` serves two readers and keeps what one of them has not yet read.
// (A nil channel in a select switches its case off.)
//
//   powers [N]   N coefficients (10) of exp x, of its inverse product and of tan x,
//                compared with the known fractions.
#include <rt0/rt0.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace {

using wide = __int128;

struct ratio {
    std::int64_t num = 0, den = 1;

    static ratio of(wide n, wide d) {
        wide a = n < 0 ? -n : n, b = d;
        while (b != 0) a = std::exchange(b, a % b);
        return {static_cast<std::int64_t>(n / a), static_cast<std::int64_t>(d / a)};
    }
    bool operator==(const ratio&) const = default;
};

ratio operator+(ratio a, ratio b) { return ratio::of(wide{a.num} * b.den + wide{b.num} * a.den, wide{a.den} * b.den); }
ratio operator*(ratio a, ratio b) { return ratio::of(wide{a.num} * b.num, wide{a.den} * b.den); }

// A series is asked for each coefficient: without that, the recursive ones below would
// run ahead of their readers without end.
struct series {
    rt0::chan<char> want = rt0::chan<char>(0);
    rt0::chan<ratio> data = rt0::chan<ratio>(0);

    ratio get() {
        want.send(0);
        return *data.recv();
    }
};

// The series whose coefficients next() gives, one per call, on a goroutine of its own.
template <class F>
series stream(F next) {
    series out;
    rt0::go([out, next = std::move(next)]() mutable {
        for (;;) {
            out.want.recv();
            out.data.send(next());
        }
    });
    return out;
}

// Two readers of one series.  Each is served from a queue; a coefficient is asked for
// when a reader waits at an empty one, and the other is served meanwhile.
std::pair<series, series> split(series in) {
    series a, b;
    rt0::go([=]() mutable {
        struct side {
            bool waits = false;
            std::deque<ratio> queue;
            bool can_take() const { return waits && !queue.empty(); }
            bool lacks() const { return waits && queue.empty(); }
            ratio front() const { return queue.empty() ? ratio() : queue.front(); }
            void took() { queue.pop_front(), waits = false; }
        } l, r;
        bool asked = false;
        const rt0::chan<char> no_want;
        const rt0::chan<ratio> no_data;  // nil: never ready
        for (;;)
            rt0::select(rt0::recv(l.waits ? no_want : a.want, [&](std::optional<char>) { l.waits = true; }),
                        rt0::recv(r.waits ? no_want : b.want, [&](std::optional<char>) { r.waits = true; }),
                        rt0::send(!asked && (l.lacks() || r.lacks()) ? in.want : no_want, char{0},
                                  [&] { asked = true; }),
                        rt0::recv(asked ? in.data : no_data,
                                  [&](std::optional<ratio> c) {
                                      l.queue.push_back(*c), r.queue.push_back(*c);
                                      asked = false;
                                  }),
                        rt0::send(l.can_take() ? a.data : no_data, l.front(), [&] { l.took(); }),
                        rt0::send(r.can_take() ? b.data : no_data, r.front(), [&] { r.took(); }));
    });
    return {a, b};
}

series constant(ratio c) {  // c + 0x + 0x² + …
    return stream([=]() mutable { return std::exchange(c, ratio()); });
}

series add(series f, series g) {
    return stream([=]() mutable {
        ratio a = f.get();
        return a + g.get();
    });
}

series scale(ratio c, series f) {
    return stream([=]() mutable { return c * f.get(); });
}

series shift(series f) {  // x·f
    return stream([=, first = true]() mutable { return std::exchange(first, false) ? ratio() : f.get(); });
}

// f·g = f₀g₀ + x(f₀·G + g₀·F + x·F·G) with f = f₀ + xF, g = g₀ + xG
series multiply(series f, series g) {
    return stream([=, rest = std::optional<series>()]() mutable {
        if (rest) return rest->get();
        ratio f0 = f.get(), g0 = g.get();
        auto [f1, f2] = split(f);
        auto [g1, g2] = split(g);
        rest = add(add(scale(f0, g1), scale(g0, f1)), shift(multiply(f2, g2)));
        return f0 * g0;
    });
}

series integral(ratio c, series f) {
    return stream([=, n = std::int64_t{0}]() mutable { return n++ == 0 ? c : f.get() * ratio{1, n - 1}; });
}

// The solution y of y = c + ∫ step(y), fed back into itself.
template <class Step>
series solve(ratio c, Step step) {
    series again;
    auto [y, back] = split(integral(c, step(again)));
    rt0::go([=, back = back]() mutable {
        for (;;) {
            again.want.recv();
            again.data.send(back.get());
        }
    });
    return y;
}

void expect(const char* what, series f, int n, auto coefficient) {
    for (int i = 0; i < n; i++) {
        ratio got = f.get(), want = coefficient(i);
        if (got == want) continue;
        rt0::println("powers:", what, "coefficient", i, "is", got.num, "/", got.den, "not", want.num, "/", want.den);
        rt0::panic("powers: wrong coefficient");
    }
    rt0::println("powers:", what, n, "coefficients ok");
}

ratio one_over_factorial(int n) {
    ratio r{1, 1};
    for (int i = 2; i <= n; i++) r = r * ratio{1, i};
    return r;
}

}  // namespace

void main_main() {
    auto argv = rt0::args();
    int n = argv.size() > 1 ? std::atoi(argv[1]) : 10;
    if (n > 16) n = 16;  // 16! is the last to leave room in 64 bits for the products

    auto exponential = [](std::int64_t k) { return solve({1, 1}, [=](series y) { return scale({k, 1}, y); }); };
    expect("exp x", exponential(1), n, one_over_factorial);
    expect("exp x * exp -x", multiply(exponential(1), exponential(-1)), n, [](int i) { return ratio{i == 0, 1}; });

    series tan = solve({0, 1}, [](series y) {  // y' = 1 + y²
        auto [a, b] = split(y);
        return add(constant({1, 1}), multiply(a, b));
    });
    static constexpr ratio tangent[] = {{0, 1}, {1, 1},  {0, 1}, {1, 3},    {0, 1},
                                        {2, 15}, {0, 1}, {17, 315}, {0, 1}, {62, 2835}};
    expect("tan x", tan, std::min(n, 10), [](int i) { return tangent[i]; });
}
