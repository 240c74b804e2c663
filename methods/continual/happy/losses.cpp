// Happy's losses and how its head grows.
#include "methods/continual/happy/losses.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/continual_losses.h"
#include "methods/common/masked_contrastive.h"
#include "methods/common/two_views.h"
#include "models/cluster/kmeans.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::methods::happy {
namespace {

constexpr double kTiny = 1e-12;  // below it probabilities count as 0, which keeps logarithms and quotients finite

void require_vector(const char* op, const Tensor& p) {
  if (p.rank() != 1) throw ShapeError(fmt::format("{}: takes probabilities [K], got {}", op, to_string(p.shape())));
}

// Σ p log p
Tensor negative_entropy(const Tensor& p) { return sum(p * log(clamp_min(p, kTiny))); }

Tensor group_gap(const Tensor& group, const Tensor& mass) { return entropy_gap(group / clamp_min(mass, kTiny)); }

}  // namespace

Tensor entropy_gap(const Tensor& p) {
  require_vector("entropy_gap", p);
  return negative_entropy(p) + std::log(static_cast<double>(p.numel()));
}

Tensor SoftEntropy::total(const SoftEntropyWeights& w) const { return w.between * between + w.old * old + w.fresh * fresh; }

SoftEntropy soft_entropy(const Tensor& p, int64_t k_old) {
  require_vector("soft_entropy", p);
  if (k_old < 1 || k_old >= p.numel())
    throw ValueError(fmt::format("soft_entropy: {} old classes of {}; both old and new ones are needed", k_old, p.numel()));
  Tensor old = slice(p, 0, 0, k_old), fresh = slice(p, 0, k_old), p_old = sum(old), p_fresh = sum(fresh);
  return {entropy_gap(stack({p_old, p_fresh})), group_gap(old, p_old), group_gap(fresh, p_fresh)};
}

Tensor soft_entropy_regularizer(const Tensor& p, int64_t k_old, const SoftEntropyWeights& weights) {
  return soft_entropy(p, k_old).total(weights);
}

Tensor known_loss(const Tensor& logits, const Tensor& projected, const Tensor& labels, double teacher, const KnownOptions& o) {
  if (logits.rank() != 2 || projected.rank() != 2 || labels.rank() != 1 || logits.size(0) != 2 * labels.numel() ||
      projected.size(0) != logits.size(0))
    throw ShapeError(fmt::format("happy: logits {}, projections {} and labels {} must be [2B, K], [2B, D] and [B]",
                                 to_string(logits.shape()), to_string(projected.shape()), to_string(labels.shape())));
  Tensor both = cat({labels, labels}, 0), mean_p = mean(softmax(logits, 1, o.student), {0});
  Tensor unsupervised =
      self_distillation(logits, o.student, teacher) + o.entropy * entropy_gap(mean_p) + two_view_info_nce(projected, o.contrastive);
  Tensor supervised = cross_entropy(logits / o.student, both) + supervised_contrastive(projected, both, o.supervised_contrastive);
  return o.unsupervised * unsupervised + (1 - o.unsupervised) * supervised;
}

HappyTerms happy_terms(const StageOutputs& out, int64_t k_old, const HappyOptions& o) {
  HappyTerms terms;
  terms.self_distillation = self_distillation(out.logits, o.student, o.teacher);
  Tensor mean_p = mean(softmax(out.logits, 1, o.student), {0});
  terms.entropy = o.soft ? soft_entropy_regularizer(mean_p, k_old, o.entropy) : o.entropy.between * entropy_gap(mean_p);
  terms.contrastive = two_view_info_nce(out.projected, o.contrastive);
  if (o.prototypes != 0 && out.prototype_logits.defined())
    terms.prototypes = cross_entropy(out.prototype_logits / o.student, out.prototype_labels);
  // The mean over rows of a sum over features.
  if (o.distillation != 0 && out.previous.defined())
    terms.distillation =
        feature_distillation(normalize(out.features), normalize(out.previous)) * static_cast<double>(out.features.size(-1));
  return terms;
}

Tensor HappyTerms::total(const HappyOptions& o) const {
  Tensor loss = self_distillation + entropy + contrastive;
  if (prototypes.defined()) loss = loss + o.prototypes * prototypes;
  if (distillation.defined()) loss = loss + o.distillation * distillation;
  return loss;
}

// -- the head ----------------------------------------------------------------------------------------------------------------------------

void grow_head(nn::CosineLinear& head, const Tensor& rows) {
  if (rows.rank() != 2 || rows.size(1) != head.weight.size(1))
    throw ShapeError(fmt::format("happy: rows {} for a head {}", to_string(rows.shape()), to_string(head.weight.shape())));
  if (rows.size(0) < 1) throw ValueError("happy: there are no new classes");
  Tensor grown = cat({head.weight.detach(), to(rows.detach(), head.weight.dtype())}, 0);
  head.weight = grown.requires_grad_();
}

Tensor random_rows(int64_t k, int64_t width, Generator& generator) {
  NoGrad no_grad;
  return normalize(randn({k, width}, {.generator = &generator}));
}

Tensor clustered_rows(const nn::CosineLinear& head, const Tensor& features, int64_t k_new, Generator& generator) {
  int64_t k_old = head.weight.size(0), clusters = k_old + k_new;
  if (features.rank() != 2 || features.size(1) != head.weight.size(1))
    throw ShapeError(fmt::format("happy: features {} for a head {}", to_string(features.shape()), to_string(head.weight.shape())));
  if (k_new < 1) throw ValueError(fmt::format("happy: {} new classes", k_new));
  if (features.size(0) < clusters) throw ValueError(fmt::format("happy: {} examples for {} clusters", features.size(0), clusters));
  NoGrad no_grad;
  cluster::KMeans found = cluster::kmeans(normalize(to(features, f64)), clusters, {.generator = &generator});
  Tensor centres = normalize(found.centres);
  Tensor nearest = amax(matmul(centres, mT(normalize(to(head.weight.detach(), f64)))), {1});
  return to(index_select(centres, 0, slice(argsort(nearest), 0, 0, k_new)), head.weight.dtype());
}

}  // namespace plumb::methods::happy
