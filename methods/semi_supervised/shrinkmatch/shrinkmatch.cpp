// ShrinkMatch.
#include "methods/semi_supervised/shrinkmatch/shrinkmatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::shrinkmatch {
namespace {

void check(const Tensor& probabilities, double threshold) {
  if (!(threshold > 0 && threshold <= 1))
    throw ValueError(fmt::format("shrink_plan: the threshold must lie in (0, 1], it is {}", threshold));
  check_probabilities("shrink_plan", probabilities);
}

// The first c in 2 … K − 1 for which the largest class is sure enough over ranks 0, c, …, K − 1; K − 1 if none. `p` is sorted, largest
// first. Sums run from the tail, so that conf(c) never falls with c in arithmetic either.
int64_t first_kept(const std::vector<double>& p, double threshold, bool& reached) {
  auto classes = static_cast<int64_t>(p.size());
  std::vector<double> tail(p.size() + 1);
  for (size_t r = p.size(); r-- > 0;) tail[r] = tail[r + 1] + p[r];
  for (int64_t c = 2; c < classes; ++c) {
    reached = p[0] >= threshold * (p[0] + tail[static_cast<size_t>(c)]);
    if (reached || c == classes - 1) return c;
  }
  return 1;
}

std::vector<size_t> falling(const double* p, size_t classes) {
  std::vector<size_t> order(classes);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [p](size_t a, size_t b) { return p[a] > p[b]; });
  return order;
}

}  // namespace

ShrinkPlan shrink_plan(const Tensor& probabilities, double threshold) {
  check(probabilities, threshold);
  auto rows = static_cast<size_t>(probabilities.size(0)), classes = static_cast<size_t>(probabilities.size(1));
  auto p = to_vector<double>(probabilities);
  if (probabilities.dtype() != f64) threshold = static_cast<double>(static_cast<float>(threshold));  // so that 0.95 is not below 0.95
  Tensor keep = ones({probabilities.size(0), probabilities.size(1)}, boolean), certain = zeros({probabilities.size(0)}, boolean),
         reached = zeros({probabilities.size(0)}, boolean);
  std::vector<int64_t> top(rows), rank(rows, 1);
  std::vector<double> weight(rows);
  for (size_t j = 0; j < rows; ++j) {
    const double* row = p.data() + j * classes;
    auto order = falling(row, classes);
    top[j] = static_cast<int64_t>(order[0]);
    certain.data<bool>()[j] = row[order[0]] >= threshold;
    if (certain.data<bool>()[j]) continue;
    std::vector<double> sorted;
    for (size_t k : order) sorted.push_back(row[k]);
    bool enough = false;
    rank[j] = first_kept(sorted, threshold, enough);
    for (int64_t r = 1; r < rank[j]; ++r) keep.data<bool>()[j * classes + order[static_cast<size_t>(r)]] = false;
    reached.data<bool>()[j] = enough;
    weight[j] = enough ? sorted[0] : 0;
  }
  return {keep, from_vector(top), to(from_vector(weight), probabilities.dtype()), from_vector(rank), reached, certain};
}

ShrinkPlan full_space_plan(const Tensor& probabilities, double threshold) {
  check(probabilities, threshold);
  NoGrad no_grad;
  auto [confidence, top] = max(probabilities.detach(), 1);
  Tensor certain = confidence >= threshold;
  Tensor ranks = ones({probabilities.size(0)}, i64);
  return {ones({probabilities.size(0), probabilities.size(1)}, boolean),
          top,
          masked_fill(confidence, certain, 0),
          ranks,
          logical_not(certain),
          certain};
}

Tensor subset_cross_entropy(const Tensor& logits, const Tensor& keep, const Tensor& target, const Tensor& weight, double denominator) {
  if (logits.rank() != 2 || keep.shape() != logits.shape())
    throw ShapeError(
        fmt::format("subset_cross_entropy: logits {} with kept classes {}", to_string(logits.shape()), to_string(keep.shape())));
  return weighted_cross_entropy(masked_fill(logits, logical_not(keep), -1e9), target, weight, denominator);
}

ShrinkMatchTerms shrinkmatch_loss(const Tensor& labelled, const Tensor& labels, const Tensor& probabilities, const Tensor& strong,
                                  const Tensor& auxiliary, ScalarEma& progress, const ShrinkMatchOptions& o) {
  if (strong.shape() != probabilities.shape() || auxiliary.shape() != probabilities.shape())
    throw ShapeError(fmt::format("shrinkmatch: probabilities {}, strong logits {}, auxiliary logits {}", to_string(probabilities.shape()),
                                 to_string(strong.shape()), to_string(auxiliary.shape())));
  ShrinkPlan plan = o.shrink ? shrink_plan(probabilities, o.threshold) : full_space_plan(probabilities, o.threshold);
  auto rows = static_cast<double>(std::max<int64_t>(1, probabilities.size(0)));
  Tensor mask = to(plan.certain, probabilities.dtype());
  Tensor weight = o.sample_weight ? plan.weight : to(plan.weight > 0, plan.weight.dtype());
  ShrinkMatchTerms t;
  t.supervised = cross_entropy(labelled, labels);
  t.certain = weighted_cross_entropy(strong, o.hard ? plan.top : probabilities.detach(), mask, rows);
  t.shrink = subset_cross_entropy(auxiliary, plan.keep, plan.top, weight, rows);
  t.certain_ratio = sum(mask).item() / rows;
  t.progress = o.progress_weight ? progress.update(t.certain_ratio) : 1;
  t.total = t.supervised + o.lambda * (t.certain + t.progress * t.shrink);
  t.weight = mask + weight;
  t.uncertain_weight = weight;
  double used = 0, removed = 0;
  auto w = to_vector(weight);
  auto rank = to_vector<int64_t>(plan.first_kept_rank);
  for (size_t j = 0; j < w.size(); ++j)
    if (w[j] > 0) ++used, removed += static_cast<double>(rank[j] - 1);
  t.mean_removed = used > 0 ? removed / used : 0;
  return t;
}

AuxHead::AuxHead(int64_t features, int64_t classes)
    : fc1(this, "fc1", features, features / 4),
      bn1(this, "bn1", features / 4),
      fc2(this, "fc2", features / 4, features / 4),
      bn2(this, "bn2", features / 4),
      fc3(this, "fc3", features / 4, classes) {}

Tensor AuxHead::operator()(const Tensor& features) const { return fc3(leaky_relu(bn2(fc2(leaky_relu(bn1(fc1(features)), 0.1))), 0.1)); }

SemiStep ShrinkMatch::step(const SemiParts& logits, const Tensor& auxiliary, const SemiBatch& batch) {
  Tensor p = weak_probabilities(logits.weak, aligner_);
  terms_ = shrinkmatch_loss(logits.labelled, batch.labels, p, logits.strong.at(0), auxiliary, progress_, options_);
  return {terms_.total, terms_.weight, pseudo_labels(p).label, terms_.certain_ratio};
}

}  // namespace plumb::methods::shrinkmatch
