// Experts, forward.
#include "models/moe/experts.h"

#include <cmath>
#include <string>

#include "models/nn/init.h"
#include "ops/grouped_matmul.h"
#include "ops/pointwise.h"

namespace plumb::moe {

GroupedLinear::GroupedLinear(int64_t experts, int64_t in, int64_t out, bool with_bias) {
  if (experts < 1 || in < 1 || out < 1)
    throw ValueError("grouped linear: sizes must be positive, got " + std::to_string(experts) + " times " + std::to_string(in) + " → " +
                     std::to_string(out));
  double bound = 1 / std::sqrt(static_cast<double>(in));
  register_parameter("weight", weight, empty({experts, out, in}));
  nn::init::uniform(weight, -bound, bound);
  if (!with_bias) return;
  register_parameter("bias", bias, empty({experts, out}));
  nn::init::uniform(bias, -bound, bound);
}

Tensor GroupedLinear::operator()(const Tensor& rows, const Tensor& offsets) const { return grouped_linear(rows, weight, bias, offsets); }

Experts::Experts(int64_t experts, int64_t width, int64_t inner, ExpertsOptions o)
    : up(experts, width, inner, o.bias), down(experts, inner, width, o.bias), activation_(o.activation) {
  if (o.gated) register_module("gate", gate.emplace(experts, width, inner, o.bias));
  register_module("up", up);
  register_module("down", down);
}

Tensor Experts::operator()(const Tensor& rows, const Tensor& offsets) const {
  Tensor inner =
      gate ? nn::activate(activation_, (*gate)(rows, offsets)) * up(rows, offsets) : nn::activate(activation_, up(rows, offsets));
  return down(inner, offsets);
}

}  // namespace plumb::moe
