// The jitter, the losses, the schedules and the recall of composed retrieval.
#include "methods/representation/cir_uncertainty/cir_uncertainty.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/contrastive/dual_encoder.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::cir_uncertainty {
namespace {

constexpr double kPaperEpochs = 60, kWarmUp = 5, kFirstDrop = 35, kSecondDrop = 42;

void check_matrix(const char* op, const Tensor& t) {
  if (t.rank() != 2) throw ShapeError(fmt::format("{}: takes features [B, d], got {}", op, to_string(t.shape())));
}

void check_indices(const char* what, const Tensor& index, int64_t rows, int64_t columns) {
  if (index.rank() != 1 || index.size(0) != rows)
    throw ShapeError(fmt::format("recall_at_k: {} must be [{}], it is {}", what, rows, to_string(index.shape())));
  for (int64_t i : to_vector<int64_t>(index))
    if (i < 0 || i >= columns) throw IndexError(fmt::format("recall_at_k: {} {} is outside the gallery of {}", what, i, columns));
}

}  // namespace

Tensor nce(const Tensor& q, const Tensor& t, double label_smoothing) {
  if (q.rank() != 2 || q.shape() != t.shape())
    throw ShapeError(fmt::format("nce: takes queries and targets [B, d], got {} and {}", to_string(q.shape()), to_string(t.shape())));
  if (q.size(0) == 0) throw ValueError("nce: the batch is empty");
  return cross_entropy(matmul(q, mT(t)), arange(q.size(0), i64), {.label_smoothing = label_smoothing});
}

Tensor row_norm(const Tensor& t) {
  check_matrix("row_norm", t);
  return layer_norm(t, {t.size(1)});
}

JitterSample FeatureJitter::sample(const Tensor& t, const Tensor& for_alpha, const Tensor& for_beta) const {
  check_matrix("feature_jitter", t);
  if (t.size(1) < 2) throw ValueError(fmt::format("feature_jitter: rows of {} channel have no standard deviation", t.size(1)));
  for (double scale : {alpha_scale, beta_scale, deviation_scale, renormalize})
    if (!(scale >= 0 && std::isfinite(scale)))
      throw ValueError(fmt::format("feature_jitter: scales must not be negative, one is {}", scale));
  if (for_alpha.shape() != t.shape() || for_beta.shape() != t.shape())
    throw ShapeError(fmt::format("feature_jitter: noise {} and {} for features {}", to_string(for_alpha.shape()),
                                 to_string(for_beta.shape()), to_string(t.shape())));
  NoGrad off;
  Tensor plain = t.detach(), m = mean(plain, {1}, true), s = std_dev(plain, {1}, 1, true) * deviation_scale;
  return {(s * for_alpha + 1) * alpha_scale, (m + s * for_beta) * beta_scale};
}

JitterSample FeatureJitter::sample(const Tensor& t, Generator& generator) const {
  NoGrad off;
  Tensor for_alpha = randn_like(t, &generator);
  return sample(t, for_alpha, randn_like(t, &generator));
}

Tensor FeatureJitter::with(const Tensor& t, const JitterSample& s) const {
  Tensor a = s.alpha * row_norm(t) + s.beta;
  return renormalize > 0 ? normalize(a) * renormalize : a;
}

Tensor uncertainty_loss(const Tensor& q, const Tensor& a) {
  Tensor contrast = nce(q, a), s = std_dev(a);
  return (exp(-s) * contrast + s) * 0.5;
}

double CoarseToFineWeight::at(int64_t epoch) const {
  if (!(gamma0 >= 0) || total < 1)
    throw ValueError(
        fmt::format("coarse_to_fine_weight: gamma0 must not be negative and total at least 1, they are {} and {}", gamma0, total));
  if (epoch < 0 || epoch > total) throw ValueError(fmt::format("coarse_to_fine_weight: epoch {} is outside [0, {}]", epoch, total));
  return std::exp(-gamma0 * static_cast<double>(epoch) / static_cast<double>(total));
}

Tensor mgur_loss(const Tensor& q, const Tensor& t, const Tensor& a, double gamma) {
  if (!(gamma >= 0 && gamma <= 1)) throw ValueError(fmt::format("mgur_loss: gamma must lie in [0, 1], it is {}", gamma));
  if (gamma == 1) return uncertainty_loss(q, a);
  Tensor fine = nce(q, t) * (1 - gamma);
  return gamma == 0 ? fine : uncertainty_loss(q, a) * gamma + fine;
}

Tensor mgur_loss(const Tensor& q, const Tensor& t, int64_t epoch, const CoarseToFineWeight& weight, const FeatureJitter& jitter,
                 Generator& generator) {
  return mgur_loss(q, t, jitter.apply(t, generator), weight.at(epoch));
}

std::vector<double> recall_at_k(const Tensor& similarity, const Tensor& target, const Tensor& exclude, const std::vector<int64_t>& ks) {
  check_matrix("recall_at_k", similarity);
  const int64_t queries = similarity.size(0), gallery = similarity.size(1);
  if (queries == 0) throw ValueError("recall_at_k: there are no queries");
  check_indices("target", target, queries, gallery);
  for (int64_t k : ks)
    if (k < 1 || k > gallery) throw ValueError(fmt::format("recall_at_k: k must lie in [1, {}], the gallery, it is {}", gallery, k));
  NoGrad off;
  Tensor scores = similarity.detach();
  if (exclude.defined()) {
    check_indices("exclude", exclude, queries, gallery);
    std::vector<int64_t> truth = to_vector<int64_t>(target), out = to_vector<int64_t>(exclude);
    for (size_t i = 0; i < truth.size(); ++i)
      if (truth[i] == out[i]) throw ValueError(fmt::format("recall_at_k: the target of query {} is its reference, {}", i, truth[i]));
    scores = scatter(scores, 1, unsqueeze(exclude, 1), -INFINITY);
  }
  std::vector<double> recall;
  for (int64_t k : ks) recall.push_back(contrastive::recall_at(scores, k, target));
  return recall;
}

double learning_rate_at(int64_t epoch, int64_t total) {
  if (total < 1) throw ValueError(fmt::format("learning_rate_at: total must be at least 1, it is {}", total));
  double e = static_cast<double>(epoch) * kPaperEpochs / static_cast<double>(total);
  if (e < kWarmUp) return 0.01 + 0.99 * e / kWarmUp;
  return e < kFirstDrop ? 1 : e < kSecondDrop ? 0.1 : 0.01;
}

}  // namespace plumb::methods::cir_uncertainty
