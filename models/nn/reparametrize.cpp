// Where weight and spectral normalisation start.
#include "models/nn/reparametrize.h"

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::nn {

Tensor norms_along(const Tensor& x, int dim) {
  NoGrad off;
  int kept = checked_dim("weight_norm", dim, x.rank());
  std::vector<int> others;
  for (int d = 0; d < x.rank(); ++d)
    if (d != kept) others.push_back(d);
  Tensor square = x * x;
  return sqrt(others.empty() ? square : sum(square, others, true));
}

Tensor first_direction(const Tensor& x, int dim) {
  NoGrad off;
  Tensor u = empty({x.size(dim)}, x.dtype(), x.device());
  init::normal(u);
  return u / sqrt(sum(u * u));
}

}  // namespace plumb::nn
