// What a network's weights are like, and what is done to them from outside: diagnostics and controls of Weight Compander.
#pragma once
#include <array>

#include "models/nn/module.h"

namespace plumb::methods::weight_compander {

constexpr int kWeightBins = 40;  // of w/s in [−4, 4]; what lies beyond counts in the outermost ones

/// Of all weights of linear and convolution layers, s = √(2 / fan-in) of each layer.
struct WeightStats {
  double largest = 0;    ///< max |w| / s
  double near_zero = 0;  ///< share with |w| < 0.1 · the standard deviation of its layer's weights
  double democracy = 0;  ///< mean over neurons of −Σ p ln p / ln n, p = |w_i| / Σ |w_i| over its n inputs: 1 if all weigh the same
  std::array<double, kWeightBins> histogram{};  ///< shares of w/s
};
/// Of weights as they are used: of a companded model, those that were computed last. Throws ValueError for a model without such layers.
WeightStats weight_statistics(const nn::Module& model);

/// |w| ≤ limit · s: what the bound of Weight Compander does alone. After every step. Throws ValueError for weights that are computed from
/// others, or unless limit > 0; so does the next, unless 0 ≤ share ≤ 1.
void clip_weights(nn::Module& model, double limit);
/// The ⌊share · n⌋ largest of |w| in each layer become 0: how much hangs on few weights.
void zero_largest(nn::Module& model, double share);

}  // namespace plumb::methods::weight_compander
