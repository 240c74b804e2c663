// Which features of a row are seen, and which are to be predicted.
#pragma once
#include <utility>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::t_jepa {

/// Shares of a row's features. Sizes are between round(D · min) and round(D · max), halves to the even number.
struct MaskOptions {
  double context_min = 0.2, context_max = 0.5;
  double target_min = 0.15, target_max = 0.4;
  int64_t targets = 4;  ///< P, sets of targets for one context
};

/// Features by their number 0 … D − 1, in no particular order.
struct FeatureMasks {
  Tensor context;               ///< i64 [B, n_c]
  std::vector<Tensor> targets;  ///< P of i64 [B, n_t]
};

class FeatureMaskSampler {
 public:
  /// For rows of `features` features. Throws ValueError unless each min is below its max, both within [0, 1], both minima round to at least
  /// one feature and together to no more than all, and targets ≥ 1.
  FeatureMaskSampler(int64_t features, MaskOptions options);
  /// The sizes (n_c, n_t) of a batch: n = n_min + round((n_max − n_min) u), u ~ U(0, 1), drawn again until n_c + n_t ≤ D.
  std::pair<int64_t, int64_t> sizes(Generator& generator) const;
  /// Sizes once for all rows; then for each row n_c features uniformly, and P sets of n_t features, each drawn from all the others:
  /// targets may overlap one another, never the context.
  FeatureMasks sample(int64_t rows, Generator& generator) const;
  const MaskOptions& options() const { return options_; }

 private:
  int64_t features_;
  MaskOptions options_;
  int64_t context_min_, context_max_, target_min_, target_max_;
};

}  // namespace plumb::methods::t_jepa
