// Baselines of ConR.
#include "methods/robust/conr/baselines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/autograd/function.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/label_density.h"
#include "methods/common/masked_contrastive.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::conr {
namespace {

void check_vector(const char* name, const Tensor& targets, int64_t rows) {
  if (targets.shape() != Shape{rows})
    throw ShapeError(fmt::format("{}: targets {} for {} examples", name, to_string(targets.shape()), rows));
  if (any(isnan(targets)).item() != 0) throw ValueError(fmt::format("{}: a target is NaN", name));
}

// Ranks whose gradient is (ranks(x + λ g) − ranks(x)) / λ, with ranks falling as x grows.
Tensor ranks_with_gradient(const Tensor& x, double lambda) {
  return apply(
      "rank_similarity", {x}, [](const std::vector<Tensor>& in) { return normalised_ranks(in[0]); },
      [lambda](const BackwardContext& c) -> Grads {
        Tensor moved = normalised_ranks(c.input() + c.gradient() * lambda);
        return {(moved - c.output()) / lambda};
      });
}

// One place for each different target.
Tensor one_of_each(const Tensor& targets, Generator& generator) {
  std::map<double, std::vector<int64_t>> places;
  auto values = to_vector(targets);
  for (size_t i = 0; i < values.size(); ++i) places[values[i]].push_back(static_cast<int64_t>(i));
  std::vector<int64_t> chosen;
  for (const auto& [y, at] : places) chosen.push_back(at.size() == 1 ? at[0] : at[generator.next_below(at.size())]);
  return from_vector(chosen);
}

}  // namespace

Tensor balanced_mse(const Tensor& predictions, const Tensor& targets, double sigma) {
  if (predictions.rank() != 1) throw ShapeError(fmt::format("balanced_mse: predictions {} must be [B]", to_string(predictions.shape())));
  if (!(sigma > 0)) throw ValueError(fmt::format("balanced_mse: sigma must be positive, it is {}", sigma));
  int64_t n = predictions.size(0);
  check_vector("balanced_mse", targets, n);
  double twice = 2 * sigma * sigma;
  Tensor logits = square(unsqueeze(predictions, 1) - unsqueeze(targets, 0)) / -twice;
  std::vector<int64_t> own(static_cast<size_t>(n));
  for (size_t i = 0; i < own.size(); ++i) own[i] = static_cast<int64_t>(i);
  return cross_entropy(logits, from_vector(own)) * twice;
}

Tensor normalised_ranks(const Tensor& x) {
  Tensor place = argsort(argsort(x, -1, true), -1);
  return (to(place, x.dtype()) + 1.0) / static_cast<double>(x.size(-1));
}

Tensor rank_similarity(const Tensor& features, const Tensor& targets, Generator& generator, double interpolation) {
  if (features.rank() != 2) throw ShapeError(fmt::format("rank_similarity: features {} must be [B, D]", to_string(features.shape())));
  if (!(interpolation > 0)) throw ValueError(fmt::format("rank_similarity: the interpolation must be positive, it is {}", interpolation));
  check_vector("rank_similarity", targets, features.size(0));
  Tensor places = one_of_each(targets, generator), y = index_select(to(targets, features.dtype()), 0, places);
  Tensor wanted = normalised_ranks(neg(abs(unsqueeze(y, 1) - unsqueeze(y, 0))));
  Tensor ranks = ranks_with_gradient(cosine_similarities(index_select(features, 0, places), 1), interpolation);
  return sum(mean(square(ranks - wanted), {1}));
}

FeatureSmoother::FeatureSmoother(int64_t bins, int64_t width, SmoothingOptions options) : options_(options) {
  if (bins < 1 || width < 1) throw ValueError(fmt::format("feature_smoother: {} bins of {} features", bins, width));
  if (!(options.momentum >= 0 && options.momentum <= 1))
    throw ValueError(fmt::format("feature_smoother: the momentum must lie in [0, 1], it is {}", options.momentum));
  kernel_ = lds_kernel({.size = options.size, .sigma = options.sigma});
  known_.resize(static_cast<size_t>(bins));
  mean_ = zeros({bins, width});
  variance_ = ones({bins, width});
  smoothed_mean_ = zeros({bins, width});
  smoothed_variance_ = ones({bins, width});
}

