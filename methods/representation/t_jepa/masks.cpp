// Sampling masks: partial Fisher–Yates shuffles, on a copy for every set.
#include "methods/representation/t_jepa/masks.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "engine/core/error.h"

namespace plumb::methods::t_jepa {
namespace {

int64_t rounded(double x) { return static_cast<int64_t>(std::nearbyint(x)); }  // halves to the even number

void check_shares(const char* what, double low, double high) {
  if (!(low >= 0 && low < high && high <= 1))
    throw ValueError(fmt::format("feature_masks: the {} shares are {} to {}; they must rise and lie in [0, 1]", what, low, high));
}

/// Puts a uniform choice of `count` elements first.
void choose(std::vector<int64_t>& from, int64_t count, Generator& g) {
  for (int64_t i = 0; i < count; ++i) {
    size_t j = static_cast<size_t>(i) + g.next_below(from.size() - static_cast<size_t>(i));
    std::swap(from[static_cast<size_t>(i)], from[j]);
  }
}

}  // namespace

FeatureMaskSampler::FeatureMaskSampler(int64_t features, MaskOptions o) : features_(features), options_(o) {
  check_shares("context", o.context_min, o.context_max);
  check_shares("target", o.target_min, o.target_max);
  if (o.targets < 1) throw ValueError(fmt::format("feature_masks: {} sets of targets", o.targets));
  double d = static_cast<double>(features);
  context_min_ = rounded(d * o.context_min), context_max_ = rounded(d * o.context_max);
  target_min_ = rounded(d * o.target_min), target_max_ = rounded(d * o.target_max);
  if (context_min_ < 1 || target_min_ < 1)
    throw ValueError(fmt::format("feature_masks: of {} features at least {} would be context and {} targets; it takes one of each",
                                 features, context_min_, target_min_));
  if (context_min_ + target_min_ > features)
    throw ValueError(fmt::format("feature_masks: {} features of context and {} targets are more than the {} there are", context_min_,
                                 target_min_, features));
}

std::pair<int64_t, int64_t> FeatureMaskSampler::sizes(Generator& g) const {
  auto draw = [&](int64_t low, int64_t high) { return low + rounded(static_cast<double>(high - low) * g.next_double()); };
  for (;;) {
    int64_t context = draw(context_min_, context_max_), target = draw(target_min_, target_max_);
    if (context + target <= features_) return {context, target};
  }
}

FeatureMasks FeatureMaskSampler::sample(int64_t rows, Generator& g) const {
  if (rows < 0) throw ValueError(fmt::format("feature_masks: {} rows", rows));
  auto [n_context, n_target] = sizes(g);
  FeatureMasks masks{empty({rows, n_context}, i64), {}};
  for (int64_t k = 0; k < options_.targets; ++k) masks.targets.push_back(empty({rows, n_target}, i64));
  std::vector<int64_t> order(static_cast<size_t>(features_)), hidden;
  for (int64_t row = 0; row < rows; ++row) {
    std::iota(order.begin(), order.end(), int64_t{0});
    choose(order, n_context, g);
    std::copy_n(order.begin(), n_context, masks.context.data<int64_t>() + row * n_context);
    for (Tensor& target : masks.targets) {
      hidden.assign(order.begin() + n_context, order.end());
      choose(hidden, n_target, g);
      std::copy_n(hidden.begin(), n_target, target.data<int64_t>() + row * n_target);
    }
  }
  return masks;
}

}  // namespace plumb::methods::t_jepa
