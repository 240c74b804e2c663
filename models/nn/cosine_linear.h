// A classifier that compares directions.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

struct CosineLinearOptions {
  double scale = 30;
  DType dtype = f32;
  Device device = {};
};

/// y_c = scale · ⟨x, w_c⟩ / (‖x‖ ‖w_c‖): x [.., in] → [.., out]; weight [out, in] with random directions of length 1 at the start (the
/// normalised layer of LDAM, NeurIPS 2019). How long features and rows are does not matter, so frequent classes get no larger logits by
/// longer rows. Vectors of length 0 give 0. Throws ValueError unless the sizes and the scale are positive.
class CosineLinear : public Module {
 public:
  CosineLinear(int64_t in, int64_t out, CosineLinearOptions options = {});
  CosineLinear(Module* parent, std::string name, int64_t in, int64_t out, CosineLinearOptions options = {})
      : CosineLinear(in, out, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;
  double scale() const { return scale_; }

  Parameter weight;

 private:
  double scale_;
};

}  // namespace plumb::nn
