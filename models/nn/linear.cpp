// Fully connected layers.
#include "models/nn/linear.h"

#include <algorithm>
#include <cmath>

#include "models/nn/init.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"

namespace plumb::nn {

Linear::Linear(int64_t in, int64_t out, LinearOptions options) {
  if (in < 1 || out < 1) throw ValueError("linear: sizes must be positive, got " + std::to_string(in) + " → " + std::to_string(out));
  double bound = 1 / std::sqrt(static_cast<double>(in));
  register_parameter("weight", weight, empty({out, in}, options.dtype, options.device));
  init::uniform(weight, -bound, bound);
  if (!options.bias) return;
  register_parameter("bias", bias, empty({out}, options.dtype, options.device));
  init::uniform(bias, -bound, bound);
}

Tensor Linear::operator()(const Tensor& x) const {
  if (!adapters || adapters->original.defined()) return linear(x, weight, bias);
  auto needs_weight = [](const LowRankAdapter& a) { return a.active && a.has_magnitude(); };
  if (std::any_of(adapters->begin(), adapters->end(), needs_weight)) {
    for (const LowRankAdapter& a : *adapters)
      if (training() && a.active && a.has_dropout())
        throw ValueError("linear: the adapter \"" + a.name() +
                         "\" drops out, which it cannot beside one with magnitudes; choose one of them by use_adapters");
    return linear(x, adapted_weight(), bias);
  }
  Tensor y = linear(x, weight, bias);  // the low-rank path beside the weight is cheaper than a changed weight
  for (const LowRankAdapter& adapter : *adapters)
    if (adapter.active) y = y + adapter.beside(x);
  return y;
}

}  // namespace plumb::nn
