// The Kabsch algorithm.
#include "methods/common/procrustes.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

Tensor centred(const Tensor& x) { return x - mean(x, {0}, true); }

}  // namespace

Tensor cross_scatter(const Tensor& x, const Tensor& y) {
  if (x.rank() != 2 || x.shape() != y.shape() || x.numel() == 0)
    throw ShapeError("procrustes: takes two matrices [n, D] of one shape, got " + to_string(x.shape()) + " and " + to_string(y.shape()));
  return matmul(mT(centred(x)), centred(y));
}

Tensor kabsch_rotation(const Tensor& x, const Tensor& y) {
  NoGrad off;
  Svd s = svd(cross_scatter(to(x, f64), to(y, f64)));
  double sign = slogdet(matmul(mT(s.vh), mT(s.u))).sign.item();
  Tensor flips = ones_like(s.s);
  flips = slice_assign(flips, full({1}, sign < 0 ? -1.0 : 1.0, f64, x.device()), 0, -1);
  return to(matmul(mT(s.vh) * flips, mT(s.u)), x.dtype());
}

Tensor procrustes_align(const Tensor& x, const Tensor& y) { return matmul(centred(x), mT(kabsch_rotation(x, y))) + mean(y, {0}, true); }

}  // namespace plumb::methods
