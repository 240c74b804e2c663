// Losses of prototypes.
#include "methods/representation/proto_eval/prototype_losses.h"

#include <fmt/format.h>

#include <limits>

#include "methods/representation/proto_eval/prototype_layer.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::proto_eval {

Tensor cluster_loss(const Tensor& nearness, const Tensor& labels, int64_t per_class) {
  return -mean(max(own_class(nearness, labels, per_class), 1).values);
}

Tensor separation_loss(const Tensor& nearness, const Tensor& labels, int64_t per_class) {
  own_class(nearness, labels, per_class);  // its errors
  int64_t m = nearness.size(1);
  if (m == per_class) throw ValueError("proto_eval: a separation from other classes, but there is one class only");
  Tensor of = floor_divide(arange(m, i64), full({1}, per_class, i64));
  Tensor own = unsqueeze(labels, 1) == unsqueeze(of, 0);
  return -mean(max(masked_fill(nearness, own, -std::numeric_limits<double>::infinity()), 1).values);
}

Tensor orthogonality_loss(const Tensor& prototypes, int64_t per_class) {
  if (prototypes.rank() != 2 || per_class < 1 || prototypes.size(0) % per_class != 0)
    throw ShapeError(fmt::format("proto_eval: prototypes {} with {} a class", to_string(prototypes.shape()), per_class));
  Tensor p = unflatten(prototypes, 0, {-1, per_class});
  return sum(abs(matmul(p, mT(p)) - eye(per_class, -1, prototypes.dtype())));
}

namespace {

// [B, C, H, W] → unit vectors [B, H W, C].
Tensor places(const Tensor& x) { return normalize(mT(flatten(x, 2)), 2, 2); }

// The rows of x [B, N, C] at `at` [B, K] → [B, K, C].
Tensor rows_at(const Tensor& x, const Tensor& at) { return gather(x, 1, expand(unsqueeze(at, 2), {at.size(0), at.size(1), x.size(2)})); }

int64_t block_side(const Tensor& shallow, const Tensor& deep) {
  int64_t r = shallow.size(2) / deep.size(2);
  if (r < 1 || shallow.size(2) != r * deep.size(2) || shallow.size(3) != r * deep.size(3))
    throw ShapeError(fmt::format("proto_eval: shallow maps of {}×{} are no multiple of deep ones of {}×{}", shallow.size(2),
                                 shallow.size(3), deep.size(2), deep.size(3)));
  return r;
}

}  // namespace

Tensor sdfa_loss(const Tensor& shallow, const Tensor& deep, const Tensor& maps, const Tensor& labels, int64_t per_class, double margin) {
  if (shallow.rank() != 4 || deep.rank() != 4 || maps.rank() != 4 || shallow.size(0) != deep.size(0) || maps.size(0) != deep.size(0) ||
      maps.size(2) != deep.size(2) || maps.size(3) != deep.size(3) || deep.size(2) * deep.size(3) == 0)
    throw ShapeError(fmt::format("proto_eval: shallow features {}, deep ones {} and maps {} do not fit", to_string(shallow.shape()),
                                 to_string(deep.shape()), to_string(maps.shape())));
  if (!(margin >= 0)) throw ValueError(fmt::format("proto_eval: the margin must not be negative, it is {:g}", margin));
  Tensor s = places(pixel_unshuffle(shallow.detach(), block_side(shallow, deep))), v = places(deep);
  Tensor peaks = argmax(flatten(own_class(maps.detach(), labels, per_class), 2), 2);
  Tensor difference = matmul(rows_at(v, peaks), mT(v)) - matmul(rows_at(s, peaks), mT(s));
  return mean(relu(abs(difference) - margin));
}

}  // namespace plumb::methods::proto_eval