void FeatureSmoother::update(const Tensor& features, const Tensor& bins) {
  NoGrad no_grad;
  int64_t count = mean_.size(0), width = mean_.size(1);
  if (features.rank() != 2 || features.size(1) != width || bins.shape() != Shape{features.size(0)})
    throw ShapeError(fmt::format("feature_smoother: features {} with bins {} for tables {}", to_string(features.shape()),
                                 to_string(bins.shape()), to_string(mean_.shape())));
  std::vector<std::vector<int64_t>> members(static_cast<size_t>(count));
  auto places = to_vector<int64_t>(bins);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] < 0 || places[i] >= count) throw IndexError(fmt::format("feature_smoother: bin {} is outside [0, {})", places[i], count));
    members[static_cast<size_t>(places[i])].push_back(static_cast<int64_t>(i));
  }
  for (int64_t b = 0; b < count; ++b) {
    const auto& own = members[static_cast<size_t>(b)];
    if (own.empty()) continue;
    Tensor rows = to(index_select(features.detach(), 0, from_vector(own)), f32);
    Tensor mean_now = plumb::mean(rows, {0}), variance_now = own.size() > 1 ? var(rows, {0}) : zeros({width});
    double keep = known_[static_cast<size_t>(b)] ? options_.momentum : 0;
    Tensor mean_row = select(mean_, 0, b), variance_row = select(variance_, 0, b);
    copy_(mean_row, mean_row * keep + mean_now * (1 - keep));
    copy_(variance_row, variance_row * keep + variance_now * (1 - keep));
    known_[static_cast<size_t>(b)] = true;
  }
  smoothed_mean_ = smoothed(mean_);
  smoothed_variance_ = smoothed(variance_);
}

Tensor FeatureSmoother::smoothed(const Tensor& table) const {
  int64_t count = table.size(0), half = options_.size / 2;
  Tensor out = zeros(table.shape());
  for (int64_t b = 0; b < count; ++b) {
    Tensor total = zeros({table.size(1)});
    double weight = 0;
    for (int64_t j = std::max<int64_t>(0, b - half); j <= std::min(count - 1, b + half); ++j) {
      if (!known_[static_cast<size_t>(j)]) continue;
      double k = kernel_[static_cast<size_t>(j - b + half)];
      total = total + select(table, 0, j) * k;
      weight += k;
    }
    Tensor row = select(out, 0, b);
    if (weight > 0) copy_(row, total / weight);
  }
  return out;
}

Tensor FeatureSmoother::operator()(const Tensor& features, const Tensor& bins) const {
  int64_t width = mean_.size(1);
  if (features.rank() != 2 || features.size(1) != width || bins.shape() != Shape{features.size(0)})
    throw ShapeError(fmt::format("feature_smoother: features {} with bins {} for tables {}", to_string(features.shape()),
                                 to_string(bins.shape()), to_string(mean_.shape())));
  Tensor scale, shift;
  {
    NoGrad no_grad;
    std::vector<float> known(known_.begin(), known_.end());
    Tensor has = logical_and(unsqueeze(from_vector(known) > 0.5, 1), variance_ > 0.0);
    Tensor ratio = where(has, sqrt(clamp(smoothed_variance_ / where(has, variance_, 1.0), options_.least, options_.most)), 1.0);
    Tensor moved = where(has, smoothed_mean_ - mean_ * ratio, 0.0);
    scale = to(index_select(ratio, 0, bins), features.dtype());
    shift = to(index_select(moved, 0, bins), features.dtype());
  }
  return features * scale + shift;
}

}  // namespace plumb::methods::conr
