// Bringing data to where a module computes.
#include "models/nn/placement.h"

#include "ops/shape.h"

namespace plumb::nn {

Device device_of(const Module& module) {
  std::vector<Tensor> parameters = module.parameters();
  return parameters.empty() ? cpu : parameters[0].device();
}

Tensor input_for(const Module& module, const Tensor& x) {
  std::vector<Tensor> parameters = module.parameters();
  if (parameters.empty()) return x;
  return to(is_floating(x.dtype()) ? to(x, parameters[0].dtype()) : x, parameters[0].device());
}

}  // namespace plumb::nn
