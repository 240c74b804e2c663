// Fully connected layers.
#pragma once
#include "models/nn/weight_layer.h"

namespace plumb::nn {

struct LinearOptions {
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// y = x · weightᵀ + bias over the last dimension: x [.., in] → [.., out]; weight [out, in], bias [out].
/// Starts as U(−1/√in, 1/√in), both. Throws ValueError unless the sizes are positive.
class Linear : public WeightLayer {
 public:
  Linear(int64_t in, int64_t out, LinearOptions options = {});
  Linear(Module* parent, std::string name, int64_t in, int64_t out, LinearOptions options = {}) : Linear(in, out, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;
};

}  // namespace plumb::nn
