// The density of targets.
#include "methods/common/label_density.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

std::vector<double> finite_targets(const Tensor& targets) {
  if (targets.rank() != 1) throw ShapeError(fmt::format("label_density: targets {} must be [n]", to_string(targets.shape())));
  auto values = to_vector(targets);
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) throw ValueError(fmt::format("label_density: target {} is {}", i, values[i]));
  return values;
}

// A unit impulse in the middle of `size` places, smoothed by a normal kernel cut at 4σ, the ends mirrored (the edge itself repeated).
std::vector<double> mirrored_impulse(int64_t size, double sigma) {
  auto radius = std::llround(4 * sigma);
  std::vector<double> out(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = -radius; j <= radius; ++j) {
      int64_t at = ((i + j) % (2 * size) + 2 * size) % (2 * size);
      if (std::min(at, 2 * size - 1 - at) == size / 2)
        out[static_cast<size_t>(i)] += std::exp(-static_cast<double>(j * j) / (2 * sigma * sigma));
    }
  double largest = *std::ranges::max_element(out);
  for (double& v : out) v /= largest;
  return out;
}

}  // namespace

std::vector<double> lds_kernel(const LdsOptions& o) {
  if (o.size < 1 || o.size % 2 == 0) throw ValueError(fmt::format("lds_kernel: the size must be odd and positive, it is {}", o.size));
  if (!(o.sigma > 0)) throw ValueError(fmt::format("lds_kernel: sigma must be positive, it is {}", o.sigma));
  if (o.official) return mirrored_impulse(o.size, o.sigma);
  std::vector<double> kernel;
  for (int64_t j = -(o.size / 2); j <= o.size / 2; ++j) kernel.push_back(std::exp(-static_cast<double>(j * j) / (2 * o.sigma * o.sigma)));
  return kernel;
}

std::vector<double> convolve(const std::vector<double>& values, const std::vector<double>& kernel) {
  auto n = static_cast<int64_t>(values.size()), half = static_cast<int64_t>(kernel.size()) / 2;
  std::vector<double> out(values.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = std::max<int64_t>(0, i - half); j <= std::min(n - 1, i + half); ++j)
      out[static_cast<size_t>(i)] += values[static_cast<size_t>(j)] * kernel[static_cast<size_t>(j - i + half)];
  return out;
}

LabelDensity::LabelDensity(const Tensor& targets, double width) : width_(width) {
  if (!(width > 0)) throw ValueError(fmt::format("label_density: the bins' width must be positive, it is {}", width));
  auto values = finite_targets(targets);
  if (values.empty()) throw ValueError("label_density: there are no targets");
  auto [least, most] = std::ranges::minmax_element(values);
  low_ = width * std::floor(*least / width);
  counts_.resize(static_cast<size_t>(std::floor((*most - low_) / width)) + 1);
  for (int64_t b : to_vector<int64_t>(bins_of(targets))) ++counts_[static_cast<size_t>(b)];
}

Tensor LabelDensity::bins_of(const Tensor& targets) const {
  std::vector<int64_t> places;
  for (double y : finite_targets(targets))
    places.push_back(static_cast<int64_t>(std::clamp(std::floor((y - low_) / width_), 0.0, static_cast<double>(bins() - 1))));
  return from_vector(places);
}

std::vector<double> LabelDensity::bin_weights(DensityWeights kind, const std::optional<LdsOptions>& lds) const {
  if (kind == DensityWeights::none) return std::vector<double>(counts_.size(), 1.0);
  std::vector<double> density;
  for (int64_t n : counts_) {
    auto count = static_cast<double>(n);
    density.push_back(kind == DensityWeights::inverse ? std::clamp(count, 5.0, 1000.0) : std::sqrt(count));
  }
  if (lds) density = convolve(density, lds_kernel(*lds));
  for (double& d : density) d = d > 0 ? 1 / d : 0;
  return density;
}

Tensor LabelDensity::weights(const Tensor& targets, DensityWeights kind, const std::optional<LdsOptions>& lds) const {
  auto of_bin = bin_weights(kind, lds);
  double total = 0, examples = 0;
  for (size_t b = 0; b < of_bin.size(); ++b) {
    total += of_bin[b] * static_cast<double>(counts_[b]);
    examples += static_cast<double>(counts_[b]);
  }
  std::vector<float> out;
  for (int64_t b : to_vector<int64_t>(bins_of(targets)))
    out.push_back(static_cast<float>(of_bin[static_cast<size_t>(b)] * examples / total));
  return from_vector(out);
}

Tensor weighted_l1(const Tensor& predictions, const Tensor& targets, const Tensor& weights) {
  if (any(isnan(targets)).item() != 0) throw ValueError("weighted_l1: a target is NaN");
  if (!weights.defined()) return l1_loss(predictions, targets);
  if (weights.shape() != predictions.shape())
    throw ShapeError(fmt::format("weighted_l1: weights {} for predictions {}", to_string(weights.shape()), to_string(predictions.shape())));
  return mean(l1_loss(predictions, targets, Reduction::none) * to(weights.detach(), predictions.dtype()));
}

}  // namespace plumb::methods
