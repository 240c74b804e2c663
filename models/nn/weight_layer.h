// What linear and convolution layers have in common: a weight, perhaps a bias, and adapters that change the weight.
#pragma once
#include <optional>

#include "models/nn/low_rank.h"

namespace plumb::nn {

class WeightLayer : public Module {
 public:
  Parameter weight, bias;
  std::optional<AdapterSet> adapters;  ///< made by add_adapter

 protected:
  WeightLayer() = default;
  /// The weight as the active adapters change it.
  Tensor adapted_weight() const {
    return adapters && !adapters->original.defined() ? changed_weight() : static_cast<const Tensor&>(weight);
  }

 private:
  Tensor changed_weight() const;
};

}  // namespace plumb::nn
