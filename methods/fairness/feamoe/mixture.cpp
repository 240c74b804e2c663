// The mixture of logistic experts.
#include "methods/fairness/feamoe/mixture.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::feamoe {

MixtureOfLinearExperts::MixtureOfLinearExperts(int64_t inputs, int64_t experts) : TabularMoe({.inputs = inputs, .experts = experts}) {}

Tensor MixtureOfLinearExperts::weights() const { return squeeze(first.weight, 1); }

Tensor MixtureOfLinearExperts::predict(const Tensor& x) const { return squeeze(probabilities(x), 1); }

Tensor MixtureOfLinearExperts::gated_logit(const Tensor& x) const { return squeeze((*this)(x), 1); }

Tensor MixtureOfLinearExperts::recourse_distance(const Tensor& x, bool detach_gate) const {
  Tensor g = gates(x), lengths = norm(weights(), 2, {1});
  return sum((detach_gate ? g.detach() : g) * relu(-squeeze(expert_outputs(x), 2)) / clamp_min(lengths, 1e-12), {1});
}

Tensor MixtureOfLinearExperts::mean_shares(const Tensor& x) const { return mean(gates(x), {0}); }

std::vector<int64_t> MixtureOfLinearExperts::prune(const Tensor& x, double min_share) {
  if (!(min_share >= 0 && min_share < 1)) throw ValueError("feamoe: min_share must lie in [0, 1), it is " + decimal(min_share));
  NoGrad off;
  std::vector<double> share = to_vector(mean_shares(x));
  auto largest = std::max_element(share.begin(), share.end()) - share.begin();
  std::vector<int64_t> kept;
  for (size_t k = 0; k < share.size(); ++k)
    if (share[k] >= min_share || static_cast<std::ptrdiff_t>(k) == largest) kept.push_back(static_cast<int64_t>(k));
  if (kept.size() < share.size()) keep_experts(kept);
  return kept;
}

Tensor MixtureOfLinearExperts::shapley(const Tensor& x, const Tensor& background_mean) const {
  if (background_mean.shape() != Shape{config().inputs})
    throw ShapeError("feamoe: the background's mean " + to_string(background_mean.shape()) + " should be [" +
                     std::to_string(config().inputs) + "]");
  return matmul(gates(x), weights()) * (x - background_mean);
}

}  // namespace plumb::methods::feamoe
