// Two views, stacked.
#include "methods/common/two_views.h"

#include <fmt/format.h>

#include <limits>

#include "engine/core/error.h"
#include "methods/common/masked_contrastive.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {

static int64_t half_of(const char* op, const Tensor& rows) {
  if (rows.rank() != 2 || rows.size(0) == 0 || rows.size(0) % 2 != 0)
    throw ShapeError(fmt::format("{}: takes two views of B examples as [2B, ..], got {}", op, to_string(rows.shape())));
  return rows.size(0) / 2;
}

Tensor other_views(const Tensor& rows) {
  int64_t b = half_of("other_views", rows);
  return cat({slice(rows, 0, b), slice(rows, 0, 0, b)}, 0);
}

Tensor self_distillation(const Tensor& logits, double student, double teacher) {
  half_of("self_distillation", logits);
  if (!(student > 0) || !(teacher > 0))
    throw ValueError(fmt::format("self_distillation: temperatures must be positive, they are {} and {}", student, teacher));
  return cross_entropy(logits / student, other_views(softmax(logits.detach(), 1, teacher)));
}

Tensor two_view_info_nce(const Tensor& rows, double temperature) {
  int64_t b = half_of("two_view_info_nce", rows);
  Tensor self = eye(2 * b, -1, DType::boolean);
  Tensor logits = masked_fill(cosine_similarities(rows, temperature), self, -std::numeric_limits<double>::infinity());
  return cross_entropy(logits, cat({arange(b, i64) + b, arange(b, i64)}, 0));
}

}  // namespace plumb::methods
