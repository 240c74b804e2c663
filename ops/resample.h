// How operations read windows of images: maps along one dimension, and the linear operation that two of them make. For operations only.
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "ops/kernels/resample.h"

namespace plumb::detail {

/// Builds an AxisMap output by output.
class AxisMapBuilder {
 public:
  explicit AxisMapBuilder(int64_t inputs) : inputs_(inputs) {}
  /// The output under construction also reads `index` times `weight`.
  void read(int64_t index, double weight = 1) {
    entries_.index.push_back(index);
    entries_.weight.push_back(weight);
  }
  void finish_output() { entries_.offset.push_back(static_cast<int64_t>(entries_.index.size())); }
  /// Elsewhere than on the CPU, the same map as the last time it was built with these entries: a training step copies it once, not at every
  /// step.
  AxisMap build(Device device) const;

 private:
  int64_t inputs_;
  AxisEntries entries_;
};

/// The map whose matrix is the transpose.
AxisMap transposed_map(const AxisMap& m);
/// How many places each output reads.
std::vector<int64_t> counts(const AxisMap& m);

/// x [.., H, W] as the kernels of windows take it, without gaps: [planes, H, W], or [n, H, W, C] if the channels of a place lie
/// `side_by_side`.
bool side_by_side(const Tensor& x);
Tensor as_planes(const Tensor& x, bool side_by_side);

/// R x Cᵀ over the last two dimensions of x, differentiable. `op` names the node.
Tensor resample(const char* op, const Tensor& x, const AxisMap& rows, const AxisMap& columns);

/// x [.., H, W] of rank dims + 1 or dims + 2 (1-D: without H) as a tensor of rank ≥ 3 with both; `without` undoes it for a result.
Tensor with_height(const char* op, const Tensor& x, int dims);
Tensor without_height(const Tensor& y, int dims);

}  // namespace plumb::detail
