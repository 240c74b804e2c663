// Orders that are drawn afresh every epoch: shuffled, weighted, class-balanced. Each is a function of (seed, epoch, repeat).
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>

#include "engine/data/dataset.h"
#include "engine/data/internal/views.h"

namespace plumb::data {

std::vector<int64_t> random_order(int64_t n, Generator& generator) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[generator.next_below(i)]);
  return order;
}

namespace {

/// A view whose places are drawn for each epoch. The last two orders are kept: workers may still finish one epoch while others begin the
/// next.
class EpochOrder : public View {
 public:
  EpochOrder(SourcePtr child, uint64_t seed) : View(std::move(child)), seed_(seed) {}

  Pick locate(const Pick& pick) const override {
    auto order = order_of(pick.draw.epoch, pick.draw.repeat);
    Draw draw = pick.draw;
    const Place& place = (*order)[static_cast<size_t>(pick.at)];
    draw.repeat = draw.repeat * size() + place.use;
    return {place.at, draw};
  }
  uint64_t fingerprint() const override { return mix(mix(child().fingerprint(), kind()), mix(seed_, static_cast<uint64_t>(size()))); }

 protected:
  virtual std::vector<int64_t> draw_order(Generator& generator) const = 0;
  virtual uint64_t kind() const = 0;

 private:
  struct Place {
    int64_t at;
    int64_t use;  ///< how many earlier places of this epoch have the same example
  };
  using Order = std::vector<Place>;
  struct Kept {
    int64_t epoch = -1, repeat = -1;
    std::shared_ptr<const Order> order;
  };

  std::shared_ptr<const Order> order_of(int64_t epoch, int64_t repeat) const {
    std::lock_guard lock(mutex_);
    for (Kept& k : kept_)
      if (k.order && k.epoch == epoch && k.repeat == repeat) return k.order;
    Generator generator(mix(mix(seed_, static_cast<uint64_t>(epoch)), static_cast<uint64_t>(repeat)));
    auto order = std::make_shared<Order>();
    std::vector<int64_t> used(static_cast<size_t>(child().size()));
    for (int64_t at : draw_order(generator)) order->push_back({at, used[static_cast<size_t>(at)]++});
    kept_[1] = std::exchange(kept_[0], {epoch, repeat, order});
    return order;
  }

  uint64_t seed_;
  mutable std::mutex mutex_;
  mutable Kept kept_[2];
};

class Shuffle final : public EpochOrder {
 public:
  using EpochOrder::EpochOrder;
  int64_t size() const override { return child().size(); }
  std::vector<int64_t> draw_order(Generator& g) const override { return random_order(size(), g); }
  uint64_t kind() const override { return 4; }
};

class Weighted final : public EpochOrder {
 public:
  Weighted(SourcePtr child, std::vector<double> weights, int64_t count, bool replacement, uint64_t seed)
      : EpochOrder(std::move(child), seed), weights_(std::move(weights)), count_(count), replacement_(replacement) {}
  int64_t size() const override { return count_; }
  std::vector<int64_t> draw_order(Generator& g) const override { return replacement_ ? with_replacement(g) : without_replacement(g); }
  uint64_t kind() const override {
    uint64_t k = 5 + replacement_;
    for (double w : weights_) k = mix(k, std::bit_cast<uint64_t>(w));
    return k;
  }

 private:
  std::vector<int64_t> with_replacement(Generator& g) const {
    std::vector<double> sums(weights_.size());
    std::partial_sum(weights_.begin(), weights_.end(), sums.begin());
    std::vector<int64_t> order;
    for (int64_t i = 0; i < count_; ++i) {
      auto above = std::upper_bound(sums.begin(), sums.end(), g.next_double() * sums.back());
      if (above == sums.end()) above = std::lower_bound(sums.begin(), sums.end(), sums.back());  // the product was rounded up to the sum
      order.push_back(above - sums.begin());
    }
    return order;
  }
  /// The count smallest of −log(u_i)/w_i, in that order: as drawing one after the other (Efraimidis and Spirakis, 2006).
  std::vector<int64_t> without_replacement(Generator& g) const {
    std::vector<std::pair<double, int64_t>> keys;
    for (size_t i = 0; i < weights_.size(); ++i) {
      double u = 1.0 - g.next_double();  // (0, 1]
      if (weights_[i] > 0) keys.emplace_back(-std::log(u) / weights_[i], static_cast<int64_t>(i));
    }
    std::sort(keys.begin(), keys.end());
    std::vector<int64_t> order;
    for (int64_t i = 0; i < count_; ++i) order.push_back(keys[static_cast<size_t>(i)].second);
    return order;
  }

