// Closed forms for a linear head.
#include "methods/common/head_statistics.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check_head(const Tensor& features, const Tensor& labels, const Tensor& weight, const Tensor& bias) {
  bool fit = features.rank() == 2 && weight.rank() == 2 && features.size(1) == weight.size(1) &&
             labels.shape() == Shape{features.size(0)} && (!bias.defined() || bias.shape() == Shape{weight.size(0)});
  if (!fit)
    throw ShapeError("head_statistics: takes features [n, d], labels [n], weight [C, d], bias [C], got " + to_string(features.shape()) +
                     ", " + to_string(labels.shape()) + ", " + to_string(weight.shape()) +
                     (bias.defined() ? ", " + to_string(bias.shape()) : ""));
  if (features.size(0) == 0) throw ValueError("head_statistics: the batch is empty");
}

bool is_binary(const Tensor& logits) { return logits.size(1) == 1; }

}  // namespace

HeadStatistics::HeadStatistics(const Tensor& features, const Tensor& labels, const Tensor& weight, const Tensor& bias) {
  check_head(features, labels, weight, bias);
  logits_ = linear(features, weight, bias);
  DType type = logits_.dtype();
  Tensor truth;
  if (is_binary(logits_)) {
    truth = unsqueeze(to(labels, type), 1);
    loss_ = binary_cross_entropy_with_logits(logits_, truth);
    probabilities_ = sigmoid(logits_);
  } else {
    loss_ = cross_entropy(logits_, labels);
    truth = to(one_hot(labels, logits_.size(1)), type);
    probabilities_ = softmax(logits_, -1);
  }
  residuals_ = probabilities_ - truth;
  inputs_ = bias.defined() ? cat({features, ones({features.size(0), 1}, features.dtype(), features.device())}, 1) : features;
  gradient_ = mean_outer(residuals_);
}

Tensor HeadStatistics::mean_outer(const Tensor& rows) const { return matmul(mT(rows), inputs_) / static_cast<double>(inputs_.size(0)); }

Tensor HeadStatistics::hvp(const Tensor& v) const {
  int64_t n = inputs_.size(0), classes = logits_.size(1), k = inputs_.size(1);
  if (v.rank() < 2 || v.size(-2) != classes || v.size(-1) != k)
    throw ShapeError("head_statistics: hvp takes a direction " + to_string(gradient_.shape()) + ", got " + to_string(v.shape()));
  int64_t directions = v.numel() / (classes * k);
  Tensor p = unsqueeze(probabilities_, 1);
  Tensor change =
      p * reshape(matmul(inputs_, mT(reshape(v, {directions * classes, k}))), {n, directions, classes});  // of the logits, times p
  Tensor rest = is_binary(logits_) ? change : sum(change, {-1}, /*keepdim=*/true);
  return reshape(mean_outer(reshape(change - p * rest, {n, directions * classes})), v.shape());
}

Tensor HeadStatistics::hessian_diagonal() const {
  return matmul(mT(probabilities_ * (1 - probabilities_)), square(inputs_)) / static_cast<double>(inputs_.size(0));
}

Tensor HeadStatistics::hessian() const {
  int64_t n = inputs_.size(0), classes = logits_.size(1), k = inputs_.size(1);
  // Block (c, d) is mean_i (p_ic [c = d] − p_ic p_id) a_i a_iᵀ.
  std::vector<Tensor> rows;
  for (int64_t c = 0; c < classes; ++c) {
    std::vector<Tensor> blocks;
    for (int64_t d = 0; d < classes; ++d) {
      Tensor p = select(probabilities_, 1, c), q = select(probabilities_, 1, d);
      Tensor weight = c == d ? p * (1 - p) : -(p * q);
      blocks.push_back(matmul(mT(inputs_ * unsqueeze(weight, 1)), inputs_) / static_cast<double>(n));
    }
    rows.push_back(cat(blocks, 1));
  }
  return reshape(cat(rows, 0), {classes * k, classes * k});
}

Tensor HeadStatistics::gradient_variance() const {
  return matmul(mT(square(residuals_)), square(inputs_)) / static_cast<double>(inputs_.size(0)) - square(gradient_);
}

Tensor rademacher(int64_t probes, const Shape& shape, DType dtype) {
  if (probes < 1) throw ValueError(fmt::format("hutchinson: needs at least 1 probe, not {}", probes));
  std::vector<int64_t> sizes{probes};
  for (int i = 0; i < shape.rank(); ++i) sizes.push_back(shape[i]);
  return bernoulli(Shape(sizes), 0.5, {.dtype = dtype}) * 2 - 1;
}

namespace detail {

Tensor probe(const Tensor& probes, int64_t s) { return select(probes, 0, s); }

Tensor mean_of_products(const Tensor& probes, const std::vector<Tensor>& products) {
  if (products.empty()) throw ValueError("hutchinson: needs at least 1 probe, not 0");
  return mean(probes * stack(products), {0});
}

}  // namespace detail

double spectral_norm_of_symmetric(const Tensor& matrix) {
  NoGrad off;
  return max(abs(eigh(matrix.detach()).values)).item();
}

}  // namespace plumb::methods
