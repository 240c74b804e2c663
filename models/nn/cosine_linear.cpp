// A classifier that compares directions.
#include "models/nn/cosine_linear.h"

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"

namespace plumb::nn {

CosineLinear::CosineLinear(int64_t in, int64_t out, CosineLinearOptions options) : scale_(options.scale) {
  if (in < 1 || out < 1) throw ValueError("cosine_linear: sizes must be positive, got " + std::to_string(in) + " → " + std::to_string(out));
  if (!(scale_ > 0)) throw ValueError("cosine_linear: the scale must be positive, it is " + decimal(scale_));
  Tensor directions = empty({out, in}, options.dtype, options.device);
  init::uniform(directions, -1, 1);
  NoGrad no_grad;
  register_parameter("weight", weight, normalize(directions));
}

Tensor CosineLinear::operator()(const Tensor& x) const { return linear(normalize(x), normalize(weight)) * scale_; }

}  // namespace plumb::nn
