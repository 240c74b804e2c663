// The independently recurrent unit (Li et al., CVPR 2018): every hidden unit reads its own past alone, so steps cost a product less and
// gradients over time are powers of one number a unit.
#pragma once
#include "models/nn/linear.h"
#include "ops/recurrent.h"

namespace plumb::nn {

struct IndRNNOptions {
  RnnActivation activation = RnnActivation::relu;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// h' = relu(W x + b + u ⊙ h) (or tanh): x [B, inputs], h [B, hidden] (zeros if undefined) → [B, hidden]. W and b start as a Linear's, u as
/// U(0, 1). Throws ValueError for sizes that are not positive, ShapeError for an h of another shape.
class IndRNNCell : public Module {
 public:
  IndRNNCell(int64_t inputs, int64_t hidden, IndRNNOptions options = {});
  IndRNNCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, IndRNNOptions options = {})
      : IndRNNCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;

  Linear input;         ///< W and b
  Parameter recurrent;  ///< u [hidden]

 private:
  RnnActivation activation_;
};

}  // namespace plumb::nn
