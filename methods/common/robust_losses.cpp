// Losses for noisy labels: margins of scores, and functions of log p.
#include "methods/common/robust_losses.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/noisy_label_losses.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

Tensor column(const Tensor& labels) { return unsqueeze(labels, 1); }
// [B]: the label's entry of each row.
Tensor at_label(const Tensor& x, const Tensor& labels) { return squeeze(gather(x, 1, column(labels)), 1); }
// log p_y, [B].
Tensor log_truth(const Tensor& logits, const Tensor& labels) { return -cross_entropy(logits, labels, {.reduction = Reduction::none}); }
// 1 − p_y without loss where p_y is near 1.
Tensor missing(const Tensor& log_p) { return -expm1(log_p); }

// c 1[k ≠ y] + f_k − f_y, [B, K].
Tensor violations(const char* op, const Tensor& scores, const Tensor& labels, double margin) {
  check_class_scores(op, scores, labels);
  if (!(margin >= 0)) throw ValueError(fmt::format("{}: the margin must not be negative, it is {}", op, margin));
  Tensor elsewhere = to(one_hot(labels, scores.size(1)) == 0, scores.dtype());
  return scores - gather(scores, 1, column(labels)) + margin * elsewhere;
}

void check_asymmetric(const char* op, const AsymmetricOptions& o, double least) {
  if (!(o.a > least && o.q > 0))
    throw ValueError(fmt::format("{}: a must be above {} and q above 0, they are {} and {}", op, least, o.a, o.q));
}

void check_active(double v) {
  if (!(v >= 0 && v <= 10)) throw ValueError(fmt::format("robust_losses: the active part's weight must lie in [0, 10], it is {}", v));
}

std::vector<RobustLoss> make_losses() {
  using T = const Tensor&;
  return {
      {"ce", "cross-entropy", "", 0, {}, [](T z, T y, double) { return cross_entropy(z, y); }},
      {"crammer-singer", "max_k (c 1[k ≠ y] + f_k − f_y)", "c", 1, {0.1, 1, 10}, crammer_singer_loss},
      {"weston-watkins", "mean_k max(0, c 1[k ≠ y] + f_k − f_y)", "c", 1, {0.1, 1, 10}, weston_watkins_loss},
      {"gce", "(1 − p_y^q) / q", "q", 0.7, {0.05, 0.7, 0.95}, generalized_cross_entropy},
      {"sce",
       "(1 − b) CE + 4 b (1 − p_y)",
       "b",
       0.5,
       {0.05, 0.5, 0.95},
       [](T z, T y, double b) { return symmetric_cross_entropy(z, y, {.alpha = 1 - b, .beta = b}); }},
      {"mae", "1 − p_y", "", 0, {}, [](T z, T y, double) { return absolute_error(z, y); }},
      {"mse", "Σ_k (1[k = y] − p_k)²", "", 0, {}, [](T z, T y, double) { return probability_mse(z, y); }},
      {"nce", "log p_y / Σ_k log p_k", "", 0, {}, [](T z, T y, double) { return normalized_cross_entropy(z, y); }},
      {"rce", "−log(10⁻⁴) (1 − p_y)", "", 0, {}, [](T z, T y, double) { return reverse_cross_entropy(z, y); }},
      {"aul",
       "((a − p_y)^1.5 − (a − 1)^1.5) / 1.5",
       "a",
       6,
       {2, 6, 10},
       [](T z, T y, double a) {
         return asymmetric_unhinged_loss(z, y, {a, 1.5});
       }},
      {"agce",
       "((a + 1)^1.5 − (a + p_y)^1.5) / 1.5",
       "a",
       3,
       {1, 3, 6},
       [](T z, T y, double a) {
         return asymmetric_generalized_loss(z, y, {a, 1.5});
       }},
      {"js", "generalised Jensen–Shannon divergence of label and prediction", "π₁", 0.5, {0.1, 0.5, 0.9}, generalized_js_loss},
      {"rll", "−log(t + p_y) + mean_{k ≠ y} log(t + p_k)", "t", 0.1, {0.01, 0.1, 1}, robust_log_loss},
      {"nce-rce", "v NCE + (10 − v) RCE", "v", 5, {0.1, 5, 9.9}, nce_and_rce},
      {"nce-aul", "v NCE + (10 − v) AUL, a = 6", "v", 5, {0.1, 5, 9.9}, nce_and_aul},
      {"nce-agce", "v NCE + (10 − v) AGCE, a = 3", "v", 5, {0.1, 5, 9.9}, nce_and_agce},
  };
}

}  // namespace

void check_class_scores(const char* op, const Tensor& scores, const Tensor& labels) {
  if (scores.rank() != 2 || labels.rank() != 1 || labels.size(0) != scores.size(0))
    throw ShapeError(fmt::format("{}: scores must be [B, K] and labels [B], they are {} and {}", op, to_string(scores.shape()),
                                 to_string(labels.shape())));
  int64_t classes = scores.size(1);
  if (classes < 2) throw ValueError(fmt::format("{}: {} classes; at least 2 are needed", op, classes));
  for (int64_t y : to_vector<int64_t>(labels))
    if (y < 0 || y >= classes) throw IndexError(fmt::format("{}: label {} is outside [0, {})", op, y, classes));
}

Tensor crammer_singer_loss(const Tensor& scores, const Tensor& labels, double margin) {
  return mean(amax(violations("crammer_singer_loss", scores, labels, margin), {1}));
}

