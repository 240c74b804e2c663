// Nested dropout: the law of K, the mask, and the evaluation of every prefix.
#include "methods/robust/compress_features/compress_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/class_labels.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace plumb::methods::compress_features {
namespace {

void check_prefix(const Tensor& features, const Tensor& weight) {
  if (features.rank() != 2 || weight.rank() != 2 || features.size(1) != weight.size(1))
    throw ShapeError(fmt::format("nested_dropout: features must be [N, D] and the weight [C, D], they are {} and {}",
                                 to_string(features.shape()), to_string(weight.shape())));
}

void check_labels(const Tensor& labels, int64_t examples, int64_t classes) {
  if (labels.shape() != Shape{examples})
    throw ShapeError(fmt::format("nested_dropout: labels {} for {} examples", to_string(labels.shape()), examples));
  if (examples == 0) throw ValueError("nested_dropout: no examples to judge by");
  check_class_labels("nested_dropout", labels, classes);
}

}  // namespace

NestedDropout::NestedDropout(int64_t channels, double sigma, double mu) {
  if (channels < 1) throw ValueError(fmt::format("nested_dropout: {} channels", channels));
  if (!(sigma > 0)) throw ValueError(fmt::format("nested_dropout: sigma must be above 0, it is {}", sigma));
  if (!std::isfinite(mu)) throw ValueError(fmt::format("nested_dropout: mu must be finite, it is {}", mu));
  std::vector<double> exponent;
  for (int64_t k = 1; k <= channels; ++k) exponent.push_back(-std::pow((static_cast<double>(k) - mu) / sigma, 2));
  double largest = *std::max_element(exponent.begin(), exponent.end()), total = 0;
  for (double e : exponent) total += std::exp(e - largest);
  for (double e : exponent) probabilities_.push_back(std::exp(e - largest) / total);
}

std::vector<double> NestedDropout::keep_probabilities() const {
  std::vector<double> kept = probabilities_;
  for (size_t j = kept.size() - 1; j-- > 0;) kept[j] += kept[j + 1];
  return kept;
}

double NestedDropout::expected_channels() const {
  double total = 0;
  for (double kept : keep_probabilities()) total += kept;
  return total;
}

int64_t NestedDropout::sample_k(Generator& generator) const {
  double unit = generator.next_double(), below = 0;
  for (int64_t k = 1; k < channels(); ++k) {
    below += probabilities_[static_cast<size_t>(k - 1)];
    if (unit < below) return k;
  }
  return channels();
}

Tensor keep_first(const Tensor& features, int64_t k) {
  int64_t channels = features.size(-1);
  if (k < 1 || k > channels) throw ValueError(fmt::format("nested_dropout: the first {} of {} channels", k, channels));
  if (k == channels) return features;
  return where(arange(channels, i64, features.device()) < k, features, 0.0);
}

std::pair<int64_t, int64_t> alternate_k(const NestedDropout& first, const NestedDropout& second, Generator& generator) {
  if (generator.next_below(2) == 0) return {first.sample_k(generator), second.channels()};
  return {first.channels(), second.sample_k(generator)};
}

Tensor prefix_logits(const Tensor& features, const Tensor& weight) {
  check_prefix(features, weight);
  return cumsum(unsqueeze(features, 2) * unsqueeze(mT(weight), 0), 1);
}

std::vector<double> prefix_accuracy(const std::vector<FeaturesAndWeight>& networks, const Tensor& labels) {
  if (networks.empty()) throw ValueError("nested_dropout: no networks to judge");
  const Tensor& first = networks[0].weight;
  for (const auto& [features, weight] : networks) {
    check_prefix(features, weight);
    if (weight.shape() != first.shape())
      throw ShapeError(fmt::format("nested_dropout: weights {} and {}", to_string(first.shape()), to_string(weight.shape())));
    check_labels(labels, features.size(0), weight.size(0));
  }
  NoGrad no_grad;
  int64_t n = labels.size(0), rows = std::max<int64_t>(1, (1 << 20) / first.numel());
  Tensor right = zeros({first.size(1)}, i64);
  for (int64_t from = 0; from < n; from += rows) {
    int64_t count = std::min(rows, n - from);
    Tensor logits;
    for (const auto& [features, weight] : networks) {
      Tensor z = prefix_logits(narrow(features, 0, from, count), weight);
      logits = logits.defined() ? logits + z : z;
    }
    right = right + sum(argmax(logits, 2) == unsqueeze(narrow(labels, 0, from, count), 1), {0});
  }
  std::vector<double> accuracies = to_vector(right);
  for (double& a : accuracies) a /= static_cast<double>(n);
  return accuracies;
}

int64_t select_k(const std::vector<double>& accuracies, double penalty) {
  if (accuracies.empty()) throw ValueError("nested_dropout: no accuracies to choose by");
  size_t best = 0;
  auto value = [&](size_t k) { return accuracies[k] - penalty * static_cast<double>(k); };
  for (size_t k = 0; k < accuracies.size(); ++k) {
    if (std::isnan(accuracies[k])) throw ValueError(fmt::format("nested_dropout: the accuracy of {} channels is not a number", k + 1));
    if (value(k) > value(best)) best = k;
  }
  return static_cast<int64_t>(best) + 1;
}

}  // namespace plumb::methods::compress_features
