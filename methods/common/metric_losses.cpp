// Losses of pairs and of proxies.
#include "methods/common/metric_losses.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr double kNothing = -1e30;  // an exponent whose e^ is 0 in every type that losses are computed in

void check_similarity(const char* loss, const Tensor& s, const Tensor& labels) {
  if (labels.rank() != 1 || s.shape() != Shape{labels.size(0), labels.size(0)})
    throw ShapeError(
        fmt::format("{}: takes similarities [n, n] and labels [n], got {} and {}", loss, to_string(s.shape()), to_string(labels.shape())));
}

// Same label, whatever the order; and the diagonal.
Tensor equal_labels(const Tensor& labels) { return unsqueeze(labels, 1) == unsqueeze(labels, 0); }
Tensor diagonal_mask(int64_t n) { return eye(n) > 0.5; }

// log(1 + Σ e^z over the mask) along a dimension.
Tensor log_one_plus(const Tensor& z, const Tensor& mask, int dim) {
  Shape one = z.shape();
  one[dim] = 1;
  return logsumexp(cat({where(mask, z, kNothing), zeros(one, z.dtype())}, dim), {dim});
}

Tensor mean_over(const Tensor& values, const Tensor& mask) {
  double count = sum(to(mask, f64)).item();
  return count == 0 ? sum(values) * 0.0 : sum(values * to(mask, values.dtype())) / count;
}

Tensor cosines(const char* loss, const Tensor& embeddings, const Tensor& labels, const Tensor& proxies) {
  if (labels.rank() != 1 || embeddings.rank() != 2 || proxies.rank() != 2 || embeddings.size(0) != labels.size(0) ||
      embeddings.size(1) != proxies.size(1))
    throw ShapeError(fmt::format("{}: takes embeddings [n, d], labels [n] and proxies [C, d], got {}, {} and {}", loss,
                                 to_string(embeddings.shape()), to_string(labels.shape()), to_string(proxies.shape())));
  return matmul(unit_rows(embeddings), transpose(unit_rows(proxies), 0, 1));
}

}  // namespace

Tensor unit_rows(const Tensor& x) {
  if (x.rank() != 2) throw ShapeError("unit_rows: takes rows [n, d], got " + to_string(x.shape()));
  Tensor lengths = norm(x, 2, {1}, /*keepdim=*/true);
  std::vector<double> values = to_vector(lengths);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(values[i] > 0 && std::isfinite(values[i]))) throw ValueError(fmt::format("unit_rows: row {} is 0 or not finite", i));
  return x / lengths;
}

PairMasks pair_masks(const Tensor& labels) {
  if (labels.rank() != 1) throw ShapeError("pair_masks: labels must be a vector, they are " + to_string(labels.shape()));
  int64_t n = labels.size(0);
  Tensor above = triu_mask(n, n, 1), equal = equal_labels(labels);
  return {logical_and(above, equal), logical_and(above, logical_not(equal))};
}

Tensor contrastive_loss(const Tensor& s, const Tensor& labels, double positive_margin, double negative_margin) {
  check_similarity("contrastive_loss", s, labels);
  PairMasks pairs = pair_masks(labels);
  return mean_over(relu(positive_margin - s), pairs.same) + mean_over(relu(s - negative_margin), pairs.different);
}

Tensor multi_similarity_loss(const Tensor& s, const Tensor& labels, const MultiSimilarityOptions& o) {
  check_similarity("multi_similarity_loss", s, labels);
  Tensor equal = equal_labels(labels), positive = logical_and(equal, logical_not(diagonal_mask(labels.size(0)))),
         negative = logical_not(equal);
  {
    NoGrad off;  // which pairs count is decided without gradients
    Tensor x = s.detach();
    Tensor hardest_negative = amax(where(negative, x, kNothing), {1}, true),
           hardest_positive = amin(where(positive, x, -kNothing), {1}, true);
    positive = logical_and(positive, x - o.margin < hardest_negative);
    negative = logical_and(negative, x + o.margin > hardest_positive);
  }
  Tensor pull = log_one_plus((s - o.base) * -o.alpha, positive, 1) / o.alpha,
         push = log_one_plus((s - o.base) * o.beta, negative, 1) / o.beta;
  return mean(pull + push);
}

// AP_i = mean_{j ∈ P_i} R⁺_ij / R_ij with R_ij = 1 + Σ_{k ≠ i, j} σ((s_ik − s_ij) / τ), R⁺ the same over positives k.
Tensor smooth_ap_loss(const Tensor& s, const Tensor& labels, double temperature) {
  check_similarity("smooth_ap_loss", s, labels);
  if (!(temperature > 0)) throw ValueError(fmt::format("smooth_ap_loss: the temperature must be positive, it is {}", temperature));
  int64_t n = labels.size(0);
  Tensor self = diagonal_mask(n), other = to(logical_not(self), s.dtype());
  Tensor positive = to(equal_labels(labels), s.dtype()) * other;
  Tensor ahead = sigmoid((unsqueeze(s, 1) - unsqueeze(s, 2)) / temperature);  // [i, j, k]: how far k is before j
  Tensor counted = ahead * unsqueeze(other, 0) * unsqueeze(other, 1);         // k ≠ j, k ≠ i
  Tensor rank = sum(counted, {2}) + 1.0, among_positives = sum(counted * unsqueeze(positive, 1), {2}) + 1.0;
  Tensor count = sum(positive, {1}), has = to(count > 0, s.dtype());
  double anchors = sum(has).item();
  if (anchors == 0) return sum(s) * 0.0;
  Tensor precision = sum(among_positives / rank * positive, {1}) / clamp_min(count, 1);
  return 1.0 - sum(precision * has) / anchors;
}

Tensor proxy_anchor_loss(const Tensor& embeddings, const Tensor& labels, const Tensor& proxies, double alpha, double margin) {
  Tensor s = cosines("proxy_anchor_loss", embeddings, labels, proxies);
  Tensor positive = one_hot(labels, proxies.size(0)) > 0;
  Tensor pull = log_one_plus((s - margin) * -alpha, positive, 0), push = log_one_plus((s + margin) * alpha, logical_not(positive), 0);
  double present = sum(to(any(positive, {0}), f64)).item();
  return sum(pull) / std::max(present, 1.0) + mean(push);  // a proxy without positives pulls nothing: log 1
}

Tensor cosine_softmax_loss(const Tensor& embeddings, const Tensor& labels, const Tensor& proxies, double scale, double margin) {
  Tensor s = cosines("cosine_softmax_loss", embeddings, labels, proxies);
  if (margin != 0) s = s - to(one_hot(labels, proxies.size(0)), s.dtype()) * margin;
  return cross_entropy(s * scale, labels);
}

}  // namespace plumb::methods
