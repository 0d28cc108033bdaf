// select4: one consumer over 4 boxes, each filled by a producer of its own: whoever fills
// a box signals the one condition that the consumer waits on.  ops: elements.
#include "peer.h"

namespace {

class boxes {
public:
    static constexpr std::int64_t size = 4;

    void put(std::int64_t box, std::int64_t v) {
        {
            std::unique_lock hold(mu_);
            taken_[box].wait(hold, [&] { return !box_[box]; });
            box_[box] = v;
        }
        filled_.notify_one();
    }
    /// The box and what was in it.  The search goes on after the last one taken, so that
    /// no producer starves.
    std::pair<std::int64_t, std::int64_t> take() {
        std::pair<std::int64_t, std::int64_t> got;
        {
            std::unique_lock hold(mu_);
            filled_.wait(hold, [this] {
                for (std::int64_t k = 0; k < size; ++k)
                    if (box_[last_ = (last_ + 1) % size])
                        return true;
                return false;
            });
            got = {last_, *box_[last_]};
            box_[last_].reset();
        }
        taken_[got.first].notify_one();
        return got;
    }

private:
    std::mutex mu_;
    std::condition_variable filled_, taken_[size];
    std::optional<std::int64_t> box_[size];
    std::int64_t last_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    const std::int64_t n = peer::args(argc, argv, {"elements"})[0] / boxes::size * boxes::size;
    boxes ch;
    std::vector<std::thread> producers;
    report::stopwatch clock;
    for (std::int64_t p = 0; p < boxes::size; ++p)
        producers.emplace_back([&, p] {
            for (std::int64_t i = p; i < n; i += boxes::size)
                ch.put(p, i);
        });
    std::int64_t next[boxes::size] = {0, 1, 2, 3};
    for (std::int64_t i = 0; i < n; ++i) {
        const auto [box, v] = ch.take();
        if (v != next[box])
            report::fail("%ld where %ld is due", v, next[box]);
        next[box] += boxes::size;
    }
    const auto span = clock.stop();
    peer::join(producers);
    for (std::int64_t k = 0; k < boxes::size; ++k)
        if (next[k] != n + k)
            report::fail("%ld due in the end, not %ld", next[k], n + k);
    report::line("select4", n, span);
}
