// Power series as streams of coefficients, after M. D. McIlroy, "Squinting at Power
// Series" (1990): an operator is a goroutine that reads its arguments' channels and
// writes its result's.  Products and the recursive definitions below need a series more
// than once: `split` copies it, and holds as many coefficients back as the faster
// reader is ahead (a nil channel switches its select case off).
//
//   powers [N]   N coefficients (10) of exp x, of its inverse product and of tan x,
//                compared with the known fractions.
#include <rt0/rt0.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <numeric>
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

using series = rt0::chan<ratio>;

// Runs f(out) on a goroutine and gives back the channel it writes to.
template <class F>
series stream(F f) {
    series out(0);
    rt0::go([out, f = std::move(f)]() mutable { f(out); });
    return out;
}

std::pair<series, series> split(series in) {
    series a(0), b(0);
    rt0::go([=]() mutable {
        std::deque<ratio> for_a, for_b;
        for (;;) {
            // Read on only when one of the readers has nothing left to take.
            const bool dry = for_a.empty() || for_b.empty();
            rt0::select(rt0::recv(dry ? in : series(),
                                  [&](std::optional<ratio> r) {
                                      for_a.push_back(*r);
                                      for_b.push_back(*r);
                                  }),
                        rt0::send(for_a.empty() ? series() : a, for_a.empty() ? ratio() : for_a.front(), [&] { for_a.pop_front(); }),
                        rt0::send(for_b.empty() ? series() : b, for_b.empty() ? ratio() : for_b.front(), [&] { for_b.pop_front(); }));
        }
    });
    return {a, b};
}

series constant(ratio c) {  // c + 0x + 0x² + …
    return stream([=](series out) mutable {
        out.send(c);
        for (;;) out.send({});
    });
}

series add(series f, series g) {
    return stream([=](series out) mutable {
        for (;;) {
            ratio a = *f.recv();
            out.send(a + *g.recv());
        }
    });
}

series scale(ratio c, series f) {
    return stream([=](series out) mutable {
        for (;;) out.send(c * *f.recv());
    });
}

series shift(series f) {  // x·f
    return stream([=](series out) mutable {
        out.send({});
        for (;;) out.send(*f.recv());
    });
}

// f·g = f₀g₀ + x(f₀·G + g₀·F + x·F·G) with f = f₀ + xF, g = g₀ + xG
series multiply(series f, series g) {
    return stream([=](series out) mutable {
        ratio f0 = *f.recv(), g0 = *g.recv();
        out.send(f0 * g0);
        auto [f1, f2] = split(f);
        auto [g1, g2] = split(g);
        series rest = add(add(scale(f0, g1), scale(g0, f1)), shift(multiply(f2, g2)));
        for (;;) out.send(*rest.recv());
    });
}

series integral(ratio c, series f) {
    return stream([=](series out) mutable {
        out.send(c);
        for (std::int64_t n = 1;; n++) out.send(*f.recv() * ratio{1, n});
    });
}

// The solution y of y = c + ∫ step(y), fed back into itself.
template <class Step>
series solve(ratio c, Step step) {
    series again(0);
    auto [y, back] = split(integral(c, step(again)));
    rt0::go([=]() mutable {
        for (;;) again.send(*back.recv());
    });
    return y;
}

void expect(const char* what, series f, int n, auto coefficient) {
    for (int i = 0; i < n; i++) {
        ratio got = *f.recv(), want = coefficient(i);
        if (got != want)
            rt0::panic(std::string(what) + ": coefficient " + std::to_string(i) + " is " + std::to_string(got.num) + "/" + std::to_string(got.den));
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
    static constexpr ratio tangent[] = {{0, 1}, {1, 1}, {0, 1}, {1, 3}, {0, 1}, {2, 15}, {0, 1}, {17, 315}, {0, 1}, {62, 2835}};
    expect("tan x", tan, std::min(n, 10), [](int i) { return tangent[i]; });
}
