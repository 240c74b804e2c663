// The second version of MHIM: instances left out at random are not lost, but summarised in a few tokens.
#pragma once
#include "engine/core/generator.h"
#include "models/nn/attention.h"
#include "models/nn/norm.h"

namespace plumb::methods::mhim_mil {

struct MergeOptions {
  int64_t tokens = 5;  ///< k
  double keep = 0.9;   ///< share of the instances that stay as they are
  int64_t heads = 8;
  double momentum = 0.9998;  ///< of the global queries
  double dropout = 0.1;      ///< of attention weights
};

/// Of instances [1, N, width] it keeps ⌊N keep⌋ drawn at random (one at least), ascending, and appends k tokens: multi-head cross-attention
/// of k global queries over the others, queries and instances normalised. In training mode the queries, which all bags share, then move:
/// q ← m q + (1 − m) tokens. Nothing is appended where nothing is left out.
class InstanceMerger : public nn::Module {
 public:
  /// Queries start uniform within ±√(6 / (768 + width)). Throws ValueError for tokens below 1, keep outside (0, 1], a momentum outside
  /// [0, 1], or heads that do not divide the width.
  InstanceMerger(int64_t width, const MergeOptions& options);
  Tensor operator()(const Tensor& instances, Generator& generator);
  /// The tokens alone, [1, k, width], of instances [1, M, width], M ≥ 1.
  Tensor merged(const Tensor& instances);

 private:
  MergeOptions options_;
  nn::LayerNorm norm_;
  nn::MultiheadAttention attention_;
  nn::Buffer queries_;
};

}  // namespace plumb::methods::mhim_mil
