// The strategies of strategy.h.
#include "tests/model/strategy.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <utility>

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
    std::uint64_t bits() {
        std::uint64_t z = (x_ += 0x9E3779B97F4A7C15ull);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ z >> 27) * 0x94D049BB133111EBull;
        return z ^ z >> 31;
    }
    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>((bits() >> 32) * n >> 32); }

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
        complete_ = !std::exchange(too_many_, false) || now_ == b_.preemptions;
        now_++;
        return !complete_;
    }
    bool complete() const override { return complete_; }
    std::string covered() const override { return complete_ ? "" : " (cut short)"; }

private:
    struct node {
        kind k;
        unsigned n, choice;
        bounds spent;  // with this choice
    };
    // Whether there is another choice at d within the bounds, and takes it.
    bool another(node& d, bounds before) {
        if (d.choice++ + 1 == d.n) return false;
        d.spent = before;
        switch (d.k) {
            case kind::go_on: return preempts(d);
            case kind::yield:
                if (d.choice + 1 == d.n) return ++d.spent.stays <= b_.stays;
                return preempts(d) || (d.choice = d.n - 1, d.spent = before, ++d.spent.stays <= b_.stays);
            case kind::see: return ++d.spent.looks_back <= b_.looks_back;
            case kind::early: return ++d.spent.early <= b_.early;
            case kind::block: break;
        }
        return true;
    }
    bool preempts(node& d) {
        if (++d.spent.preemptions <= now_) return true;
        too_many_ = true;
        return false;
    }
    static constexpr bounds none{0, 0, 0, 0, 0};
    bounds b_;
    std::vector<node> path_;
    std::size_t at_ = 0;
    unsigned runs_ = 0, now_ = 0;  // now_: preemptions allowed in this search
    bool too_many_ = false, complete_ = false;  // too_many_: there would be runs with more
};

class even : public strategy {
public:
    even(std::uint64_t seed, const bounds& b, unsigned runs) : r_(seed), b_(b), most_(runs) {}
    void begin() override {
        at_ = 0;
        left_ = skips_[0];
        open_ = 0;
        spent_ = {0, 0, 0, 0, 0};
    }
    unsigned choose(kind k, unsigned n, int, const int*) override {
        if (!may(k)) return 0;
        if (at_ == level_) {
            open_ += n - 1;
            return 0;
        }
        if (left_ >= n - 1) {
            left_ -= n - 1;
            return 0;
        }
        const auto c = static_cast<unsigned>(1 + left_);
        spent_.looks_back += k == kind::see;
        spent_.early += k == kind::early;
        if (++at_ < level_) left_ = skips_[at_];
        return c;
    }
    bool next() override {
        if (at_ < level_) return false;  // this run was shorter than when it was counted: depth-first search will say so
        done_++;
        if (open_ > 0 && level_ < deepest) found_.push_back({skips_, children_});
        children_ += open_;
        if (done_ == size_ && !deeper()) return false;
        if (++runs_ >= most_) return false;
        place();
        return true;
    }
    bool complete() const override { return complete_; }
    std::string covered() const override {
        return std::string(complete_ ? " (all)" : "") + before_ + (level_ == 0 ? "" : said());
    }

private:
    static constexpr unsigned deepest = 3;
    using path = std::array<std::uint64_t, deepest>;  // how many points of its level before it are skipped
    struct parent {
        path skips;
        std::uint64_t before;  // points behind those before it
    };
    bool may(kind k) const {
        switch (k) {
            case kind::go_on: return b_.preemptions != 0;
            case kind::see: return spent_.looks_back < b_.looks_back;
            case kind::early: return spent_.early < b_.early;
            case kind::yield: case kind::block: break;
        }
        return true;
    }
    std::string said() const {
        return ", bound " + std::to_string(level_) + ": " + std::to_string(done_) + " of " + std::to_string(size_) + " points";
    }
    // This level is done; false: there is none below.
    bool deeper() {
        complete_ = children_ == 0;
        if (complete_ || level_ == deepest) return false;
        if (level_ != 0) before_ += said();
        parents_ = std::move(found_);
        found_.clear();
        size_ = std::exchange(children_, 0);
        level_++;
        done_ = 0;
        start_ = r_.bits() % size_;
        step_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(static_cast<double>(size_) * 0.6180339887498949));
        while (std::gcd(step_, size_) != 1) step_++;
        return true;
    }
    // The next point.
    void place() {
        const auto i = static_cast<std::uint64_t>((start_ + static_cast<unsigned __int128>(step_) * done_) % size_);
        auto p = std::upper_bound(parents_.begin(), parents_.end(), i,
                                  [](std::uint64_t x, const parent& q) { return x < q.before; }) - 1;
        skips_ = p->skips;
        skips_[level_ - 1] = i - p->before;
    }

    generator r_;
    bounds b_, spent_;
    unsigned most_, runs_ = 0;
    unsigned level_ = 0, at_ = 0;              // choices in which a run differs, and those of this run so far
    path skips_{};                             // this run's
    std::uint64_t left_ = 0, open_ = 0;        // points until the next of them; and behind the last
    std::uint64_t size_ = 1, done_ = 0;        // of this level
    std::uint64_t start_ = 0, step_ = 1, children_ = 0;
    std::vector<parent> parents_, found_;      // found_: of the next level, which has `children_` points
    std::string before_;
    bool complete_ = false;
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
std::unique_ptr<strategy> evenly(std::uint64_t seed, const bounds& b, unsigned runs) {
    return std::make_unique<even>(seed, b, runs);
}
std::unique_ptr<strategy> replay(schedule s) { return std::make_unique<replayer>(std::move(s)); }

}  // namespace model