Tensor weston_watkins_loss(const Tensor& scores, const Tensor& labels, double margin) {
  return mean(relu(violations("weston_watkins_loss", scores, labels, margin)));
}

Tensor probability_mse(const Tensor& logits, const Tensor& labels) {
  check_class_scores("probability_mse", logits, labels);
  Tensor p = softmax(logits, 1);
  return mean(sum(square(p), {1}) - 2 * at_label(p, labels)) + 1;
}

Tensor normalized_cross_entropy(const Tensor& logits, const Tensor& labels) {
  check_class_scores("normalized_cross_entropy", logits, labels);
  Tensor log_p = log_softmax(logits, 1);
  return mean(at_label(log_p, labels) / sum(log_p, {1}));
}

Tensor reverse_cross_entropy(const Tensor& logits, const Tensor& labels, double zero) {
  check_class_scores("reverse_cross_entropy", logits, labels);
  if (!(zero > 0 && zero < 1)) throw ValueError(fmt::format("reverse_cross_entropy: what 0 counts as must lie in (0, 1), it is {}", zero));
  return -std::log(zero) * mean(missing(log_truth(logits, labels)));
}

Tensor asymmetric_unhinged_loss(const Tensor& logits, const Tensor& labels, AsymmetricOptions o) {
  check_class_scores("asymmetric_unhinged_loss", logits, labels);
  check_asymmetric("asymmetric_unhinged_loss", o, 1);
  return mean(pow(o.a - 1 + missing(log_truth(logits, labels)), o.q) - std::pow(o.a - 1, o.q)) / o.q;
}

Tensor asymmetric_generalized_loss(const Tensor& logits, const Tensor& labels, AsymmetricOptions o) {
  check_class_scores("asymmetric_generalized_loss", logits, labels);
  check_asymmetric("asymmetric_generalized_loss", o, 0);
  return mean(std::pow(o.a + 1, o.q) - pow(o.a + exp(log_truth(logits, labels)), o.q)) / o.q;
}

Tensor generalized_js_loss(const Tensor& logits, const Tensor& labels, double first) {
  check_class_scores("generalized_js_loss", logits, labels);
  if (!(first > 0 && first < 1))
    throw ValueError(fmt::format("generalized_js_loss: the label's weight must lie in (0, 1), it is {}", first));
  double second = 1 - first, scale = -1 / (second * std::log1p(-first));
  Tensor log_p = log_truth(logits, labels), p = exp(log_p), log_m = log(first + second * p);
  Tensor label = -first * log_m;
  Tensor prediction = (second * -std::log(second)) * missing(log_p) + second * p * (log_p - log_m);
  return scale * mean(label + prediction);
}

Tensor robust_log_loss(const Tensor& logits, const Tensor& labels, double shift) {
  check_class_scores("robust_log_loss", logits, labels);
  if (!(shift > 0)) throw ValueError(fmt::format("robust_log_loss: the shift must be above 0, it is {}", shift));
  Tensor shifted = log(shift + softmax(logits, 1)), own = at_label(shifted, labels);
  double others = static_cast<double>(logits.size(1) - 1);
  return mean((sum(shifted, {1}) - own) / others - own);
}

Tensor nce_and_rce(const Tensor& logits, const Tensor& labels, double active) {
  check_active(active);
  return active * normalized_cross_entropy(logits, labels) + (10 - active) * reverse_cross_entropy(logits, labels);
}

Tensor nce_and_aul(const Tensor& logits, const Tensor& labels, double active) {
  check_active(active);
  return active * normalized_cross_entropy(logits, labels) + (10 - active) * asymmetric_unhinged_loss(logits, labels);
}

Tensor nce_and_agce(const Tensor& logits, const Tensor& labels, double active) {
  check_active(active);
  return active * normalized_cross_entropy(logits, labels) + (10 - active) * asymmetric_generalized_loss(logits, labels);
}

TruncatedGce::TruncatedGce(int64_t samples, double q, double k) : q_(q), k_(k) {
  if (samples < 1) throw ValueError(fmt::format("truncated_gce: {} samples", samples));
  if (!(q > 0 && q <= 1)) throw ValueError(fmt::format("truncated_gce: q must lie in (0, 1], it is {}", q));
  if (!(k >= 0 && k < 1)) throw ValueError(fmt::format("truncated_gce: the threshold must lie in [0, 1), it is {}", k));
  weights_ = ones({samples});
}

void TruncatedGce::refresh(const Tensor& logits, const Tensor& labels, const Tensor& index) {
  check_class_scores("truncated_gce", logits, labels);
  NoGrad no_grad;
  Tensor kept = to(exp(log_truth(logits, labels)) > k_, f32);
  weights_ = index_copy(weights_, 0, index, kept);
}

Tensor TruncatedGce::operator()(const Tensor& logits, const Tensor& labels, const Tensor& index) const {
  check_class_scores("truncated_gce", logits, labels);
  Tensor weight = to(index_select(weights_, 0, index), logits.dtype());
  return mean(weight * expm1(q_ * log_truth(logits, labels))) * (-1 / q_);
}

std::span<const RobustLoss> robust_losses() {
  static const std::vector<RobustLoss> all = make_losses();
  return all;
}

const RobustLoss& find_robust_loss(std::string_view name) {
  std::string names;
  for (const RobustLoss& loss : robust_losses()) {
    if (name == loss.name) return loss;
    names += (names.empty() ? "" : ", ") + std::string(loss.name);
  }
  throw ValueError(fmt::format("robust_losses: there is no loss \"{}\"; there are {}", name, names));
}

}  // namespace plumb::methods
