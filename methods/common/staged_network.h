// A classifier as functions that follow each other, so that training can reach between them: what Manifold Mixup and AdaMixUp need.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// examples → hidden values → … → features → logits. The last function is the classifier's head, and an only one all of it. The functions
/// refer to the network, which must outlive this.
struct StagedNetwork {
  std::vector<std::function<Tensor(const Tensor&)>> stages;

  /// What stages from, …, to − 1 make of x. Throws ValueError without stages, IndexError unless 0 ≤ from ≤ to ≤ stages.
  Tensor run(const Tensor& x, size_t from, size_t to) const;
  /// The logits of examples.
  Tensor operator()(const Tensor& x) const { return run(x, 0, stages.size()); }
  /// What the head reads. Throws ValueError for a network of one stage.
  Tensor features(const Tensor& x) const;
  Tensor head(const Tensor& features) const { return run(features, stages.size() - 1, stages.size()); }
};

/// Of a network with stage_count(), stage(k, x) and head(features).
template <typename Network>
StagedNetwork staged(const Network& network) {
  StagedNetwork out;
  for (size_t k = 0; k < network.stage_count(); ++k) out.stages.push_back([&network, k](const Tensor& x) { return network.stage(k, x); });
  out.stages.push_back([&network](const Tensor& x) { return network.head(x); });
  return out;
}

}  // namespace plumb::methods
