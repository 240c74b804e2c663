// One round of dynamic sparse training: some weights of a layer leave its mask, and as many others join it.
#pragma once
#include <cstdint>
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::sparsity {

/// Which active weights go first.
enum class PruneRule : uint8_t {
  magnitude,  ///< smallest |w|
  set,        ///< half of them the smallest of w ≥ 0, half those of w < 0 nearest to 0 (Mocanu et al., Nature Communications 2018)
  taylor,     ///< smallest (w ∂L/∂w)²
};
/// Which inactive weights come.
enum class GrowthRule : uint8_t {
  random,    ///< all alike
  unfired,   ///< those that have not been active yet, alike; where there are too few, all of these and others
  gradient,  ///< largest |∂L/∂w| (Evci et al., ICML 2020)
  momentum,  ///< largest |momentum| (Dettmers & Zettlemoyer, 2019)
};
/// "magnitude", …; "random", …. Throw ConfigError for another name, naming all.
PruneRule prune_rule_named(const std::string& name);
GrowthRule growth_rule_named(const std::string& name);

struct Pruned {
  Tensor mask;
  int64_t removed = 0;
};
/// Takes ⌈rate · active⌉ weights out of the mask (bool, the weight's shape); of equals the lower place goes first. SET takes ⌈half⌉ of each
/// sign, or what there is. Taylor needs the gradient. Throws ValueError for a rate outside [0, 1] or a gradient that is missing,
/// ShapeError.
Pruned prune(const Tensor& mask, const Tensor& weight, double rate, PruneRule rule = PruneRule::magnitude, const Tensor& gradient = {});

/// What growth may look at, all of the weight's shape.
struct GrowthEvidence {
  Tensor score;   ///< gradient, momentum: the gradient, or momentum; its magnitude counts
  Tensor fired;   ///< unfired, bool: active at some time
  Tensor frozen;  ///< bool, may be undefined: of equal scores these come last
};
/// Puts `count` places into the mask. Equal scores: not frozen before frozen, then the lower place. Throws ValueError if fewer places are
/// free, or for evidence that the rule needs and is missing.
Tensor grow(const Tensor& mask, int64_t count, GrowthRule rule, const GrowthEvidence& evidence, Generator& generator = default_generator());

/// least + ½ (first − least)(1 + cos(π t / steps)), constant from `steps` on: the share of active weights that a round replaces.
/// Throws ValueError unless 0 ≤ least ≤ first ≤ 1 and steps ≥ 1.
double death_rate(int64_t step, int64_t steps, double first = 0.5, double least = 0.005);

}  // namespace plumb::sparsity
