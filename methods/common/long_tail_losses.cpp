// Losses for classes of very different frequency.
#include "methods/common/long_tail_losses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/long_tail.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

void check_classes(const char* name, const Tensor& logits, const Tensor& row) {
  if (logits.rank() != 2 || row.shape() != Shape{logits.size(1)})
    throw ShapeError(fmt::format("{}: logits {} must be [B, C] with a number for each class, there are {}", name, to_string(logits.shape()),
                                 to_string(row.shape())));
}

}  // namespace

Tensor log_prior(const std::vector<int64_t>& counts, double lambda, double eps) {
  if (counts.empty()) throw ValueError("log_prior: there are no classes");
  if (!std::isfinite(lambda)) throw ValueError(fmt::format("log_prior: the exponent must be finite, it is {}", lambda));
  std::vector<double> prior;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] < 0) throw ValueError(fmt::format("log_prior: class {} has {} examples", c, counts[c]));
    if (counts[c] == 0 && lambda < 0)
      throw ValueError(fmt::format("log_prior: class {} has no examples; {} as exponent needs some", c, lambda));
    prior.push_back(std::log(std::pow(static_cast<double>(counts[c]), lambda) + eps));
  }
  return from_vector(prior);
}

Tensor prior_adjusted_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& prior) {
  check_classes("prior_adjusted_cross_entropy", logits, prior);
  return cross_entropy(logits + to(prior.detach(), logits.dtype()), labels);
}

Tensor ldam_margins(const std::vector<int64_t>& counts, double largest) {
  if (!(largest > 0)) throw ValueError(fmt::format("ldam_margins: the largest margin must be positive, it is {}", largest));
  if (counts.empty()) throw ValueError("ldam_margins: there are no classes");
  std::vector<double> margins;
  auto fewest = static_cast<double>(*std::ranges::min_element(counts));
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] < 1) throw ValueError(fmt::format("ldam_margins: class {} has no examples", c));
    margins.push_back(largest * std::pow(fewest / static_cast<double>(counts[c]), 0.25));
  }
  return from_vector(margins);
}

Tensor ldam_loss(const Tensor& logits, const Tensor& labels, const Tensor& margins, double scale, const Tensor& weight) {
  check_classes("ldam_loss", logits, margins);
  if (labels.shape() != Shape{logits.size(0)})
    throw ShapeError(fmt::format("ldam_loss: labels {} for logits {}", to_string(labels.shape()), to_string(logits.shape())));
  Tensor lowered = to(one_hot(labels, logits.size(1)), logits.dtype()) * (to(margins.detach(), logits.dtype()) * scale);
  return cross_entropy(logits - lowered, labels, {.weight = weight});
}

Tensor deferred_weights(const std::vector<int64_t>& counts, int64_t epoch, int64_t start, double beta) {
  auto weights = data::effective_number_weights(counts, beta);
  return epoch < start ? Tensor() : to(from_vector(weights), f32);
}

}  // namespace plumb::methods
