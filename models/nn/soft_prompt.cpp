// Prompt tuning, forward.
#include "models/nn/soft_prompt.h"

#include "models/nn/init.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::nn {

SoftPrompt::SoftPrompt(int64_t length, int64_t width, DType dtype) {
  if (length < 1 || width < 1)
    throw ValueError("soft_prompt: sizes must be positive, got [" + std::to_string(length) + ", " + std::to_string(width) + "]");
  register_parameter("weight", weight, empty({length, width}, dtype));
  init::normal(weight, 0, 0.02);
}

SoftPrompt::SoftPrompt(const Tensor& rows) {
  if (rows.rank() != 2 || rows.numel() == 0)
    throw ShapeError("soft_prompt: starts as rows [length, width], got " + to_string(rows.shape()));
  register_parameter("weight", weight, clone(rows.detach()));
}

Tensor SoftPrompt::operator()(const Tensor& x) const {
  if (x.rank() != 3 || x.size(2) != weight.size(1))
    throw ShapeError("soft_prompt: takes [B, T, " + std::to_string(weight.size(1)) + "], got " + to_string(x.shape()));
  return cat({expand(weight, {x.size(0), length(), weight.size(1)}), x}, 1);
}

}  // namespace plumb::nn
