// The parameters of a model's low-rank adapters by their role, for training that treats them differently.
#pragma once
#include <string>
#include <vector>

#include "models/nn/low_rank.h"

namespace plumb::methods {

/// Handles of the parameters of adapters W + s · up · down, layer by layer in the model's order; `other` is what else requires a gradient:
/// magnitudes, biases, heads.
struct AdapterFactors {
  std::vector<Tensor> down, up, other;
  /// All of them: down, up, other.
  std::vector<Tensor> all() const;
};

/// Of the adapters called `name` (of all if it is empty). Throws ValueError if there are none.
AdapterFactors adapter_factors(const nn::Module& model, const std::string& name = "");
/// The adapters themselves, in the same order. Throws ValueError if there are none.
std::vector<nn::LowRankAdapter*> adapters_of(const nn::Module& model, const std::string& name = "");
/// Their changes s · up · down as matrices [size(0), rest], with a graph.
std::vector<Tensor> adapter_changes(const std::vector<nn::LowRankAdapter*>& adapters);

}  // namespace plumb::methods