  std::vector<double> weights_;
  int64_t count_;
  bool replacement_;
};

class ClassBalanced final : public EpochOrder {
 public:
  ClassBalanced(SourcePtr child, int64_t count, uint64_t seed) : EpochOrder(std::move(child), seed), count_(count) {
    std::map<int64_t, std::vector<int64_t>> by_label;
    for (int64_t i = 0; i < View::child().size(); ++i) by_label[View::child().label(i)].push_back(i);
    for (auto& entry : by_label) members_.push_back(std::move(entry.second));
  }
  int64_t size() const override { return count_; }
  uint64_t kind() const override { return 7; }

  std::vector<int64_t> draw_order(Generator& g) const override {
    size_t classes = members_.size();
    std::vector<int64_t> turn = random_order(static_cast<int64_t>(classes), g);  // whose turn it is, so that the ±1 falls on any class
    std::vector<int64_t> drawn;
    for (size_t t = 0; t < classes; ++t) {
      const std::vector<int64_t>& members = members_[static_cast<size_t>(turn[t])];
      int64_t share = count_ / static_cast<int64_t>(classes) + (static_cast<int64_t>(t) < count_ % static_cast<int64_t>(classes));
      std::vector<int64_t> order;
      for (int64_t i = 0; i < share; ++i) {
        size_t at = static_cast<size_t>(i) % members.size();
        if (at == 0) order = random_order(static_cast<int64_t>(members.size()), g);
        drawn.push_back(members[static_cast<size_t>(order[at])]);
      }
    }
    std::vector<int64_t> mixed;
    for (int64_t i : random_order(count_, g)) mixed.push_back(drawn[static_cast<size_t>(i)]);
    return mixed;
  }

 private:
  std::vector<std::vector<int64_t>> members_;
  int64_t count_;
};

void check_weights(const std::vector<double>& weights, int64_t examples, int64_t count, bool replacement) {
  if (static_cast<int64_t>(weights.size()) != examples)
    throw ShapeError(fmt::format("weighted: {} weights for {} examples", weights.size(), examples));
  double sum = 0;
  int64_t positive = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i])) throw ValueError(fmt::format("weighted: weight {} of example {}", weights[i], i));
    sum += weights[i];
    positive += weights[i] > 0;
  }
  if (count > 0 && !(sum > 0)) throw ValueError("weighted: all weights are 0");
  if (!std::isfinite(sum)) throw ValueError("weighted: the sum of the weights is not finite");
  if (!replacement && count > positive)
    throw ValueError(fmt::format("weighted: {} examples without replacement of {} that have a weight above 0", count, positive));
}

}  // namespace

SourcePtr shuffle_view(SourcePtr child, uint64_t seed) { return std::make_shared<Shuffle>(std::move(child), seed); }

SourcePtr weighted_view(SourcePtr child, std::vector<double> weights, int64_t count, bool replacement, uint64_t seed) {
  check_weights(weights, child->size(), count, replacement);
  return std::make_shared<Weighted>(std::move(child), std::move(weights), count, replacement, seed);
}

SourcePtr class_balanced_view(SourcePtr child, int64_t count, uint64_t seed) {
  if (child->size() == 0 && count > 0) throw ValueError("class_balanced: the data set is empty");
  return std::make_shared<ClassBalanced>(std::move(child), count, seed);
}

}  // namespace plumb::data
