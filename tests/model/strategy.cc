// The strategies of strategy.h.
#include "tests/model/strategy.h"

#include <algorithm>
#include <cstdlib>

namespace model {

std::string to_string(const schedule& s) {
    std::string text;
    for (std::size_t i = 0, j; i < s.size(); i = j) {
        for (j = i; j < s.size() && s[j] == s[i]; j++) {}
        if (j == s.size() && s[i] == 0) break;  // what is missing is 0
        if (!text.empty()) text += '.';
        text += std::to_string(s[i]);
        if (j - i > 1) text += 'x' + std::to_string(j - i);
    }
    return text.empty() ? "0" : text;
}

schedule parse_schedule(const std::string& text) {
    schedule s;
    for (const char* p = text.c_str(); *p;) {
        char* end;
        auto choice = static_cast<std::uint8_t>(std::strtoul(p, &end, 10));
        std::size_t times = *end == 'x' ? std::strtoul(end + 1, &end, 10) : 1;
        s.insert(s.end(), times, choice);
        p = *end == '.' ? end + 1 : "";
    }
    return s;
}

namespace {

class generator {  // splitmix64
public:
    explicit generator(std::uint64_t seed) : x_(seed) {}
    std::uint32_t below(std::uint32_t n) {
        std::uint64_t z = (x_ += 0x9E3779B97F4A7C15ull);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ z >> 27) * 0x94D049BB133111EBull;
        return static_cast<std::uint32_t>(((z ^ z >> 31) >> 32) * n >> 32);
    }

private:
    std::uint64_t x_;
};

class random_strategy : public strategy {
public:
    random_strategy(std::uint64_t seed, unsigned runs) : r_(seed), left_(runs) {}
    void begin() override {
        switch_ = 1u << (1 + r_.below(4));  // one in 2, 4, 8, 16
        back_ = 1u << (1 + r_.below(3));
        stays_ = 2u << (2 * r_.below(3));  // one in 2, 8, 32
    }
    unsigned choose(kind k, unsigned n, int, const int*) override {
        switch (k) {
            case kind::go_on: return r_.below(switch_) ? 0 : r_.below(n);
            case kind::see: return r_.below(back_) ? 0 : r_.below(n);
            case kind::early: return r_.below(8) == 0;
            case kind::yield: return r_.below(stays_) == 0 ? n - 1 : r_.below(n - 1);
            case kind::block: break;
        }
        return r_.below(n);
    }
    bool next() override { return --left_ != 0; }

protected:
    generator r_;

private:
    unsigned left_, switch_ = 2, back_ = 2;

protected:
    unsigned stays_ = 2;
};

class pct : public random_strategy {
public:
    pct(std::uint64_t seed, unsigned runs, unsigned depth) : random_strategy(seed, runs), depth_(depth) {}
    void begin() override {
        random_strategy::begin();
        length_ = std::max(length_, step_);
        step_ = 0;
        lowest_ = 0;
        for (auto& p : priority_) p = 1 + static_cast<int>(r_.below(1 << 20));
        changes_.clear();
        for (unsigned i = 1; i < depth_; i++) changes_.push_back(r_.below(length_));
    }
    unsigned choose(kind k, unsigned n, int current, const int* threads) override {
        if (k == kind::see || k == kind::early) return random_strategy::choose(k, n, current, threads);
        step_++;
        if ((k == kind::yield && r_.below(stays_) != 0) || std::find(changes_.begin(), changes_.end(), step_) != changes_.end())
            priority_[current] = --lowest_;
        return static_cast<unsigned>(std::max_element(threads, threads + n,
            [this](int a, int b) { return priority_[a] < priority_[b]; }) - threads);
    }

private:
    unsigned depth_, step_ = 0, length_ = 100;  // length: the longest run so far
    int priority_[256], lowest_ = 0;
    std::vector<unsigned> changes_;
};

class dfs : public strategy {
public:
    explicit dfs(const bounds& b) : b_(b) {}
    void begin() override { at_ = 0; }
    unsigned choose(kind k, unsigned n, int, const int*) override {
        if (at_ == path_.size()) path_.push_back({k, n, 0, at_ ? path_.back().spent : none});
        node& here = path_[at_++];
        return here.k == k && here.n == n ? here.choice : not_deterministic;
    }
    bool next() override {
        if (++runs_ == b_.runs) return false;
        for (path_.resize(at_); !path_.empty(); path_.pop_back())
            if (another(path_.back(), path_.size() > 1 ? path_[path_.size() - 2].spent : none)) return true;
        return now_++ < b_.preemptions;
    }

private:
    struct node {
        kind k;
        unsigned n, choice;
        bounds spent;  // with this choice
    };
    // Whether there is another choice at d within the bounds, and takes it.
    bool another(node& d, bounds before) const {
        if (d.choice++ + 1 == d.n) return false;
        d.spent = before;
        switch (d.k) {
            case kind::go_on: return ++d.spent.preemptions <= now_;
            case kind::yield:
                if (d.choice + 1 == d.n) return ++d.spent.stays <= b_.stays;
                return ++d.spent.preemptions <= now_ || (d.choice = d.n - 1, d.spent = before, ++d.spent.stays <= b_.stays);
            case kind::see: return ++d.spent.looks_back <= b_.looks_back;
            case kind::early: return ++d.spent.early <= b_.early;
            case kind::block: break;
        }
        return true;
    }
    static constexpr bounds none{0, 0, 0, 0, 0};
    bounds b_;
    std::vector<node> path_;
    std::size_t at_ = 0;
    unsigned runs_ = 0, now_ = 0;  // now_: preemptions allowed in this search
};

class replayer : public strategy {
public:
    explicit replayer(schedule s) : s_(std::move(s)) {}
    unsigned choose(kind, unsigned n, int, const int*) override {
        unsigned c = at_ < s_.size() ? s_[at_++] : 0;
        return c < n ? c : 0;
    }
    bool next() override { return false; }

private:
    schedule s_;
    std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<strategy> random_walk(std::uint64_t seed, unsigned runs) {
    return std::make_unique<random_strategy>(seed, runs);
}
std::unique_ptr<strategy> priorities(std::uint64_t seed, unsigned runs, unsigned depth) {
    return std::make_unique<pct>(seed, runs, depth);
}
std::unique_ptr<strategy> exhaustive(const bounds& b) { return std::make_unique<dfs>(b); }
std::unique_ptr<strategy> replay(schedule s) { return std::make_unique<replayer>(std::move(s)); }

}  // namespace model
